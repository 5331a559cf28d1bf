"""Write what follows from the table of names in nbs/91_package.ipynb: rnn_nbdev/__init__.pyi, which type checkers and
editors read, and the index by subject on the page itself. Usage: door.py"""
import json
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))
page, place = root/'nbs/91_package.ipynb', 'd00rd00r'


def stub() -> str:
    "The text of the stub: one import a name, as type checkers want it"
    from rnn_nbdev import _HOME
    first = '# What type checkers and editors see of the package: tools/door.py makes it from nbs/91_package.ipynb.'
    by_home = sorted((home, name) for name, home in _HOME.items())
    lines = [f'from .{home} import {name} as {name}' for home, name in by_home]
    return '\n'.join([first, *lines, '', '__version__: str', ''])


def index() -> str:
    "The names by subject, as Markdown; the site links each name to its documentation"
    from rnn_nbdev import _DOOR
    lines = ['## The names by subject']
    for line in _DOOR.strip('\n').split('\n'):
        if not line.startswith(' '): lines += ['', f'**{line}**', '', '| name | what it is |', '|---|---|']
        else: lines.append(f'| `{line.split()[0]}` | {line.split(maxsplit=2)[2]} |')
    return '\n'.join(lines)


def main() -> None:
    (root/'rnn_nbdev/__init__.pyi').write_text(stub(), encoding='utf-8')
    notebook = json.loads(page.read_text(encoding='utf-8'))
    cell = next(cell for cell in notebook['cells'] if cell['id'] == place)
    if ''.join(cell['source']) == index(): return
    cell['source'] = index().splitlines(keepends=True)
    page.write_text(json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + '\n', encoding='utf-8')


if __name__ == '__main__': main()
