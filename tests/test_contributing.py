"""The worked example of CONTRIBUTING, repeated in a copy of the project: the notebook is made from the blocks of the
page, exported, imported, run, cleaned, and held to the house rules."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import unchanged

root = Path(__file__).resolve().parent.parent
page = root/'nbs/contributing.ipynb'
bin = Path(sys.executable).parent


def whole_page() -> str:
    "What the page says"
    return '\n\n'.join(''.join(cell['source']) for cell in json.loads(page.read_text(encoding='utf-8'))['cells'])


def example() -> tuple[str, list[tuple[str, str]]]:
    "The name of the notebook, and its cells: kind and source, in the order of the page"
    part = re.search(r'### A worked example: `(nbs/\S+\.ipynb)`\n(.*?)\nWith the notebook in', whole_page(), re.DOTALL)
    return part[1], re.findall(r'^```(markdown|python)\n(.*?)\n```$', part[2], re.DOTALL | re.MULTILINE)


def written(path: Path, cells: list[tuple[str, str]]) -> None:
    "A notebook as nbdev leaves it"
    made = [{'cell_type': 'code' if kind == 'python' else 'markdown', 'id': f'cell-{i:03}', 'metadata': {},
             'source': source.splitlines(True)} for i, (kind, source) in enumerate(cells)]
    for cell in made:
        if cell['cell_type'] == 'code': cell.update(execution_count=None, outputs=[])
        if '#| code-fold' in ''.join(cell['source']):
            cell['metadata'] = {'jupyter': {'outputs_hidden': True, 'source_hidden': True}}
    meta = {'kernelspec': {'display_name': 'python3', 'language': 'python', 'name': 'python3'}}
    whole = {'cells': made, 'metadata': meta, 'nbformat': 4, 'nbformat_minor': 5}
    path.write_text(json.dumps(whole, indent=1, sort_keys=True) + '\n', encoding='utf-8')


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    "A copy of the project with the example in it, exported"
    folder = tmp_path_factory.mktemp('example')/'rnn_nbdev'
    unchanged.copy_to(folder)
    name, cells = example()
    written(folder/name, cells)
    line = re.search(r'^```text\n( +leaky_forward .*)\n```$', whole_page(), re.MULTILINE)[1]
    table = folder/'nbs/91_package.ipynb'
    found = json.loads(table.read_text(encoding='utf-8'))
    for cell in found['cells']:
        source = ''.join(cell['source'])
        if '_DOOR = ' in source: cell['source'] = [source.replace('\n    sigmoid ', f'\n{line}\n    sigmoid ', 1)]
    table.write_text(json.dumps(found, indent=1), encoding='utf-8')
    done = in_copy(folder, bin/'nbdev_export')
    assert done.returncode == 0, done.stderr
    done = in_copy(folder, sys.executable, 'tools/door.py')
    assert done.returncode == 0, done.stderr
    return folder


def in_copy(folder: Path, *command: str | Path) -> subprocess.CompletedProcess:
    "Run a command in the copy, with the copy's package"
    env = {**os.environ, 'PYTHONPATH': str(folder)}
    return subprocess.run([str(part) for part in command], cwd=folder, env=env, capture_output=True, text=True)


def test_it_is_exported_and_imports_from_the_package_itself(project):
    ask = 'import rnn_nbdev; f = rnn_nbdev.leaky_forward; print(f.__module__, rnn_nbdev.__file__); help(f)'
    done = in_copy(project, sys.executable, '-c', ask)
    assert done.stdout.startswith(f'rnn_nbdev.leaky {project}'), done.stderr
    assert 'A running mean whose past fades' in done.stdout


def test_it_runs(project):
    name, _ = example()
    done = in_copy(project, bin/'nbdev_test', '--path', project/name)
    assert done.returncode == 0 and 'Success' in done.stdout, done.stdout + done.stderr


def test_it_keeps_the_house_rules(project):
    name, _ = example()
    assert in_copy(project, bin/'nbdev_clean', '--fname', project/name).returncode == 0
    number = Path(name).stem
    rules = in_copy(project, sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests/test_project.py',
                    '-k', f'{number} or leaky or chapters_have_modules or door or stub')
    assert rules.returncode == 0, rules.stdout
    assert int(re.search(r'(\d+) passed', rules.stdout)[1]) >= 8, rules.stdout


def test_its_proof_can_fail(project):
    wrong = [(kind, source.replace('carried = keep *', 'carried = -keep *')) for kind, source in example()[1]]
    cells = [(kind, source) for kind, source in wrong if 'default_exp' not in source]
    assert any('-keep' in source for _, source in cells)
    broken = project/'nbs/broken.ipynb'
    written(broken, cells)
    done = in_copy(project, bin/'nbdev_test', '--path', broken)
    broken.unlink()
    assert done.returncode != 0 and 'check_gradients(partial' in done.stdout + done.stderr, done.stderr


# --------------------------------------------------------------------------- when two changes of one notebook meet

def git(folder: Path, *words: str) -> subprocess.CompletedProcess:
    "git in a folder, as somebody, whatever the machine's own configuration says"
    who = ['-c', 'user.name=A', '-c', 'user.email=a@b.c', '-c', 'init.defaultBranch=main', '-c', 'commit.gpgsign=false']
    return subprocess.run(['git', *who, *words], cwd=folder, capture_output=True, text=True)


def merged(folder: Path, ours: dict[int, str], theirs: dict[int, str], driver: bool) -> list[str]:
    "The cells of a notebook after two changes of it were merged; with the project's driver, or by git alone and mended"
    book = folder/'nbs/book.ipynb'
    book.parent.mkdir(parents=True)
    first = [('markdown', '# A book'), ('python', 'one = 1'), ('python', 'two = 2'), ('python', 'three = 3')]

    def change(sources: dict[int, str]) -> None:
        written(book, [(kind, sources.get(i, source)) for i, (kind, source) in enumerate(first)])
        git(folder, 'add', '.')
        git(folder, 'commit', '-m', 'a change')
    git(folder, 'init')
    for name in ('settings.ini', '.gitattributes'): (folder/name).write_bytes((root/name).read_bytes())
    if driver:
        git(folder, 'config', 'merge.nbdev-merge.driver', f'{bin}/nbdev_merge %O %A %B %P')
    change({})
    git(folder, 'switch', '-c', 'theirs')
    change(theirs)
    git(folder, 'switch', 'main')
    change(ours)
    git(folder, 'merge', 'theirs')
    if not driver:
        with pytest.raises(ValueError): json.loads(book.read_text(encoding='utf-8'))
        in_copy(folder, bin/'nbdev_fix', book)
    return [''.join(cell['source']) for cell in json.loads(book.read_text(encoding='utf-8'))['cells']]


def test_cells_that_one_side_changed_are_merged_silently(tmp_path):
    found = merged(tmp_path, {1: 'one = 10'}, {3: 'three = 30'}, True)
    assert found == ['# A book', 'one = 10', 'two = 2', 'three = 30']


@pytest.mark.parametrize('driver', [True, False])
def test_a_cell_that_both_changed_stands_there_twice_between_marks(driver, tmp_path):
    cells = merged(tmp_path, {2: 'two = 20'}, {2: 'two = 22'}, driver)
    marks = [i for i, cell in enumerate(cells) if re.match(r'`?(<<<<<<<|=======|>>>>>>>)', cell)]
    assert len(marks) == 3, cells
    assert cells[marks[0] + 1:marks[1]] == ['two = 20'] and cells[marks[1] + 1:marks[2]] == ['two = 22']
    assert cells[:marks[0]] + cells[marks[2] + 1:] == ['# A book', 'one = 1', 'three = 3']


def test_the_page_names_the_commands_that_were_tried():
    prose = page.read_text(encoding='utf-8')
    assert 'make hooks' in prose and '.venv/bin/nbdev_fix nbs/NAME.ipynb' in prose
    assert '.venv/bin/nbdev_merge %O %A %B %P' in (root/'tools/hooks.sh').read_text(encoding='utf-8')
