"The live cell: what is moved, what is drawn of it, and the sliders, in a kernel and in a browser."
import gc
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rnn_nbdev.board import Picture, clashes, same_values
from rnn_nbdev.explorer import (_all_moves, _explore_frames, _inside_values, _live_cell, _live_pictures, _LiveDiagram,
                                _move_words, _pixels_of, _push_left, _push_words, _run_moved, explore)
from rnn_nbdev.init import initialize_gru, initialize_lstm, initialize_rnn

root = Path(__file__).resolve().parent.parent
CELLS = 'rnn', 'lstm', 'gru'
START = {'rnn': initialize_rnn, 'lstm': initialize_lstm, 'gru': initialize_gru}
by_cell = pytest.mark.parametrize('cell', CELLS)


def shown(png: bytes) -> np.ndarray:
    "What a PNG shows"
    return np.asarray(Image.open(io.BytesIO(png)).convert('RGB'))


# ---------------------------------------------------------------------------------------------------------- running

@by_cell
def test_nothing_moved_is_the_cell_itself(cell):
    "Also with sizes of one's own, and a state to start from"
    rng = np.random.default_rng(0)
    parameters, x, a0 = START[cell](rng, 2, 5), rng.normal(size=(2, 1, 7)), rng.normal(size=(5, 1))
    states = {'c0': rng.normal(size=(5, 1))} if cell == 'lstm' else {}
    from rnn_nbdev import gru_forward, lstm_forward, rnn_forward
    forward = {'rnn': rnn_forward, 'lstm': lstm_forward, 'gru': gru_forward}[cell]
    found = _run_moved(_live_cell(cell, parameters, x, a0, **states), {'step': 3})
    np.testing.assert_allclose(found.states['a'], forward(x, a0, parameters, **states)[0][:, 0], rtol=1e-13)


@by_cell
def test_nothing_given_is_written_to(cell):
    live = _live_cell(cell)
    before = [a.copy() for a in (live.x, *live.parameters.values(), *live.states.values())]
    moves = {'step': 2, 'x': 1.0, 'a': -1.0}
    _run_moved(live, moves)
    _explore_frames(live, [moves])
    after = [live.x, *live.parameters.values(), *live.states.values()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after)) and moves == {'step': 2, 'x': 1.0, 'a': -1.0}


@by_cell
def test_a_push_acts_at_its_step_and_on_its_unit_alone(cell):
    live = _live_cell(cell)
    name = 'c' if cell == 'lstm' else 'a'
    run, calm = (_run_moved(live, {name: 0.5, 'step': 6, 'unit': 2}, pushed) for pushed in (True, False))
    assert np.array_equal(run.states['a'][:, :5], calm.states['a'][:, :5])
    entered = {'rnn': 1, 'gru': 1, 'lstm': 3}[cell]                # a_prev, or c_prev, in the cache
    np.testing.assert_allclose(run.caches[5][entered] - calm.caches[5][entered], [[0], [0], [0.5]], atol=1e-15)
    unit = [np.subtract(*_push_left(live, {name: 0.5, 'step': 6, 'unit': k})) for k in range(3)]
    assert all((gap[:5] == 0).all() and gap[5] != 0 for gap in unit)


@by_cell
def test_a_bias_is_moved_for_every_unit_and_step(cell):
    live = _live_cell(cell)
    for name in _all_moves(live):
        if name not in live.parameters: continue
        moved = _live_cell(cell, {**live.parameters, name: live.parameters[name] + 1.5})
        assert np.array_equal(_run_moved(live, {name: 1.5}).states['a'], _run_moved(moved).states['a'])
        assert not np.array_equal(_run_moved(live, {name: 1.5}).states['a'], _run_moved(live).states['a'])


def test_words():
    live = _live_cell('lstm')
    assert _move_words(live) == ['step 4, unit 0', 'nothing added']
    assert _move_words(live, {'step': 2, 'bf': -1.5, 'x': 1}) == ['step 2, unit 0', 'input +1', 'forget bias −1.5']
    assert _push_words(live) == '+0.000 at step 4, +0.000 at step 16'
    last = _push_words(live, {'c': 1, 'step': 16})
    assert re.fullmatch(r'\+0\.\d{3} at step 16, \+0\.\d{3} at step 16 \(100%\)', last)


# ---------------------------------------------------------------------------------------------------------- refusing

