"""Write on each page how long it takes to read, and on the front page at each "(N min)". Usage: minutes.py [--check]

Prose at 180 words a minute, code at five seconds a line, up to the exercises, rounded to five minutes.
"""
import json
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
left_out = 'index', 'contributing'
line = re.compile(r'\*About \d+ minutes\.\*\n\n')


def source(cell: dict) -> str: return ''.join(cell['source'])


def minutes(cells: list[dict]) -> int:
    "How long a page takes, up to its exercises"
    first = next((i for i, cell in enumerate(cells) if '## Exercises' in source(cell)), len(cells))
    read = [cell for cell in cells[:first] if not source(cell).startswith('#| hide')]
    words = sum(len(source(cell).split()) for cell in read if cell['cell_type'] == 'markdown')
    lines = sum(bool(text.strip()) for cell in read if cell['cell_type'] == 'code' for text in source(cell).split('\n'))
    return max(5, 5 * round((words / 180 + lines / 12) / 5))


def pages() -> list[Path]:
    "Every page that teaches something"
    found = [path.relative_to(root) for path in sorted((root/'nbs').rglob('*.ipynb'))]
    return [root/path for path in found if not re.search(r'/[._]', f'/{path}') and path.stem not in left_out]


def main() -> int:
    wrong, front = [], root/'nbs/index.ipynb'
    read = lambda path: json.loads(path.read_text(encoding='utf-8'))
    beside = lambda link: f'({link[1]}) ({minutes(read(root/"nbs"/link[1])["cells"])} min)'
    for path in [*pages(), front]:
        notebook = read(path)
        texts = [cell for cell in notebook['cells'] if cell['cell_type'] == 'markdown']
        opening = texts[-1 if path == front else 1]
        said = re.sub(r'\((\S+\.ipynb)\) \(\d+ min\)', beside, source(opening)) if path == front else \
            f'*About {minutes(notebook["cells"])} minutes.*\n\n' + line.sub('', source(opening))
        if said == source(opening): continue
        wrong.append(path.name)
        opening['source'] = said.splitlines(keepends=True)
        if '--check' not in sys.argv:
            path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + '\n', encoding='utf-8')
    if '--check' in sys.argv and wrong: print(f'{", ".join(wrong)}: another reading time; tools/minutes.py writes it')
    return 1 if '--check' in sys.argv and wrong else 0


if __name__ == '__main__': sys.exit(main())
