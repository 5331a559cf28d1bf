"""Write rnn_nbdev/__init__.pyi, which type checkers and editors read, from the table of names in nbs/91_package.ipynb.
Usage: door.py"""
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))


def stub() -> str:
    "The text of the file: one import a name, as type checkers want it"
    from rnn_nbdev import _HOME
    first = '# What type checkers and editors see of the package: tools/door.py makes it from nbs/91_package.ipynb.'
    by_home = sorted((home, name) for name, home in _HOME.items())
    lines = [f'from .{home} import {name} as {name}' for home, name in by_home]
    return '\n'.join([first, *lines, '', '__version__: str', ''])


if __name__ == '__main__': (root/'rnn_nbdev/__init__.pyi').write_text(stub(), encoding='utf-8')