@pytest.mark.parametrize(('error', 'start', 'call'), [
    (ValueError, 'cell', lambda: explore('elman')),
    (ValueError, 'Wax', lambda: explore('rnn', {})),
    (ValueError, 'Wf', lambda: explore('lstm', initialize_gru(np.random.default_rng(0), 1, 3))),
    *((ValueError, 'x', lambda shape=shape: explore(x=np.zeros(shape))) for shape in ((1, 1), (1, 3, 4), (1, 1, 0))),
    (ValueError, 'Wf', lambda: explore('lstm', initialize_lstm(np.random.default_rng(0), 1, 3), np.zeros((2, 1, 5)))),
    (ValueError, 'a0', lambda: explore('gru', a0=np.zeros(3))),
    (ValueError, 'c0', lambda: explore('rnn', c0=np.zeros((3, 1)))),
    (ValueError, 'moves', lambda: explore(moves={'bx': 1})),
    *((ValueError, name, lambda name=name, bad=bad: explore(moves={name: bad})) for name, bad in (
        ('step', 17), ('step', 2.5), ('step', True), ('unit', -1), ('bf', 'much'), ('bf', np.inf))),
    (ValueError, 'frames', lambda: explore(frames=[])),
    (ValueError, 'frames', lambda: explore(frames={'bf': 1})),
    (TypeError, 'moves', lambda: explore(frames=[1])),
])
def test_what_does_not_fit_is_refused_in_one_line(error, start, call):
    with pytest.raises(error) as caught: call()
    assert '\n' not in str(caught.value) and str(caught.value).startswith(f'{start}:'), str(caught.value)


def test_without_ipywidgets_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ipywidgets', None)
    with pytest.raises(ImportError, match=r"^the sliders need ipywidgets: pip install rnn_nbdev\[explore\]$"): explore()
    assert isinstance(explore(frames=[{}]), Picture), 'frames need nothing'


def test_importing_the_module_needs_no_ipywidgets():
    code = 'import sys; import rnn_nbdev.explorer; assert "ipywidgets" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True)


# ----------------------------------------------------------------------------------------------------------- drawing

@by_cell
@pytest.mark.parametrize('n_a', [1, 3, 9])
def test_frames_show_the_values_and_nothing_runs_into_anything(cell, n_a):
    live = _live_cell(cell, START[cell](np.random.default_rng(1), 2, n_a))
    moves = [{'x': 2.0, 'step': 1}, {'a': -1.0, 'step': 16, 'unit': n_a - 1}, {}, {'step': 7}]
    picture = _explore_frames(live, moves)
    gates = 'ft', 'it', 'ot', 'ut', 'rt'
    for k, move in enumerate(moves):
        cache = _run_moved(live, move).caches[_all_moves(live, move)['step'] - 1]
        values = _inside_values(live, cache)
        for name in ('xt', 'a_next'): assert same_values(picture, f'{k}:{name}', values[name], gate=name in gates)
        assert np.array_equal(picture.axes[1 + k].lines[-1].get_ydata(), _push_left(live, move)[0])
    assert clashes(picture) == [] and picture.alt


@by_cell
@pytest.mark.parametrize('n_a', [1, 8])
def test_quick_pictures_are_the_whole_ones(cell, n_a):
    "However often something was moved before"
    from rnn_nbdev.explorer import _CELLS
    live = _live_cell(cell, START[cell](np.random.default_rng(1), 2, n_a))
    diagram = _LiveDiagram(live)
    for moves in ({'a': 2.0}, {'x': -3.0, 'step': 1, 'unit': n_a - 1}, {}):
        whole = _pixels_of(_CELLS[cell][3](_run_moved(live, moves).caches[_all_moves(live, moves)['step'] - 1]))
        assert np.array_equal(diagram.pixels(moves), whole)
        assert np.array_equal(shown(_live_pictures(diagram, moves)[0]), whole[:, :, :3])


def test_a_gru_with_its_reset_after_the_product_is_drawn_too_where_its_cache_is_given():
    from rnn_nbdev.explorer import _diagram_values
    from rnn_nbdev.gru import gru_cell_forward
    from rnn_nbdev.viz import draw_gru_cell
    rng = np.random.default_rng(0)
    _, _, cache = gru_cell_forward(rng.normal(size=(2, 1)), rng.normal(size=(3, 1)),
                                   initialize_gru(rng, 2, 3, reset_after=True), reset_after=True)
    picture = draw_gru_cell(cache)
    for name, values in _diagram_values(_live_cell('gru'), cache).items():
        assert same_values(picture, name, values, gate=name in ('ut', 'rt')), name


# ----------------------------------------------------------------------------------------------------------- sliders

def parts(box):
    "Sliders by name, the button, the two pictures, and the words"
    left, right = box.children
    *sliders, button = left.children
    return {s.description: s for s in sliders}, button, *[right.children[i] for i in (0, 2, 3)]


@by_cell
def test_a_slider_redraws_and_the_button_goes_back(cell):
    pytest.importorskip('ipywidgets')
    sliders, button, inside, memory, words = parts(explore(cell))
    first = inside.value, memory.value, words.value
    slider = sliders['cell state' if cell == 'lstm' else 'hidden state']
    assert slider.value == 1
    slider.value = -2.0
    moved = inside.value, memory.value, words.value
    assert all(a != b for a, b in zip(first, moved))
    push = {'c' if cell == 'lstm' else 'a': -2.0}
    assert (inside.value, memory.value) == _live_pictures(_LiveDiagram(_live_cell(cell)), push)
    assert words.value == f'moved by {_push_words(_live_cell(cell), push)}'
    sliders['step'].value = 9
    button.click()
    assert (inside.value, memory.value, words.value) == first and sliders['step'].value == 4


