"""Process the notebooks for the docs site as nbdev_docs does, all but Quarto's rendering. Works on a copy."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from unchanged import copy_to, root

process = '''
from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
from nbdev.serve import proc_nbs
if __name__ == '__main__':
    refresh_quarto_yml()
    nbdev_sidebar.__wrapped__()
    proc_nbs(n_workers=2)
'''


def main() -> None:
    "Process a copy, then look that every notebook came out"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)/root.name
        copy_to(folder)
        (folder/'process_notebooks.py').write_text(process, encoding='utf-8')
        env = {**os.environ, 'PYTHONPATH': str(folder), 'MPLBACKEND': 'Agg'}
        subprocess.run([sys.executable, 'process_notebooks.py'], cwd=folder, env=env, check=True)
        made = {path.relative_to(folder/'_proc') for path in (folder/'_proc').rglob('*.ipynb')}
        missing = [str(path) for path in sorted((root/'nbs').rglob('*.ipynb'))
                   if not any(part[0] in '._' for part in path.relative_to(root).parts)
                   and path.relative_to(root/'nbs') not in made]
    if missing: sys.exit(f'not processed: {", ".join(missing)}')
    print(f'{len(made)} notebooks processed')


if __name__ == '__main__':
    main()
