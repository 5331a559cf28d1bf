"The drawing board and the figures: they show what was given, and refuse what doesn't fit; nothing is left behind."
import io
import sys

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from rnn_nbdev import (color_text, draw_gru_cell, draw_lstm_cell, draw_rnn_cell, draw_unrolled, gru_cell_forward,
                       initialize_gru, initialize_lstm, initialize_rnn, lstm_cell_forward, new_picture, plot_curves,
                       plot_gates, plot_gradient_flow, plot_history, plot_memory, rnn_cell_forward)
from rnn_nbdev.board import clashes, draw_strip, new_board, redraw_strip, same_values

RNG = np.random.default_rng
X, A, Y = (RNG(n).uniform(-1, 1, (n, 2, 7)) for n in (3, 4, 2))
HISTORY = [{'step': 1, 'loss': 2.0}, {'step': 2, 'loss': 1.5, 'validation_loss': 1.8}]


def cache_of(cell, n_x=3, n_a=4, m=2, dtype=np.float64):
    "The cache of one step"
    start, forward = {'rnn': (initialize_rnn, rnn_cell_forward), 'gru': (initialize_gru, gru_cell_forward),
                      'lstm': (initialize_lstm, lstm_cell_forward)}[cell]
    parameters = {name: p.astype(dtype) for name, p in start(RNG(0), n_x, n_a).items()}
    xt, states = RNG(1).normal(size=(n_x, m)), RNG(2).normal(size=(1 + (cell == 'lstm'), n_a, m))
    return forward(xt.astype(dtype), *states.astype(dtype), parameters)[-1]


DRAW = {'rnn': draw_rnn_cell, 'gru': draw_gru_cell, 'lstm': draw_lstm_cell}
PICTURES = {
    'unrolled': lambda: draw_unrolled(X, A, Y, A[:, :, 0]),
    **{cell: lambda cell=cell: DRAW[cell](cache_of(cell)) for cell in DRAW},
    'gates': lambda: plot_gates({'f': A[:, 0], 'c': X[:, 0]}, labels='letters', title='gates'),
    'curves': lambda: plot_curves(np.arange(1, 8), {'a': A[0, 0], 'b': X[0, 0]}, 'x', 'y', 'curves', marks={'m': 3}),
    'flow': lambda: plot_gradient_flow({'a': np.arange(7.)}), 'history': lambda: plot_history(HISTORY, 'run'),
    'memory': lambda: plot_memory(np.asfortranarray(X[:2, :, :3]))}
every = pytest.mark.parametrize('name', PICTURES)


@every
def test_a_picture_is_white_paper_has_words_and_saves_itself_in_every_format(name, tmp_path):
    picture = PICTURES[name]()
    assert picture.alt and str(picture) == f'Picture: {picture.alt}' and clashes(picture) == []
    png = picture._repr_png_()
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == 'P' and image.convert('RGB').getpixel((0, 0)) == (255, 255, 255)
    for kind, start in {'.png': png, '.svg': b'<?xml', '.pdf': b'%PDF'}.items():
        path = picture.save(tmp_path/f'a{kind}')
        assert path.read_bytes().startswith(start)
    assert len([*tmp_path.iterdir()]) == 3
    pyplot = sys.modules.get('matplotlib.pyplot')
    assert pyplot is None or pyplot.get_fignums() == []


def test_a_file_is_replaced_whole_or_stays(tmp_path, monkeypatch):
    picture, path = PICTURES['flow'](), tmp_path/'a.png'
    path.write_bytes(b'old')
    def full(*_): raise OSError('disk full')
    monkeypatch.setattr('os.replace', full)
    with pytest.raises(OSError, match='disk full'): picture.save(path)
    assert path.read_bytes() == b'old' and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize('cell', DRAW)
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_diagrams_show_the_example_asked_for_and_write_to_nothing(cell, dtype):
    cache = cache_of(cell, dtype=dtype)
    arrays = [a for a in cache if isinstance(a, np.ndarray)]
    before = [a.copy() for a in arrays]
    for example in (0, 1):
        picture = DRAW[cell](cache, example=example)
        assert same_values(picture, 'a_next', cache[0][:, example], gate=False)
        assert not same_values(picture, 'a_next', cache[0][:, 1 - example], gate=False)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before))