def test_pictures_are_let_go_of():
    pytest.importorskip('ipywidgets')
    sliders, *_ = parts(explore('lstm'))
    def alive() -> int:
        gc.collect()
        return sum(issubclass(type(thing), Picture) for thing in gc.get_objects())    # isinstance would ask each thing
    sliders['forget bias'].value = 0.1
    before = alive()
    for k in range(6): sliders['forget bias'].value = 0.3 + k/10
    assert alive() <= before
    pyplot = sys.modules.get('matplotlib.pyplot')
    assert pyplot is None or pyplot.get_fignums() == []


def test_a_saved_notebook_keeps_no_widget():
    "Neither those of the book, nor one that is saved in `make lab`"
    widget = 'application/vnd.jupyter.widget-view+json'
    for path in (root/'nbs').rglob('*.ipynb'):
        if not any(part[0] in '._' for part in path.relative_to(root).parts):
            assert widget not in path.read_text(encoding='utf-8'), path.name
    class Config:
        class ContentsManager: pre_save_hook = None
    source = (root/'.jupyter'/'jupyter_server_config.py').read_text(encoding='utf-8')
    exec(compile(source, 'jupyter_server_config.py', 'exec'), names := {'c': Config})
    shown = {'output_type': 'display_data', 'data': {widget: {'model_id': 'x'}, 'text/plain': 'HBox()'}, 'metadata': {}}
    kept = {'output_type': 'stream', 'name': 'stdout', 'text': 'one'}
    notebook = {'metadata': {'widgets': {}}, 'nbformat': 4, 'nbformat_minor': 5,
                'cells': [{'cell_type': 'code', 'source': 'x', 'metadata': {}, 'id': 'a', 'outputs': [shown, kept]},
                          {'cell_type': 'markdown', 'source': 'y', 'metadata': {}, 'id': 'b'}]}
    names['drop_widgets']({'type': 'notebook', 'content': notebook})
    assert notebook['cells'][0]['outputs'] == [kept] and 'widgets' not in notebook['metadata']


# ------------------------------------------------------------------------------------------------------- the browser

# Opens the notebook and runs it, without waiting for the end.
run = """path => { (async () => {
    const panel = await jupyterapp.commands.execute('docmanager:open', {path, factory: 'Notebook'})
    await panel.context.ready
    await panel.sessionContext.ready
    jupyterapp.shell.activateById(panel.id)
    await jupyterapp.commands.execute('notebook:run-all-cells')
})() }"""
bytes_of = """images => Promise.all(images.map(async image =>
    [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())].join()))"""


@pytest.fixture
def project(tmp_path):
    "A folder with one notebook, whose only cell shows the sliders, and the hook that cleans it when it is saved"
    cell = {'cell_type': 'code', 'source': "from rnn_nbdev import explore\nexplore('lstm')", 'metadata': {}, 'id': 'a',
            'outputs': [], 'execution_count': None}
    kernel = {'name': 'python3', 'display_name': 'python3', 'language': 'python'}
    notebook = {'cells': [cell], 'metadata': {'kernelspec': kernel}, 'nbformat': 4, 'nbformat_minor': 5}
    (tmp_path/'project').mkdir()
    shutil.copytree(root/'.jupyter', tmp_path/'project'/'.jupyter')
    (tmp_path/'project'/'live.ipynb').write_text(json.dumps(notebook), encoding='utf-8')
    return tmp_path/'project'


@pytest.mark.browser
def test_a_slider_moves_in_the_browser_and_the_picture_changes(project, tmp_path):
    "By the keyboard alone; nothing of it is left in the notebook when it is saved"
    playwright = pytest.importorskip('playwright.sync_api')
    pytest.importorskip('jupyterlab')
    import browser
    import lab
    if not browser.chromium(): pytest.skip('needs Chromium')
    with lab.server(project, tmp_path/'home') as base, browser.browser() as chrome:
        page = lab.opened(chrome, base)
        page.evaluate(run, 'live.ipynb')
        images, words = page.locator('.jp-OutputArea-output img'), page.locator('.widget-label', has_text='moved by')
        playwright.expect(images).to_have_count(2, timeout=60_000)
        before, said = images.evaluate_all(bytes_of), words.inner_text()
        handle = page.locator('.widget-hslider', has_text='forget bias').locator('[role=slider]')
        handle.focus()
        for _ in range(10): page.keyboard.press('ArrowRight')
        value = round(float(handle.get_attribute('aria-valuenow')), 1)
        last = f"moved by {_push_words(_live_cell('lstm'), {'c': 1.0, 'bf': value})}"
        playwright.expect(words).to_have_text(last, timeout=30_000)
        after = images.evaluate_all(bytes_of)
        page.evaluate("() => { jupyterapp.commands.execute('docmanager:save') }")
        page.wait_for_function('() => !jupyterapp.shell.currentWidget.context.model.dirty', timeout=30_000)
    assert value == 1.0 and last != said and before[0] != after[0] and before[1] != after[1]
    saved = json.loads((project/'live.ipynb').read_text(encoding='utf-8'))
    assert 'widget' not in json.dumps(saved['cells'][0]['outputs']) and 'widgets' not in saved['metadata']
