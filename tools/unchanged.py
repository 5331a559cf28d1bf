"""Fail if nbdev_export or nbdev_clean would change a file. Works on a copy, so what is being edited is left alone.
Usage: unchanged.py, or unchanged.py --copy FOLDER to make such a copy alone."""
import difflib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

root = Path(__file__).resolve().parent.parent


def listed() -> list[str]:
    "Every file that git holds or would take"
    out = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], cwd=root, check=True,
                         capture_output=True, text=True).stdout
    return sorted(name for name in set(out.split('\0')) if name and (root/name).is_file())


def copy_to(folder: Path) -> dict[str, bytes]:
    "Copy the project, and return what each file holds"
    for name in listed():
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root/name, folder/name)
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    "What each file of notebooks and package holds"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for part in ('nbs', 'rnn_nbdev')
            for path in sorted((folder/part).rglob('*')) if path.is_file() and path.name != '.last_checked'}


def report(command: str, before: dict[str, bytes], after: dict[str, bytes]) -> int:
    "Show what differs, and count it"
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    for name in changed:
        old, new = (side.get(name, b'').decode(errors='replace').splitlines() for side in (before, after))
        lines = list(difflib.unified_diff(old, new, name, f'{name} after {command}', lineterm='', n=1))
        print('\n'.join(line[:160] for line in lines[:20]))
    return len(changed)


def main() -> None:
    "Export and clean a copy of the project"
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)/root.name
        before = copy_to(folder)
        for command in ('nbdev_export', 'nbdev_clean'):
            subprocess.run([Path(sys.executable).parent/command], cwd=folder, check=True)
            bad += report(command, before, after := contents(folder))
            before = after
    if bad: sys.exit(f'{bad} files are not as the notebooks say; `make prepare` writes them')
    print(f'{len(before)} files, no difference')


if __name__ == '__main__':
    if sys.argv[1:2] == ['--copy']: copy_to(Path(sys.argv[2]))
    else: main()
