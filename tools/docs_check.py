"""Make the docs site as nbdev_docs does, but for Quarto's rendering, which not every machine has. Works on a copy.

Then pandoc, which Quarto renders with, reads each page: an equation that does not turn into MathML and a div that is
not closed are faults that no notebook shows, and that Quarto passes over with a warning.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pypandoc
from unchanged import copy_to, root

process = '''
from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
from nbdev.serve import proc_nbs
if __name__ == '__main__':
    refresh_quarto_yml()
    nbdev_sidebar.__wrapped__()
    proc_nbs(n_workers=2)
'''


def pages(folder: Path) -> dict[Path, Path]:
    "Each notebook of a copy of the project, and the page that nbdev makes of it"
    (folder/'process_notebooks.py').write_text(process, encoding='utf-8')
    env = {**os.environ, 'PYTHONPATH': str(folder), 'MPLBACKEND': 'Agg'}
    done = subprocess.run([sys.executable, 'process_notebooks.py'], cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode: sys.exit(f'{reason(done.stderr)}\nthe notebooks could not be processed')
    names = [path.relative_to(folder/'nbs') for path in sorted((folder/'nbs').rglob('*.ipynb'))]
    return {name: folder/'_proc'/name for name in names if not any(part[0] in '._' for part in name.parts)}


def reason(traceback: str) -> str:
    "Of what several processes say about one error, its type and message, and the cell that nbdev could not run"
    lines = traceback.strip().split('\n')
    errors = [i for i, line in enumerate(lines) if re.match(r'(\w+\.)*\w*(Error|Exception)\b', line)]
    return '\n'.join([lines[errors[0]], *lines[errors[-1]:]] if errors else lines[-20:])


def prose(page: Path) -> str:
    "The markdown of a page"
    cells = json.loads(page.read_text(encoding='utf-8'))['cells']
    return '\n\n'.join(''.join(cell['source']) for cell in cells if cell['cell_type'] == 'markdown')


def faults(text: str) -> str:
    "What pandoc has to say about a page"
    command = [pypandoc.get_pandoc_path(), '--from=markdown', '--to=html', '--mathml', '--output', os.devnull]
    return subprocess.run(command, input=text, capture_output=True, text=True, encoding='utf-8', check=False).stderr


def main() -> None:
    "Process a copy, and let pandoc read what came out"
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)/root.name
        copy_to(folder)
        made = pages(folder)
        for notebook, page in made.items():
            found = faults(prose(page)) if page.exists() else 'no page was made of it'
            if found: print(f'nbs/{notebook}:\n{found}')
            bad += bool(found)
    if bad: sys.exit(f'{bad} of {len(made)} pages have faults')
    print(f'{len(made)} pages, no fault')


if __name__ == '__main__':
    main()
