"Batches by length for any lengths, the search for a learning rate, and the picture that is redrawn."
import math
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnn_nbdev.practice as practice
import rnn_nbdev.viz as viz
from rnn_nbdev.optim import SGD, Adam
from rnn_nbdev.practice import (batches_by_length, find_learning_rate, live_history, padding_share,
                                plot_learning_rates, suggested_rate)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 500), min_size=1, max_size=80), st.integers(1, 90), st.integers(0, 9),
       st.floats(0, 0.9))
def test_every_example_is_in_one_batch(lengths, batch_size, seed, spread):
    before = list(lengths)
    batches = batches_by_length(lengths, batch_size, np.random.default_rng(seed), spread)
    assert sorted(int(i) for batch in batches for i in batch) == [*range(len(lengths))] and lengths == before
    sizes = sorted((len(batch) for batch in batches), reverse=True)
    assert all(size == batch_size for size in sizes[:-1]) and 1 <= sizes[-1] <= batch_size
    again = batches_by_length(np.array(lengths), batch_size, np.random.default_rng(seed), spread)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_strict_sorting_has_the_least_padding():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 100, 960)
    shares = [padding_share(lengths, batches_by_length(lengths, 32, rng, spread)) for spread in (0, 0.05, 0.3, 0.9)]
    assert shares == sorted(shares) and shares[0] < 0.05
    batches = batches_by_length(lengths, 32, rng, spread=0)
    ends = sorted((lengths[b].min(), lengths[b].max()) for b in batches)
    assert all(a[1] <= b[0] for a, b in pairwise(ends))


class Bowl:
    "A loss whose largest bearable rate for plain descent is known: 2 / curvature"
    unit = 'step'
    def __init__(self, curvature): self.curvature = curvature
    def begin(self, rng): return {'x': np.array([3.0])}, {}
    def gradients(self, parameters, carry, rng):
        x = parameters['x']
        return float(self.curvature / 2 * x @ x), {'x': self.curvature * x}, carry, 1
    def validation_loss(self, parameters): return 0.0
    def arrays(self, parameters, carry): yield from parameters.items()


@pytest.mark.parametrize('curvature', [0.5, 5.0, 50.0])
def test_the_suggested_rate_is_bearable_and_not_timid(curvature):
    rates, losses = find_learning_rate(Bowl(curvature), SGD(), lowest=1e-5, highest=100)
    assert 2e-3 / curvature < suggested_rate(rates, losses) < 2 / curvature
    assert rates[0] == 1e-5 and len(rates) == len(losses) <= 100


@pytest.mark.parametrize('lowest, highest', [(1e-300, 1e300), (1e-320, 1.0), (1e-5, 1e308)])
def test_the_widest_range_is_searched(lowest, highest):
    "No rate on the way overflows; the search ends where the loss does"
    rates, losses = find_learning_rate(Bowl(1.0), SGD(), lowest=lowest, highest=highest)
    assert rates[0] == lowest and (np.diff(rates) > 0).all() and 0 < len(rates) == len(losses) <= 100
    assert np.isfinite(rates).all() and np.isfinite(losses).all()


def test_the_search_ends_when_nothing_is_finite_any_more():
    class Wild(Bowl):
        def gradients(self, parameters, carry, rng):
            loss, *rest = super().gradients(parameters, carry, rng)
            return (np.nan if abs(parameters['x'][0]) < 2 else loss), *rest
    rates, losses = find_learning_rate(Wild(1.0), Adam(), highest=10)
    assert 0 < len(rates) < 100 and np.isfinite(losses).all()


def entry(step, **more): return {'step': step, 'loss': 1 / step, **more}


def test_outside_a_notebook_nothing_is_imported_or_shown():
    code = '''if True:
        import sys
        from rnn_nbdev.practice import live_history
        draw = live_history()
        for step in range(1, 5): draw(None, {'step': step, 'loss': 1.0, 'validation_loss': 2.0})
        print(*({'IPython', 'matplotlib'} & {*sys.modules}))'''
    said = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == '' == said.stderr


def test_in_a_notebook_one_picture_is_drawn_again_and_again(monkeypatch):
    drawn, shown, updated = [], [], []
    monkeypatch.setitem(sys.modules, 'IPython', SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())))
    show = lambda figure, display_id: shown.append(figure) or SimpleNamespace(update=updated.append)
    monkeypatch.setitem(sys.modules, 'IPython.display', SimpleNamespace(display=show))
    monkeypatch.setattr(viz, 'plot_history', lambda entries, unit: drawn.append(len(entries)) or len(entries))
    draw = live_history(history=[entry(1)], seconds=1000)
    draw(None, entry(2))
    for step in range(3, 100): draw(None, entry(step))
    draw(None, {'step': 99, 'validation_loss': 2.0})
    assert shown == [2] and updated == [100] and drawn == [2, 100]


def test_a_terminal_of_ipython_is_no_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, 'IPython', SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    assert not practice._in_notebook()
    monkeypatch.setitem(sys.modules, 'IPython', SimpleNamespace(get_ipython=lambda: None))
    assert not practice._in_notebook()


RNG, RATES, LOSSES = np.random.default_rng(0), np.array([0.1, 0.2, 0.3]), np.ones(3)


@pytest.mark.parametrize('words, make', [
    ('lengths: got []', lambda: batches_by_length([], 1, RNG)),
    ('lengths: got [1.5]', lambda: batches_by_length([1.5], 1, RNG)),
    ('lengths: got [0, 1]', lambda: padding_share([0, 1], [[0]])),
    ('lengths', lambda: padding_share([[1], [1, 2]], [[0]])),
    ('batches: got none, expected one or more', lambda: padding_share([1, 2], [])),
    ('batches: got [2], expected some of the examples 0 to 1', lambda: padding_share([1, 2], [[2]])),
    ('batches: got []', lambda: padding_share([1, 2], [[]])), ('rng: got 7', lambda: batches_by_length([1], 1, 7)),
    ('lowest, highest: got 1.0, 0.1, expected lowest < highest', lambda: find_learning_rate(Bowl(1), Adam(), 1., 0.1)),
    ('highest: got inf', lambda: find_learning_rate(Bowl(1), Adam(), highest=math.inf)),
    ('losses: got shape (2,), expected (3,) for rates with n = 3', lambda: suggested_rate(RATES, np.ones(2))),
    ('losses', lambda: suggested_rate(RATES, np.array([1, math.nan, 1]))),
    ('rates', lambda: suggested_rate(RATES[::-1], LOSSES)), ('rates', lambda: plot_learning_rates(-RATES, LOSSES)),
    ('rates', lambda: suggested_rate(np.array([0.1, 0.2, math.inf]), LOSSES)),
    ('history: got 3, expected a list of entries', lambda: live_history([3]))])
def test_what_makes_no_sense_is_refused(words, make):
    with pytest.raises((ValueError, TypeError)) as caught: make()
    assert str(caught.value).startswith(words), caught.value