def test_a_box_keeps_its_color_in_the_file():
    "To 20 of 255 levels: a light red must not come out yellow"
    picture = draw_gru_cell(cache_of('gru', n_a=3))
    full = io.BytesIO()
    super(type(picture.canvas), picture.canvas).print_png(full)    # as matplotlib renders it, in all its colors
    few = io.BytesIO()
    picture.canvas.print_png(few)
    whole, drawn = (np.asarray(Image.open(io.BytesIO(b.getvalue())).convert('RGB')).astype(int) for b in (full, few))
    boxes = [box for box in picture.findobj(Rectangle) if box.get_gid()]
    for box in boxes:
        color = np.rint(255*np.array(box.get_facecolor()[:3])).astype(int)
        inside = (whole == color).all(axis=2)
        assert inside.any() and np.abs(drawn[inside] - color).max() <= 20, box.get_gid()


def test_a_strip_is_written_anew_only_with_as_many_values():
    picture, ax = new_board(20, 12)
    draw_strip(ax, 5, 5, np.array([0.1, 0.2, 0.3]), 'a')
    redraw_strip(picture, 'a', np.array([-1., 0.5, 2.]))
    assert same_values(picture, 'a', np.array([-1., 0.5, 2.]))
    with pytest.raises(ValueError): redraw_strip(picture, 'a', np.zeros(2))


def test_integers_are_drawn_where_they_stand():
    "Neither made floating-point nor moved in memory"
    x = np.asfortranarray(np.arange(12, dtype=np.int32).reshape(2, 2, 3))
    offsets = [t.get_text() for t in plot_memory(x).axes[0].texts if t.get_text().startswith('+') and t.get_size() == 8]
    assert offsets == [f'+{4*k}' for k in range(12)]
    axes = plot_curves(np.array([8, 16, 512]), {'cost': [1, 2, 70]}, 'T', 'seconds', logx=True).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ['8', '16', '512']


@pytest.mark.parametrize(('name', 'call'), [
    ('rows', lambda: new_picture(rows=0)),
    ('width', lambda: new_picture(width=0)),
    ('height', lambda: new_picture(height=np.nan)),
    ('path', lambda: PICTURES['flow']().save(3)),
    ('path', lambda: PICTURES['flow']().save('a.doc')),
    ('x', lambda: draw_unrolled(X[0], A, Y)),
    ('a', lambda: draw_unrolled(X, A[..., 1:], Y)),
    ('y_pred', lambda: draw_unrolled(X, A, Y[:, :1])),
    ('a0', lambda: draw_unrolled(X, A, None, A[:, 0])),
    ('max_steps', lambda: draw_unrolled(X, A, None, max_steps=1)),
    ('example', lambda: draw_unrolled(X, A, None, example=2)),
    ('cache', lambda: draw_lstm_cell(cache_of('gru'))),
    ('cache', lambda: draw_rnn_cell([1, 2, 3, 4])),
    ('example', lambda: draw_gru_cell(cache_of('gru'), example=True)),
    ('Waa', lambda: draw_rnn_cell((*cache_of('rnn')[:3], {}))),
    ('parameters', lambda: draw_gru_cell((*cache_of('gru')[:7], None))),
    ('gates', lambda: plot_gates({})),
    ("gates['f']", lambda: plot_gates({'f': A})),
    ("gates['g']", lambda: plot_gates({'f': A[0], 'g': A[0, :, 1:]})),
    ('labels', lambda: plot_gates({'f': A[0]}, labels='abc')),
    ('x', lambda: plot_curves(A, {'a': A}, 'x', 'y')),
    ('curves', lambda: plot_curves(X[0, 0], {}, 'x', 'y')),
    ("curves['a']", lambda: plot_curves(X[0, 0], {'a': [1]}, 'x', 'y')),
    ("marks['m']", lambda: plot_curves(X[0, 0], {'a': X[0, 0]}, 'x', 'y', marks={'m': 'here'})),
    ("norms['a']", lambda: plot_gradient_flow({'a': [1., -1.]})),
    ('history', lambda: plot_history([])),
    ('history', lambda: plot_history([1])),
    ('unit', lambda: plot_history(HISTORY, unit=None)),
    ('x', lambda: plot_memory(np.zeros((9, 9, 9)))),
    ('x', lambda: plot_memory(X[:1, :, ::2])),
    ('text', lambda: color_text('', [0.])),
    ('values', lambda: color_text('abc', [0, 1])),
    ('values', lambda: color_text('a', [np.nan]))])
def test_what_does_not_fit_is_refused_in_one_line(name, call):
    with pytest.raises((ValueError, TypeError)) as caught: call()
    assert str(caught.value).startswith(f'{name}: got') or 'missing' in str(caught.value)
    assert '\n' not in str(caught.value)
