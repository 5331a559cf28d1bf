"""The notebooks in a real JupyterLab: `make lab-check`. Chapters, tutorials and explanations are all opened and run;
NOTEBOOKS in the environment, a regular expression, chooses some of them."""
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import browser
import docs_site
import lab
import pytest
import unchanged

pytestmark = pytest.mark.browser
root = Path(__file__).resolve().parent.parent
books = [f'nbs/{path.as_posix()}' for path in docs_site.notebooks(root/'nbs')
         if re.search(os.environ.get('NOTEBOOKS', ''), path.as_posix())]
changed, broken = 'nbs/00_numerics.ipynb', 'nbs/broken.ipynb'
# They take longest, and begin first, so that none of them is alone at the end.
long = ['03_why_gradients_vanish_and_explode', '60_bench', '16_jit', '04_what_gates_do', '02_who_is_speaking',
        '07_remembering', '44_forecast', '04_from_the_equations']


def notebook(*sources: str) -> str:
    "A notebook of code cells"
    cells = [{'cell_type': 'code', 'id': f'cell{i}', 'metadata': {}, 'execution_count': None, 'outputs': [],
              'source': source} for i, source in enumerate(sources)]
    meta = {'kernelspec': {'display_name': 'python3', 'language': 'python', 'name': 'python3'}}
    return json.dumps({'cells': cells, 'metadata': meta, 'nbformat': 4, 'nbformat_minor': 5})


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    "A copy of the project, without the cells that the tests leave out for their length (`#| slow`)"
    folder = tmp_path_factory.mktemp('lab')/'rnn_nbdev'
    unchanged.copy_to(folder)
    for path in (folder/book for book in books):
        whole = json.loads(path.read_text(encoding='utf-8'))
        kept = [cell for cell in whole['cells'] if not ''.join(cell['source']).startswith('#| slow')]
        if len(kept) < len(whole['cells']): path.write_text(json.dumps({**whole, 'cells': kept}), encoding='utf-8')
    for path in (root/'rnn_nbdev/__pycache__').glob('*.nb[ic]'):     # what Numba has compiled of the same files
        (folder/'rnn_nbdev/__pycache__').mkdir(exist_ok=True)
        shutil.copy2(path, folder/'rnn_nbdev/__pycache__')
    return folder


@pytest.fixture(scope='module')
def jupyter(project, tmp_path_factory):
    "One browser and one JupyterLab for everything"
    pytest.importorskip('playwright')
    with lab.server(project, tmp_path_factory.mktemp('home')) as base, browser.browser() as chrome: yield chrome, base


@pytest.fixture(scope='module')
def runs(jupyter):
    "Every notebook, run once: its faults and its seconds"
    place = {name: i for i, name in enumerate(long)}
    found = lab.run_all(*jupyter, sorted(books, key=lambda book: place.get(Path(book).stem, len(long))))
    slowest = sorted(found, key=lambda book: -found[book][1])[:8]
    print('\nslowest:', ', '.join(f'{Path(book).stem} {found[book][1]:.0f} s' for book in slowest))
    return found


@pytest.mark.parametrize('book', books)
def test_run_all_ends_without_a_fault(book, runs):
    assert runs[book][0] == []


def clean(project: Path) -> list[str]:
    "The notebooks that nbdev_clean would change"
    before = unchanged.contents(project)
    subprocess.run([Path(sys.executable).parent/'nbdev_clean'], cwd=project, check=True)
    after = unchanged.contents(project)
    return [name for name in before if before[name] != after[name]]


def test_what_jupyterlab_saved_is_clean(project, runs):
    assert clean(project) == []


def test_a_changed_cell_is_saved_clean(project, jupyter):
    chrome, base = jupyter
    before = json.loads((project/changed).read_text(encoding='utf-8'))
    one = lab.Run(lab.opened(chrome, base), changed, '\n# a change made in JupyterLab')
    while (faults := one.over(120)) is None: one.page.wait_for_timeout(100)
    assert faults == []
    after = json.loads((project/changed).read_text(encoding='utf-8'))
    different = [new for old, new in zip(before['cells'], after['cells']) if old['source'] != new['source']]
    assert [''.join(cell['source']).endswith('# a change made in JupyterLab') for cell in different] == [True]
    assert after['metadata'] == before['metadata']
    assert clean(project) == []


def test_faults_are_seen(project, jupyter):
    "The tests above see nothing if this fails"
    (project/broken).write_text(notebook(
        'for i in range(60): display(i)',
        'from IPython.display import HTML; HTML("<div style=\'width: 4000px\'>wide</div>")',
        'import warnings; warnings.warn("beware")',
        'raise ValueError("no")', '1 + 1'), encoding='utf-8')
    [(faults, _)] = lab.run_all(*jupyter, [broken]).values()
    for fault in ('has more outputs than are shown', 'is 4', 'complains', 'ValueError: no', 'was not run: 1 + 1'):
        assert any(fault in found for found in faults), (fault, faults)
