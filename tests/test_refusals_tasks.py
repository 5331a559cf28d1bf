"Everything but layers and training: whatever makes no sense is refused in one line that names it, before any work."
import numpy as np
import pytest
from test_refusals import refused

from rnn_nbdev.recurrent import ENGINES, Stream, engine_of, has_numba

RNG = np.random.default_rng


# ------------------------------------------------------------------------------------------------------------ streams

def lstm(m: int = 1):
    from rnn_nbdev.init import initialize_lstm
    parameters = initialize_lstm(RNG(0), 3, 5)
    return parameters, {'a': RNG(1).standard_normal((5, m)), 'c': RNG(2).standard_normal((5, m))}


@pytest.mark.parametrize('name', [name for name in ENGINES if name != 'textbook' and (name != 'jit' or has_numba())])
@pytest.mark.parametrize('m', [1, 2])
def test_a_stream_begins_anew(name, m):
    "Whatever it was fed, NaN too; from where it started, which nobody has changed by then, or from where one says"
    parameters, state = lstm(m)
    first = {key: s.copy() for key, s in state.items()}
    with engine_of(name): stream = Stream('lstm', parameters, state)
    x = RNG(3).standard_normal((3, m))
    once = stream.step(x).copy()
    there = stream.state
    twice = stream.step(x).copy()
    for s in state.values(): s[:] = 7
    stream.step(x * np.nan)
    assert np.isnan(stream.step(x)).all()
    stream.reset()
    for key, s in stream.state.items(): np.testing.assert_array_equal(s, first[key])
    np.testing.assert_array_equal(stream.step(x), once)
    stream.reset(there)
    np.testing.assert_array_equal(stream.step(x), twice)
    stream.reset(first)
    for bad in ({'a': first['a']}, {**first, 'c': np.ones((5, m + 1))}, {**first, 'a': None}, 'a', np.ones((5, m))):
        assert refused('', stream.reset, bad).split(':')[0] in ('state', 'a', 'c')
        for key, s in stream.state.items(): np.testing.assert_array_equal(s, first[key])


@pytest.mark.parametrize('name', [name for name in ENGINES if name != 'textbook' and (name != 'jit' or has_numba())])
def test_a_stream_of_nothing(name):
    parameters, state = lstm()
    with engine_of(name):
        for bad in (None, [], 'x', 3): refused('parameters', Stream, 'lstm', bad, state)
        for bad in (None, [], 'x', 3, {}): refused('state', Stream, 'lstm', parameters, bad)
        refused('a', Stream, 'lstm', parameters, {'a': np.ones((5, 0)), 'c': np.ones((5, 0))})
        refused('Wc', Stream, 'lstm', {**parameters, 'Wc': np.ones((5, 3))}, state)
        stream = Stream('lstm', parameters, state)
    for bad in (None, 'x', 3., np.ones(4), np.ones((3, 2)), np.array([['a']] * 3), np.array([[None]] * 3)):
        refused('x_t', stream.step, bad)


# ------------------------------------------------------------------------------------------- one argument at a time

D = RNG(0).standard_normal


def piece(x, W): return W @ x, (x, W)
def piece_backward(dy, cache): return {'dx': cache[1].T @ dy, 'dW': dy @ cache[0].T}
