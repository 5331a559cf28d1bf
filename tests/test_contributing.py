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


def example() -> tuple[str, list[tuple[str, str]]]:
    "The name of the notebook, and its cells: kind and source, in the order of the page"
    prose = '\n\n'.join(''.join(cell['source']) for cell in json.loads(page.read_text(encoding='utf-8'))['cells'])
    part = re.search(r'### A worked example: `(nbs/\S+\.ipynb)`\n(.*?)\nWith the notebook in', prose, re.DOTALL)
    return part[1], re.findall(r'^```(markdown|python)\n(.*?)\n```$', part[2], re.DOTALL | re.MULTILINE)


def written(path: Path, cells: list[tuple[str, str]]) -> None:
    "A notebook as nbdev leaves it"
    made = [{'cell_type': 'code' if kind == 'python' else 'markdown', 'id': f'cell-{i:03}', 'metadata': {},
             'source': source.splitlines(True)} for i, (kind, source) in enumerate(cells)]
    for cell in made:
        if cell['cell_type'] == 'code': cell.update(execution_count=None, outputs=[])
        if '#| code-fold' in ''.join(cell['source']): cell['metadata'] = {'jupyter': {'source_hidden': True}}
    meta = {'kernelspec': {'display_name': 'python3', 'language': 'python', 'name': 'python3'}}
    path.write_text(json.dumps({'cells': made, 'metadata': meta, 'nbformat': 4, 'nbformat_minor': 5}), encoding='utf-8')


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    "A copy of the project with the example in it, exported"
    folder = tmp_path_factory.mktemp('example')/'rnn_nbdev'
    unchanged.copy_to(folder)
    name, cells = example()
    written(folder/name, cells)
    done = in_copy(folder, bin/'nbdev_export')
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
                    '-k', f'{number} or leaky or chapters_have_numbers or public_name')
    assert rules.returncode == 0, rules.stdout
    assert int(re.search(r'(\d+) passed', rules.stdout)[1]) >= 8, rules.stdout


def test_its_proof_can_fail(project):
    wrong = [(kind, source.replace('carried = keep *', 'carried = -keep *')) for kind, source in example()[1]]
    cells = [(kind, source) for kind, source in wrong if 'default_exp' not in source and 'nbdev_export' not in source]
    assert any('-keep' in source for _, source in cells)
    broken = project/'nbs/broken.ipynb'
    written(broken, cells)
    done = in_copy(project, bin/'nbdev_test', '--path', broken)
    broken.unlink()
    assert done.returncode != 0 and 'check_gradients(partial' in done.stdout + done.stderr, done.stderr
