"The fast kernels against the textbook: every size with 1 in every position, both types, lengths, directions, tokens."
import functools
import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rnn_nbdev import jit, kernels, recurrent, rnn, threads as crew
from rnn_nbdev.checks import trusted
from rnn_nbdev.fused import (
    _BLOCK, jit_affine_backward, jit_affine_forward, jit_output_loss, jit_output_loss_backward,
)
from rnn_nbdev.gradcheck import check_gradients, leaves, refused
from rnn_nbdev.init import initialize_gru, initialize_lstm, initialize_rnn
from rnn_nbdev.jit import _cut_units, _shards, jit_backward
from rnn_nbdev.kernels import checked_call, textbook_backward, thinned, thinned_backward
from rnn_nbdev.lstm import lstm_backward, lstm_forward
from rnn_nbdev.optim import (
    SGD, Adam, RMSProp, WeightAverage, averaged_parameters, clip_by_value, initialize_adam, update_parameters_with_adam,
)
from rnn_nbdev.outputs import loss_backward, loss_forward, output_backward, output_forward
from rnn_nbdev.recurrent import (
    ENGINES, Stream, engine, engine_of, has_numba, _passes, recurrent_backward, recurrent_forward, use_engine,
)
from rnn_nbdev.rnn import output_loss, output_loss_backward
from rnn_nbdev.threads import cut, most_threads, wake_up

cells = ['rnn', 'lstm', 'gru', 'gru_after']
needs_numba = pytest.mark.skipif(not has_numba(), reason='Numba is not installed')
engines = ['numpy', pytest.param('jit', marks=needs_numba)]
tolerance = {np.float64: 1e-12, np.float32: 1e-5}
by_cell = pytest.mark.parametrize('cell', cells)
by_engine = pytest.mark.parametrize('engine', engines)
by_dtype = pytest.mark.parametrize('dtype', tolerance, ids=lambda dtype: dtype.__name__)
sizes = list(itertools.product((1, 3), (1, 5), (1, 4), (1, 6))) + [(3, 17, 9, 12), (8, 32, 16, 5)]


def passes(name):
    "The two passes of an engine, the first one from the arguments of a call"
    forward, backward = _passes(name)
    return lambda *given, threads={}, **options: forward(checked_call(*given, **options), **threads), backward


def textbook_forward(*given, **options): return passes('textbook')[0](*given, **options)


def jit_forward(*given, threads=None, **options):
    "The compiled pass on so many threads"
    return passes('jit')[0](*given, threads={'threads': threads}, **options)


def case(cell, n_x, n_a, m, T, dtype=np.float64, seed=0, n_tokens=None):
    "x or tokens, state, parameters, and upstream gradients"
    rng = np.random.default_rng(seed)
    init = {'rnn': initialize_rnn, 'lstm': initialize_lstm}.get(cell, initialize_gru)
    options = {'reset_after': True} if cell == 'gru_after' else {}
    parameters = init(rng, n_x, n_a, dtype=dtype, **options)
    parameters = {k: (p + 0.3*rng.standard_normal(p.shape)).astype(dtype) for k, p in parameters.items()}
    normal = lambda *shape: rng.standard_normal(shape).astype(dtype)
    names = ('a', 'c') if cell == 'lstm' else ('a',)
    state, dstate = ({name: normal(n_a, m) for name in names} for _ in range(2))
    x = normal(n_x, m, T) if n_tokens is None else rng.integers(0, n_tokens, (m, T))
    table = {} if n_tokens is None else {'table': normal(n_x, n_tokens)}
    return x, state, parameters, normal(n_a, m, T), dstate, table


def alone(run, **env):
    "Run Python code in a process of its own"
    return subprocess.run([sys.executable, '-c', run], capture_output=True, text=True, timeout=300,
                          check=False, env={**os.environ, **env})


def flatten(results):
    "Every array of nested dictionaries and tuples, by name"
    return {name: array for name, array in leaves(results) if array is not None}


def assert_equal(given, expected, tol):
    "Equal names, shapes and types, and errors below `tol` of each array's largest entry, or of 0.1 where sums cancel"
    given, expected = flatten(given), flatten(expected)
    assert given.keys() == expected.keys()
    for name, e in expected.items():
        g = given[name]
        assert g.shape == e.shape and g.dtype == e.dtype, (name, g.shape, g.dtype, e.shape, e.dtype)
        assert np.abs(g - e).max(initial=0) <= tol*max(np.abs(e).max(initial=0), 0.1), name


def compare(engine, cell, x, state, parameters, da, dstate, table, tol, **options):
    "One engine against the textbook, both ways, twice back"
    forward, backward = passes(engine)
    before = {name: array.copy() for name, array in flatten((x, state, parameters, da, dstate, table)).items()}
    a, final, cache = forward(cell, x, state, parameters, **options, **table)
    expected = textbook_forward(cell, x, state, parameters, **options, **table)
    assert_equal((a, final), expected[:2], tol)
    back = backward(da, dstate, cache)
    assert_equal(back, textbook_backward(da, dstate, expected[2]), tol)
    again = flatten(backward(da, dstate, cache))
    for name, g in flatten(back).items(): np.testing.assert_array_equal(g, again[name])
    for name, array in flatten((x, state, parameters, da, dstate, table)).items():
        np.testing.assert_array_equal(array, before[name])
    return a, final, cache, back


@by_dtype
@by_engine
@by_cell
def test_every_size_equals_the_textbook(cell, engine, dtype):
    for size in sizes:
        compare(engine, cell, *case(cell, *size, dtype), tolerance[dtype])


def test_the_reference_is_the_textbook_itself():
    "What the kernels are compared with adds lengths and directions to the textbook, and changes nothing else"
    x, state, parameters, da, _, _ = case('lstm', 3, 5, 4, 6)
    a, _, c, caches = lstm_forward(x, state['a'], parameters, state['c'])
    ours, final, cache = textbook_forward('lstm', x, state, parameters)
    assert_equal((ours, final), (a, {'a': a[:, :, -1], 'c': c[:, :, -1]}), 0)
    expected = lstm_backward(da, caches, with_dc0=True)
    dx, dparameters, dstate = textbook_backward(da, None, cache)
    given = {'dx': dx, **{f'd{k}': g for k, g in dparameters.items()}, 'da0': dstate['a'], 'dc0': dstate['c']}
    assert_equal(given, expected, 1e-14)


@by_dtype
@by_engine
@by_cell
@pytest.mark.parametrize('reverse', [False, True])
def test_lengths_and_directions(cell, engine, dtype, reverse):
    x, state, parameters, da, dstate, table = case(cell, 3, 5, 6, 7, dtype)
    for lengths in (None, [7, 1, 4, 0, 7, 2], [3, 3, 3, 3, 3, 3], [1, 1, 1, 1, 1, 1]):
        lengths = None if lengths is None else np.array(lengths)
        given = x, state, parameters, da, dstate, table, tolerance[dtype]
        a, final, *_ = compare(engine, cell, *given, lengths=lengths, reverse=reverse)
        if lengths is None: continue
        for j, length in enumerate(lengths):
            assert not a[:, j, length:].any()
            if length == 0:
                for name in state: np.testing.assert_array_equal(final[name][:, j], state[name][:, j])
            else: np.testing.assert_array_equal(final['a'][:, j], a[:, j, 0 if reverse else length - 1])


@by_engine
@by_cell
@pytest.mark.parametrize('reverse', [False, True])
def test_padding_influences_nothing(cell, engine, reverse):
    forward, backward = passes(engine)
    x, state, parameters, da, dstate, _ = case(cell, 3, 5, 4, 6)
    lengths = np.array([6, 2, 5, 1])
    own = np.arange(6) < lengths[:, None]
    results = []
    for padding in (0, np.nan, 1e30):
        padded, above = np.where(own, x, padding), np.where(own, da, padding)
        a, final, cache = forward(cell, padded, state, parameters, lengths, reverse)
        results.append(flatten((a, final, backward(above, dstate, cache))))
    for other in results[1:]:
        for name in other: np.testing.assert_array_equal(other[name], results[0][name])


@by_dtype
@by_engine
@by_cell
def test_tokens(cell, engine, dtype):
    for m, T, n_tokens in ((4, 6, 9), (4, 6, 40), (4, 6, 5), (1, 3, 50), (5, 8, 2), (1, 1, 1)):
        for lengths in (None, np.arange(m) % (T + 1)):
            for reverse in (False, True):
                given = case(cell, 3, 5, m, T, dtype, n_tokens=n_tokens)
                compare(engine, cell, *given, tolerance[dtype], lengths=lengths, reverse=reverse)


@by_dtype
@by_cell
@pytest.mark.parametrize(('n_tokens', 'm', 'few'), [(5, 6, True), (6, 6, False), (50, 1, True), (50, 6, False)])
def test_the_gradients_of_few_tokens_are_added_first(cell, dtype, n_tokens, m, few, monkeypatch):
    "Fewer than twice as many tokens as features, in the table or in the batch; both ways give the same"
    add, added = kernels._columns_by_token, []
    monkeypatch.setattr(kernels, '_columns_by_token', lambda *given: added.append(given) or add(*given))
    given = case(cell, 3, 5, m, 4, dtype, n_tokens=n_tokens)
    _, _, cache, back = compare('numpy', cell, *given, tolerance[dtype])
    assert bool(added) == few
    added.clear()
    dtable, dparameters, _ = kernels.numpy_backward(*given[3:5], cache, inputs=False)     # one product less to save
    assert dtable is None and not added
    assert_equal(dparameters, back[1], tolerance[dtype])


@by_dtype
@by_engine
@by_cell
def test_inference_gives_the_same_and_keeps_nothing(cell, engine, dtype):
    forward, _ = passes(engine)
    for lengths, reverse, n_tokens in itertools.product((None, np.array([40, 3, 17, 0])), (False, True), (None, 7)):
        x, state, parameters, _, _, table = case(cell, 3, 64, 4, 40, dtype, n_tokens=n_tokens)
        a, final, _ = forward(cell, x, state, parameters, lengths, reverse, **table)
        for outputs in (True, False):
            options = {'training': False, 'outputs': outputs, **table}
            b, last, cache = forward(cell, x, state, parameters, lengths, reverse, **options)
            assert cache is None and (b is None) == (not outputs)
            assert_equal(last, final, 10*np.finfo(dtype).eps)
            if outputs: assert_equal(b, a, 10*np.finfo(dtype).eps)


@by_dtype
@by_engine
@by_cell
def test_what_is_not_a_number_shows_and_stays_with_its_example(cell, engine, dtype):
    forward, backward = passes(engine)
    x, state, parameters, da, _, _ = case(cell, 3, 37, 4, 6, dtype)
    a, _, cache = forward(cell, x, state, parameters)
    for bad in (np.nan, np.inf):
        broken = x.copy()
        broken[0, 2, 3] = bad
        with np.errstate(all='ignore'):
            b, _, cache = forward(cell, broken, state, parameters)
            _, dparameters, _ = backward(da, None, cache)
        np.testing.assert_array_equal(b[:, [0, 1, 3]], a[:, [0, 1, 3]])
        np.testing.assert_array_equal(b[:, 2, :3], a[:, 2, :3])
        if np.isnan(bad):
            assert np.isnan(b[:, 2, 3:]).all()
            assert all(np.isnan(g).any() for g in dparameters.values())


@by_engine
@by_cell
def test_missing_upstream_gradients_are_zeros(cell, engine):
    forward, backward = passes(engine)
    x, state, parameters, da, dstate, _ = case(cell, 3, 5, 4, 6)
    cache = forward(cell, x, state, parameters)[2]
    zeros = {name: np.zeros_like(d) for name, d in dstate.items()}
    assert_equal(backward(None, dstate, cache), backward(np.zeros_like(da), dstate, cache), 1e-14)
    assert_equal(backward(da, None, cache), backward(da, zeros, cache), 1e-14)
    assert_equal(backward(da, {'a': dstate['a']}, cache), backward(da, {**zeros, 'a': dstate['a']}, cache), 1e-14)
    assert backward(da, None, cache, inputs=False)[0] is None


@by_engine
@by_cell
def test_any_memory_order_gives_the_same(cell, engine):
    forward, backward = passes(engine)
    x, state, parameters, da, dstate, _ = case(cell, 3, 5, 4, 6)
    results = []
    changes = np.ascontiguousarray, np.asfortranarray, lambda v: np.repeat(v, 2, axis=1)[:, ::2]
    for change in changes:
        s, p, d = ({k: change(v) for k, v in part.items()} for part in (state, parameters, dstate))
        a, final, cache = forward(cell, change(x), s, p)
        assert a.flags.f_contiguous
        results.append(flatten((a, final, backward(change(da), d, cache))))
    for other in results[1:]: assert_equal(other, results[0], 1e-14)


@by_engine
@by_cell
def test_gradients_against_differences(cell, engine):
    forward, backward = passes(engine)
    x, state, parameters, *_ = case(cell, 3, 4, 3, 5)
    _, _, _, _, _, table = case(cell, 3, 4, 3, 5, n_tokens=6)
    tokens = np.random.default_rng(1).integers(0, 6, (3, 5))
    names = tuple(state)
    for lengths, reverse in itertools.product((None, np.array([5, 2, 4])), (False, True)):
        def run(x, state, parameters, lengths=lengths, reverse=reverse, **table):
            a, final, cache = forward(cell, x, state, parameters, lengths, reverse, **table)
            return a, *final.values(), cache
        def back(da, *rest):
            dinput, dparameters, dstate = backward(da, dict(zip(names, rest)), rest[-1])
            return {'dx': dinput, 'dtable': dinput, 'dparameters': dparameters, 'dstate': dstate}
        outputs = tuple(range(1 + len(names)))
        inputs = {'x': x, 'state': state, 'parameters': parameters}
        assert check_gradients(run, back, inputs, outputs, complex_tolerance=None).worst < 1e-6
        inputs = {'x': tokens, 'state': state, 'parameters': parameters, **table}
        assert check_gradients(run, back, inputs, outputs, complex_tolerance=None).worst < 1e-6


@by_engine
@by_cell
def test_gradients_of_thinned_weights_against_differences(cell, engine):
    "Recurrent dropout: what the gates see of the state is d * a"
    forward, backward = passes(engine)
    x, state, parameters, *_ = case(cell, 3, 4, 3, 5)
    d, names = np.array([2., 0, 1, 1.5]), tuple(state)
    def run(x, state, parameters):
        a, final, cache = forward(cell, x, state, thinned(cell, parameters, d))
        return a, *final.values(), cache
    def back(da, *rest):
        dx, dthinned, dstate = backward(da, dict(zip(names, rest)), rest[-1])
        return {'dx': dx, 'dparameters': thinned_backward(cell, dthinned, d), 'dstate': dstate}
    given = {'x': x, 'state': state, 'parameters': parameters}
    assert check_gradients(run, back, given, tuple(range(1 + len(names))), complex_tolerance=None).worst < 1e-6
    halved = thinned(cell, {name: p.astype(np.float32) for name, p in parameters.items()}, d)
    assert all(p.dtype == np.float32 for p in halved.values())


@by_engine
def test_bad_arguments_are_named(engine):
    _, backward = passes(engine)
    def forward(*given, **options):
        with engine_of(engine): return recurrent_forward(*given, **options)
    x, state, parameters, da, dstate, _ = case('lstm', 3, 5, 4, 6)
    table, tokens = np.zeros((3, 7)), np.zeros((4, 6), int)
    bad = [
        (('elman', x, state, parameters), {}, 'cell: got'),
        (('lstm', x[0], state, parameters), {}, 'x: got shape'),
        (('lstm', x[:, :, :0], state, parameters), {}, 'x: got shape'),
        (('lstm', x[:, :0], {n: s[:, :0] for n, s in state.items()}, parameters), {},
         r'x: got shape \(3, 0, 6\), expected \(n_x, m, T\)'),
        (('lstm', x[:0], state, parameters), {}, r'x: got shape \(0, 4, 6\), expected \(n_x, m, T\)'),
        (('lstm', tokens[:, :0], state, parameters), {'table': table}, r'x: got shape \(4, 0\), expected \(m, T\)'),
        (('lstm', tokens, state, parameters), {'table': table[:, :0]}, r'table: got shape \(3, 0\)'),
        (('lstm', x, {n: s[:0] for n, s in state.items()}, parameters), {},
         r'a: got shape \(0, 4\), expected \(n_a, 4\)'),
        (('lstm', x[:2], state, parameters), {}, 'Wf: got shape'),
        (('lstm', x, {'a': state['a']}, parameters), {}, 'c: missing'),
        (('lstm', x, {}, parameters), {}, r'a: missing; got \[\], expected a with shape \(n_a, 4\)'),
        (('lstm', x, {**state, 'a': state['a'][:, :2]}, parameters), {}, 'a: got shape'),
        (('lstm', x, state, {**parameters, 'bo': np.zeros(5)}), {}, 'bo: got shape'),
        (('lstm', x, state, {k: p for k, p in parameters.items() if k != 'Wo'}), {}, 'Wo: missing'),
        (('lstm', x, state, parameters), {'lengths': [1, 2, 3]}, 'lengths: got shape'),
        (('lstm', x, state, parameters), {'lengths': [1, 2, 3, 7]}, 'lengths: got 1 to 7'),
        (('lstm', x, state, parameters), {'lengths': [1, 2, 3, 0.5]}, 'lengths: got shape'),
        (('lstm', x, state, parameters), {'table': table}, 'x: got shape'),
        (('lstm', tokens + 7, state, parameters), {'table': table}, 'x: got tokens'),
        (('lstm', tokens - 1, state, parameters), {'table': table}, 'x: got tokens'),
    ]
    for args, options, message in bad:
        with pytest.raises(ValueError, match=message): forward(*args, **options)
    cache = passes(engine)[0]('lstm', x, state, parameters)[2]
    with pytest.raises(ValueError, match='da: got shape'): backward(da[:, :, :3], None, cache)
    with pytest.raises(ValueError, match='dc: got shape'): backward(da, {'c': np.zeros((2, 2))}, cache)
    with pytest.raises(ValueError, match='dstate: got h'): backward(da, {'h': dstate['a']}, cache)
    with pytest.raises(TypeError, match='da: got complex128'): backward(da * 1j, None, cache)
    with pytest.raises(TypeError, match='expected numbers'): backward(da.astype(str), None, cache)
    with pytest.raises(TypeError, match='x: got <U'): forward('lstm', x.astype(str), state, parameters)
    for kind in (str, object):
        with pytest.raises(TypeError, match=r'^table: got'):
            forward('lstm', tokens, state, parameters, table=table.astype(kind))


@by_engine
def test_a_stream_of_real_numbers_takes_no_others(engine):
    x, state, parameters, *_ = case('lstm', 3, 5, 4, 6)
    with engine_of(engine): stream = Stream('lstm', parameters, state)
    with pytest.raises(TypeError, match=r'^x_t: got complex128, expected real numbers'): stream.step(x[:, :, 0] * 1j)
    with pytest.raises(TypeError, match=r'^c: got complex128'): stream.reset({**state, 'c': state['c'] * 1j})
    for name, s in stream.state.items(): np.testing.assert_array_equal(s, state[name])


def test_a_stream_may_be_complex_in_numpy():
    x, state, parameters, *_ = case('gru', 3, 5, 4, 6)
    with engine_of('numpy'):
        stream = Stream('gru', {name: p * (1 + 0.1j) for name, p in parameters.items()}, state)
        assert stream.step(x[:, :, 0] * 1j).dtype == np.complex128
    stream.reset({'a': state['a'] * 1j})


@needs_numba
def test_compiled_passes_name_what_they_have_no_code_for():
    x, state, parameters, *_ = case('lstm', 3, 5, 4, 6)
    refused = 'complex128, expected float32 or float64'
    with pytest.raises(TypeError, match=refused): jit_forward('lstm', x * 1j, state, parameters)
    for threads in (0, -1, 1.5, '2'):
        with pytest.raises(ValueError, match='threads: got'): jit_forward('lstm', x, state, parameters, threads=threads)


@by_dtype
@by_engine
@by_cell
def test_a_stream_equals_the_sequence(cell, engine, dtype):
    for n_x, n_a, m, T in ((1, 1, 1, 3), (3, 5, 1, 7), (5, 37, 3, 4), (70, 65, 7, 3)):
        x, state, parameters, *_ = case(cell, n_x, n_a, m, T, dtype)
        before = {name: array.copy() for name, array in flatten((state, parameters)).items()}
        with engine_of(engine): stream = Stream(cell, parameters, state)
        a = np.stack([stream.step(x[:, :, t]).copy() for t in range(T)], axis=2)
        assert_equal((a, stream.state), textbook_forward(cell, x, state, parameters)[:2], tolerance[dtype])
        for name, array in flatten((state, parameters)).items(): np.testing.assert_array_equal(array, before[name])
        with pytest.raises(ValueError, match='x_t: got shape'): stream.step(np.zeros((n_x + 1, m)))
        if m == 1: assert stream.step(x[:, 0, 0]).shape == (n_a, 1)


@by_engine
@pytest.mark.parametrize('m', [1, 2])
def test_a_stream_begins_anew(engine, m):
    "Whatever it was fed, NaN too; from where it started, which nobody has changed by then, or from where one says"
    x, state, parameters, *_ = case('lstm', 3, 5, m, 1)
    x, first = x[:, :, 0], {key: s.copy() for key, s in state.items()}
    with engine_of(engine): stream = Stream('lstm', parameters, state)
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
        assert refused(stream.reset, bad).split(':')[0] in ('state', 'a', 'c')
        for key, s in stream.state.items(): np.testing.assert_array_equal(s, first[key])


@by_engine
def test_a_stream_of_nothing(engine):
    _, state, parameters, *_ = case('lstm', 3, 5, 1, 1)
    with engine_of(engine):
        for bad in (None, [], 'x', 3): assert refused(Stream, 'lstm', bad, state).startswith('parameters: got')
        for bad in (None, [], 'x', 3): assert refused(Stream, 'lstm', parameters, bad).startswith('state: got')
        for name in parameters:
            rest = {other: p for other, p in parameters.items() if other != name}
            assert refused(Stream, 'lstm', rest, state).startswith(f'{name}: missing')
        assert refused(Stream, 'lstm', parameters, {'a': state['a']}).startswith('c: missing')
        assert refused(Stream, 'lstm', parameters, {}).startswith('a: missing')
        empty = {'a': np.ones((5, 0)), 'c': np.ones((5, 0))}
        assert refused(Stream, 'lstm', parameters, empty).startswith('a: got shape (5, 0)')
        assert refused(Stream, 'lstm', {**parameters, 'Wc': np.ones((5, 3))}, state).startswith('Wc: got shape (5, 3)')
        stream = Stream('lstm', parameters, state)
    for bad in (None, 'x', 3., np.ones(4), np.ones((3, 2)), np.array([['a']] * 3), np.array([[None]] * 3)):
        assert refused(stream.step, bad).startswith('x_t: got')


@needs_numba
@by_cell
def test_threads_change_nothing_but_the_rounding(cell):
    x, state, parameters, da, dstate, _ = case(cell, 8, 20, 13, 11)
    for lengths in (None, np.arange(13) % 12):
        results = []
        for threads in (1, 2, 3, 3, 13, 20):
            a, final, cache = jit_forward(cell, x, state, parameters, lengths, threads=threads)
            results.append(flatten((a, final, jit_backward(da, dstate, cache))))
        for other in results[1:]: assert_equal(other, results[0], 1e-14)
        for name in results[2]: np.testing.assert_array_equal(results[3][name], results[2][name])


@needs_numba
@by_dtype
def test_an_output_layer_equals_the_textbook(dtype):
    affine_forward, affine_backward = trusted(rnn.affine_forward), trusted(rnn.affine_backward)     # no columns, too
    rng = np.random.default_rng(0)
    some = itertools.product((1, 5, 70), (1, 9, 130), ((1,), (_BLOCK,), (3, 1), (1, 7), (_BLOCK + 1, 2), (13, 31)))
    for n_y, n_a, columns in [*some, (2, 3, (0,)), (2, 3, (4, 0))]:
        a, W, b, dz = (rng.normal(size=shape).astype(dtype)
                       for shape in ((n_a, *columns), (n_y, n_a), (n_y, 1), (n_y, *columns)))
        before = flatten((a, W, b, dz))
        for given in (a, np.asfortranarray(a)):
            z, cache = trusted(affine_forward)(given, W, b)             # no columns at all are some, too
            expected, results = trusted(affine_backward)(dz, cache), []
            for threads in (1, 2, 3, 3):
                found, cache = jit_affine_forward(given, W, b, threads)
                back = jit_affine_backward(np.asfortranarray(dz), cache)
                sums = back['db']
                assert (abs(back.pop('db') - expected['db']) <= tolerance[dtype]/10 * abs(dz).sum()).all()
                assert_equal((found, back), (z, {'da': expected['da'], 'dW': expected['dW']}), tolerance[dtype])
                results.append(flatten((found, {**back, 'db': sums})))
            for other in results[1:]:
                for name in ('0', '1.da'): np.testing.assert_array_equal(other[name], results[0][name])
            for name in results[2]: np.testing.assert_array_equal(results[3][name], results[2][name])
        for name, array in flatten((a, W, b, dz)).items(): np.testing.assert_array_equal(array, before[name])


@needs_numba
def test_an_output_layer_goes_with_the_engine_where_it_is_large():
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(90, 64)), rng.normal(size=(90, 1))
    for columns, name, own in (((20, 50), 'jit', True), ((20, 50), 'numpy', False), ((20, 5), 'jit', False)):
        a, dz = rng.normal(size=(64, *columns)), rng.normal(size=(90, *columns))
        with engine_of(name):
            z, cache = output_forward(a, W, b)
            gradients = output_backward(dz, cache)
            assert (cache[0] is jit_affine_backward) == own
        assert_equal((z, gradients), (np.einsum('ij,jmt->imt', W, a) + b[:, :, None], {
            'da': np.einsum('ij,imt->jmt', W, dz), 'dW': np.einsum('imt,jmt->ij', dz, a),
            'db': dz.sum(axis=(1, 2))[:, None]}), 1e-12)
        with engine_of(name):
            assert output_forward(a.astype(np.float32), W, b)[0].dtype == np.float64       # mixed: as NumPy does it


@needs_numba
@by_dtype
def test_an_output_layer_with_its_loss_equals_the_textbook(dtype):
    rng = np.random.default_rng(0)
    some = (1,), (_BLOCK,), (3, 1), (1, 7), (_BLOCK + 1, 2), (13, 31)
    for n_y, n_a, columns in itertools.product((1, 5, 64, 70, 130), (1, 9, 128), some):
        a, W, b = (rng.normal(size=shape).astype(dtype) for shape in ((n_a, *columns), (n_y, n_a), (n_y, 1)))
        targets, mask = rng.integers(n_y, size=columns), rng.random(columns) < 0.7
        mask.flat[-1] = True
        before, tol = flatten((a, W, b)), tolerance[dtype]
        for given, which in ((a, None), (np.asfortranarray(a), mask)):
            loss, cache = output_loss(a, W, b, targets, which)
            expected, results = output_loss_backward(0.7, cache), []
            for threads in (1, 2, 3, 3):
                found, cache = jit_output_loss(given, W, b, targets, which, threads)
                back = jit_output_loss_backward(0.7, cache)
                assert found.dtype == dtype and abs(found - loss) <= tol * max(1, abs(loss))
                for name, e in expected.items():          # of one class, the gradient is 0 but for roundings
                    assert back[name].shape == e.shape and back[name].dtype == dtype
                    least = max(abs(e).max(), abs(W).max() / a.size, abs(a).max())
                    assert abs(back[name] - e).max() <= tol * least, name
                results.append(flatten((found, back)))
                again = jit_output_loss_backward(0.7, cache)
                for name in back: np.testing.assert_array_equal(again[name], back[name])
            for name in results[2]: np.testing.assert_array_equal(results[3][name], results[2][name])
        for name, array in flatten((a, W, b)).items(): np.testing.assert_array_equal(array, before[name])


@needs_numba
def test_a_loss_goes_with_the_engine_where_it_is_large():
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(90, 64)), rng.normal(size=(90, 1))
    for columns, name, own in (((20, 50), 'jit', True), ((20, 50), 'numpy', False), ((20, 50), 'textbook', False),
                               ((2, 5), 'jit', False)):
        a = np.random.default_rng(1).normal(size=(64, *columns))
        targets = np.random.default_rng(2).integers(90, size=columns)
        mask = np.random.default_rng(3).random(columns) < 0.7
        right, inner = output_loss(a, W, b, targets, mask)
        with engine_of(name):
            loss, cache = loss_forward(a, W, b, targets, mask)
            assert_equal((loss, loss_backward(0.7, cache)), (right, output_loss_backward(0.7, inner)), 1e-12)
            assert (cache[0] is jit_output_loss_backward) == own
            for wrong, bad in (('targets', (a, W, b, targets[:1])),
                               ('targets', (a, W, b, targets + 90)), ('targets', (a, W, b, targets * 1.0)),
                               ('mask', (a, W, b, targets, np.zeros(columns))), ('mask', (a, W, b, targets, [1, 0]))):
                with pytest.raises((ValueError, TypeError), match=f'^{wrong}: '): loss_forward(*bad)
            with pytest.raises((ValueError, TypeError), match=r'^dloss: '): loss_backward(a, cache)
            mixed, cache = loss_forward(a.astype(np.float32), W, b, targets)                   # as NumPy does it
            assert mixed.dtype == np.float64 and loss_backward(1.0, cache)['da'].dtype == np.float64


@needs_numba
def test_what_is_more_than_an_array_is_left_to_numpy():
    "A masked array knows what of it counts"
    rng = np.random.default_rng(0)
    a, W, b, targets = rng.normal(size=(64, 1000)), rng.normal(size=(90, 64)), np.zeros((90, 1)), np.zeros(1000, int)
    p, g = {'W': np.ma.masked_array(W, W > 0)}, {'W': np.ones_like(W)}
    results = []
    for name in ('numpy', 'jit'):
        with engine_of(name):
            loss, cache = loss_forward(a, p['W'], b, targets)
            results.append((loss, loss_backward(1.0, cache), Adam().update(p, g, Adam().init(p))[0]))
    for name, array in flatten(results[0]).items(): np.testing.assert_array_equal(flatten(results[1])[name], array)
    np.testing.assert_array_equal(results[1][2]['W'].data[W > 0], W[W > 0])


@needs_numba
def test_wild_scores_and_nan_show_in_the_loss():
    b, states = np.zeros((3, 1), np.float32), np.float32([[1, -1, 2]])
    for size in (1.0, 1e4, 1e30):
        W = np.float32([[size], [-size], [0]])
        loss, cache = jit_output_loss(states, W, b, np.array([1, 1, 2]))
        expected, inner = output_loss(states, W, b, np.array([1, 1, 2]))
        assert_equal((loss, jit_output_loss_backward(1.0, cache)), (expected, output_loss_backward(1.0, inner)), 1e-5)
    sure, cache = jit_output_loss(abs(states), W, b, np.zeros(3, int))    # what is too unlikely for its type is 0
    assert sure == 0 and not any(gradient.any() for gradient in jit_output_loss_backward(1.0, cache).values())
    for bad in (np.nan, np.inf):
        loss, cache = jit_output_loss(states * np.float32([1, bad, 1]), W, b, np.array([1, 1, 2]))
        assert np.isnan(loss) and np.isnan(jit_output_loss_backward(1.0, cache)['dW']).any()


@needs_numba
@by_dtype
def test_the_fused_adam_is_numpys_bit_by_bit(dtype):
    rng = np.random.default_rng(0)
    shapes = {'a': (1024,), 'W': (3, 5, 700), 'F': (64, 32), 'mixed': (40, 50), 'few': (7,)}
    p = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    p['F'] = np.asfortranarray(p['F'])
    for adam in (Adam(), Adam(0.02, 0.5, 0.9, 1e-3, weight_decay=0.1)):
        results = []
        for name in ('numpy', 'jit'):
            draw, parameters, state = np.random.default_rng(1), p, adam.init(p)
            with engine_of(name):
                for k in range(5):
                    g = {n: draw.normal(size=shape).astype(dtype) for n, shape in shapes.items()}
                    g['F'] = np.asfortranarray(g['F'])
                    if k % 2: g['mixed'] = np.asfortranarray(g['mixed'])
                    for array in (*g.values(), *parameters.values()): array.flags.writeable = False
                    parameters, state = adam.update(parameters, g, state, 0.01 / (k + 1))
            results.append(flatten((parameters, state)))
        for name in results[0]:
            assert results[1][name].dtype == results[0][name].dtype
            np.testing.assert_array_equal(results[1][name], results[0][name])
        bad = {**g, 'W': g['W'] * np.nan}
        with engine_of('jit'): assert np.isnan(adam.update(p, bad, adam.init(p))[0]['W']).all()


@pytest.mark.parametrize('number', [np.float64, np.float32, np.longdouble], ids=lambda number: number.__name__)
@pytest.mark.parametrize('engine', ['textbook', *engines])
def test_numbers_of_numpy_are_numbers_like_any_other(engine, number):
    "Rates come from np.geomspace, options from a search: float32 stays float32, and large arrays do what small ones do"
    p = {name: np.random.default_rng(0).normal(size=shape).astype(np.float32) for name, shape in (
        ('small', (3, 2)), ('large', (40, 50)))}
    makers = (lambda n: Adam(n(.01), n(.5), n(.75), n(1e-4), n(.25)), lambda n: SGD(n(.01), n(.5), True),
              lambda n: SGD(n(.01)), lambda n: RMSProp(n(.01), n(.5), n(1e-4)))
    with engine_of(engine):
        for make, rate in itertools.product(makers, (None, .125)):
            results = []
            for n in (lambda x: float(number(x)), number):
                after, state = p, make(n).init(p)
                for _ in range(2): after, state = make(n).update(after, p, state, rate and n(rate))
                results.append((after, state))
            for given, expected in zip(results[1], results[0]):
                for name, a in expected.items():
                    assert given[name].dtype == a.dtype == (np.int64 if name == 't' else np.float32)
                    np.testing.assert_array_equal(given[name], a)
    given = p, {f'd{n}': a for n, a in p.items()}, *initialize_adam(p)
    for part in update_parameters_with_adam(*given, np.int64(2), *map(number, (.01, .5, .75, 1e-4))):
        assert {a.dtype for a in part.values()} == {np.dtype('float32')}
    assert {a.dtype for a in clip_by_value(p, number(.5)).values()} == {np.dtype('float32')}
    for average in (WeightAverage(number(.5)), WeightAverage(start=np.int64(1))):
        state = average.init(p)
        for _ in range(4): state = average.update(p, state)
        assert {a.dtype for a in averaged_parameters(state).values()} == {np.dtype('float32')}


def test_any_byte_order_takes_steps():
    "Files of other machines hold numbers with their bytes the other way round"
    p = {'W': np.ones((3, 2))}
    other = {'W': p['W'].astype('>f8')}
    after = []
    for parameters, gradients in ((p, p), (other, p), (other, other), (p, other)):
        state = Adam().init(parameters)
        for _ in range(2): parameters, state = Adam().update(parameters, gradients, state)
        after.append(parameters['W'])
    for W in after: np.testing.assert_array_equal(W, after[0])
    with pytest.raises(TypeError, match='gradients'): Adam().update({'W': np.ones((3, 2), '>f4')}, p, Adam().init(p))


@needs_numba
def test_the_number_of_threads_follows_the_environment_and_the_work(monkeypatch):
    monkeypatch.setenv('RNN_NBDEV_THREADS', '3')
    assert most_threads() == 3
    for many in ('100000', '9' * 5000):
        monkeypatch.setenv('RNN_NBDEV_THREADS', many)
        assert 64 <= most_threads() <= max(64, os.cpu_count())
    monkeypatch.setenv('RNN_NBDEV_THREADS', '3')
    x, state, parameters, *_ = case('lstm', 8, 64, 32, 50)
    assert len(_shards(checked_call('lstm', x, state, parameters), None, 8, None)[0]) == 3
    x, state, parameters, *_ = case('lstm', 8, 64, 32, 1)
    assert len(_shards(checked_call('lstm', x, state, parameters), None, 8, None)[0]) == 1      # too little to share
    for bad in ('0', '-1', 'two'):
        monkeypatch.setenv('RNN_NBDEV_THREADS', bad)
        with pytest.raises(ValueError, match='RNN_NBDEV_THREADS: got'): most_threads()
    for m, threads in itertools.product((1, 2, 7, 32), (1, 2, 5)):
        lengths = np.sort(np.random.default_rng(m).integers(0, 9, m))[::-1]
        for parts in (cut(lengths, m, threads), cut(None, m, threads), _cut_units(m, threads, 16)):
            assert [row for first, last in parts for row in range(first, last)] == list(range(m))
            assert len(parts) <= threads


@needs_numba
def test_few_examples_share_the_units():
    for (n_a, m, T, dtype), tokens in itertools.product(((130, 1, 300, np.float32), (40, 3, 9, np.float64)), (None, 6)):
        x, state, parameters, da, dstate, table = case('lstm', 5, n_a, m, T, dtype, n_tokens=tokens)
        parameters = {name: dtype(0.2)*p for name, p in parameters.items()}      # or rounding grows with the steps
        expected = textbook_forward('lstm', x, state, parameters, **table)
        back = textbook_backward(da, dstate, expected[2])
        results = []
        for threads in (1, 2, 2, 3):
            a, final, cache = jit_forward('lstm', x, state, parameters, threads=threads, **table)
            assert_equal((a, final), expected[:2], 2*tolerance[dtype])
            results.append(flatten((a, final, jit_backward(da, dstate, cache))))
            assert_equal(jit_backward(da, dstate, cache), back, 2*tolerance[dtype])
            outputs, last, _ = jit_forward('lstm', x, state, parameters, threads=threads, training=False, **table)
            np.testing.assert_array_equal(outputs, a)
            for name in final: np.testing.assert_array_equal(last[name], final[name])
        for name in results[1]: np.testing.assert_array_equal(results[1][name], results[2][name])
        pool, _ = wake_up(2)
        if pool is None: continue
        with pool.lock:                                      # nobody helps: the same, bit for bit
            a, final, cache = jit_forward('lstm', x, state, parameters, threads=2, **table)
            alone = flatten((a, final, jit_backward(da, dstate, cache)))
        for name in alone: np.testing.assert_array_equal(alone[name], results[1][name])


@needs_numba
def test_threads_do_not_survive_a_fork_and_do_not_hold_up_the_end():
    run = """
import os, numpy as np
from rnn_nbdev.init import initialize_lstm
from rnn_nbdev.jit import jit_forward
from rnn_nbdev.kernels import checked_call
p = initialize_lstm(np.random.default_rng(0), 4, 16, dtype=np.float32)
s = {name: np.zeros((16, 8), np.float32) for name in 'ac'}
x = np.ones((4, 8, 5), np.float32)
call = checked_call('lstm', x, s, p)
a = jit_forward(call, 2)[0]
child = os.fork()
same = np.array_equal(jit_forward(call, 2)[0], a)
if child == 0: os._exit(0 if same else 1)
assert same and os.waitpid(child, 0)[1] == 0
"""
    done = alone(run, RNN_NBDEV_THREADS='2', PYTHONWARNINGS='ignore')
    assert done.returncode == 0, done.stderr


@needs_numba
def test_many_threads_may_call_at_once():
    from concurrent.futures import ThreadPoolExecutor
    x, state, parameters, da, dstate, _ = case('lstm', 64, 64, 16, 30, np.float32)
    def run(_):
        with engine_of('jit'):    # a thread of a pool has a context of its own
            a, final, cache = recurrent_forward('lstm', x, state, parameters)
        return flatten((a, final, recurrent_backward(da, dstate, cache)))
    expected = run(0)
    with ThreadPoolExecutor(4) as pool:
        for other in pool.map(run, range(12)):
            for name in expected: np.testing.assert_array_equal(other[name], expected[name])


def test_the_engine_is_chosen_and_named(monkeypatch):
    monkeypatch.delenv('RNN_NBDEV_ENGINE', raising=False)
    assert engine() == ('jit' if has_numba() else 'numpy')
    for name in ENGINES:
        if name == 'jit' and not has_numba(): continue
        monkeypatch.setenv('RNN_NBDEV_ENGINE', name)
        assert engine() == name
        with engine_of('textbook'): assert engine() == 'textbook'
        assert engine() == name
    monkeypatch.setenv('RNN_NBDEV_ENGINE', 'fortran')
    with pytest.raises(ValueError, match='RNN_NBDEV_ENGINE: got'): engine()
    with pytest.raises(ValueError, match='engine: got'): use_engine('fortran')
    use_engine('numpy')
    assert engine() == 'numpy'
    use_engine(None)


def test_another_thread_keeps_its_engine():
    from threading import Thread
    found = []
    with engine_of('textbook'):
        thread = Thread(target=lambda: found.append(engine()))
        thread.start()
        thread.join()
    assert found == [engine()]


without_numba = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('numba', 'llvmlite'): raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == 'numba' else real(name, package)
import numpy as np
import rnn_nbdev.fused, rnn_nbdev.jit
from rnn_nbdev import engine, recurrent_forward, use_engine, initialize_lstm
p = initialize_lstm(np.random.default_rng(0), 3, 5)
state = {'a': np.zeros((5, 2)), 'c': np.zeros((5, 2))}
assert recurrent_forward('lstm', np.zeros((3, 2, 4)), state, p)[0].shape == (5, 2, 4)
try: use_engine('jit')
except ValueError as e: print(engine(), e)
"""


def test_everything_works_without_numba():
    done = alone(without_numba)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('numpy engine: got \'jit\', which needs Numba')


@needs_numba
@pytest.mark.parametrize('hindrance', ['it does not load', 'it is told not to compile'])
def test_a_numba_that_cannot_compile_is_as_good_as_none(hindrance, tmp_path):
    "One that is older than NumPy, say, or one that is switched off to look for a fault in other code"
    (tmp_path/'numba').mkdir()
    (tmp_path/'numba'/'__init__.py').write_text('raise ImportError("Numba needs NumPy 1.0 or less")')
    loads, run = hindrance != 'it does not load', without_numba[without_numba.index('import numpy'):]
    env = {name: value for name, value in os.environ.items() if name != 'RNN_NBDEV_ENGINE'}
    if loads: env['NUMBA_DISABLE_JIT'] = '1'
    else: run = f'import sys; sys.path.insert(0, {str(tmp_path)!r})\n{run}'
    done = subprocess.run([sys.executable, '-c', run], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("numpy engine: got 'jit', which needs Numba") and 'NUMBA_DISABLE_JIT' in done.stdout
    assert done.stderr.count('Numba needs NumPy 1.0 or less') == (not loads)


@needs_numba
@pytest.mark.parametrize('most', [0, 1])
def test_where_the_system_has_no_more_threads_those_that_there_are_have_to_do(most, monkeypatch):
    x, state, parameters, da, dstate, _ = case('lstm', 8, 20, 13, 11)
    run = lambda: flatten((*(ran := jit_forward('lstm', x, state, parameters, threads=4))[:2],
                           jit.jit_backward(da, dstate, ran[2])))
    expected = run()
    started, start = [], crew.threading.Thread.start
    def few(self):
        if len(started) == most: raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)
    monkeypatch.setattr(crew, '_pool', functools.cache(crew._pool.__wrapped__))
    monkeypatch.setenv('RNN_NBDEV_THREADS', '4')
    monkeypatch.setattr(crew.threading.Thread, 'start', few)
    for _ in range(3):
        found = run()
        for name, array in expected.items(): np.testing.assert_array_equal(found[name], array)
    pool, workers = crew.wake_up(4)
    assert len(started) == workers == most and (pool is None) == (most == 0)


@needs_numba
def test_a_system_that_places_no_threads_is_no_hindrance(monkeypatch):
    if crew._core_reader() is None: pytest.skip('the system does not say where a thread runs')
    asked = []
    def refuse(*_):
        asked.append(1)
        raise PermissionError
    x, state, parameters, *_ = case('lstm', 8, 20, 13, 11)
    monkeypatch.setenv('RNN_NBDEV_THREADS', '2')
    expected = jit_forward('lstm', x, state, parameters, threads=2)[0]
    monkeypatch.setattr(crew.os, 'sched_setaffinity', refuse)
    monkeypatch.setattr(crew, '_core_reader', lambda: lambda: -1)
    pool, _ = crew.wake_up(2)
    while pool.board[1, 0] != crew._ASLEEP: pass
    np.testing.assert_array_equal(jit_forward('lstm', x, state, parameters, threads=2)[0], expected)
    assert asked


@needs_numba
def test_nothing_is_read_beside_an_array(tmp_path):
    "Compiled with a look at every index: a fault in a pass would be said, and the result be wrong"
    run = """
import numpy as np
from rnn_nbdev.fused import jit_affine_backward, jit_affine_forward, jit_output_loss, jit_output_loss_backward
from rnn_nbdev.rnn import output_loss, output_loss_backward
a, W, b, k = np.ones((3, 5)), np.arange(6.).reshape(2, 3), np.zeros((2, 1)), np.array([1, 0, 1, 1, 0])
expected = output_loss_backward(1.0, output_loss(a, W, b, k)[1])
found = jit_output_loss_backward(1.0, jit_output_loss(a, W, b, k)[1])
for name, g in expected.items(): np.testing.assert_allclose(found[name], g, rtol=1e-12, atol=1e-15)
z, cache = jit_affine_forward(a, W, b)
np.testing.assert_allclose(jit_affine_backward(z, cache)['dW'], z @ a.T)
"""
    done = alone(run, NUMBA_BOUNDSCHECK='1', NUMBA_CACHE_DIR=str(tmp_path), RNN_NBDEV_THREADS='1')
    assert done.returncode == 0 and not done.stderr, done.stderr


@needs_numba
def test_compiled_code_needs_no_writable_folder(tmp_path):
    blocked = tmp_path/'file'
    blocked.write_text('a file, where a folder would have to be')
    run = """
import numpy as np
from rnn_nbdev.recurrent import Stream, use_engine
use_engine('jit')
p = {'Wax': np.ones((3, 2)), 'Waa': np.eye(3), 'ba': np.zeros((3, 1))}
stream = Stream('rnn', p, {'a': np.zeros((3, 1))})
assert abs(stream.step(np.full((2, 1), .5)) - np.tanh(1)).max() < 1e-12
"""
    done = alone(run, HOME=str(blocked), XDG_CACHE_HOME=str(blocked/'x'), NUMBA_CACHE_DIR=str(blocked/'y'))
    assert done.returncode == 0, done.stderr


def test_importing_the_interface_does_not_load_numba():
    assert alone("import sys, rnn_nbdev.recurrent; sys.exit('numba' in sys.modules)").returncode == 0


@needs_numba
@pytest.mark.parametrize(('terminal', 'before'), list(itertools.product((False, True), repeat=2)))
def test_who_waits_for_the_compiler_is_told(terminal, before, monkeypatch, caplog):
    monkeypatch.setattr(recurrent.sys, 'stderr', SimpleNamespace(isatty=lambda: terminal))
    monkeypatch.setattr(jit, 'compiled_before', lambda: before)
    recurrent.load_jit.__wrapped__()
    assert ('once on this machine' in caplog.text) == (terminal and not before)


@needs_numba
def test_what_is_on_disk_is_known_by_its_version(monkeypatch, tmp_path):
    job = jit._make_job(0, np.float32, 0)
    line, step = job.__code__.co_firstlineno, SimpleNamespace(stats=SimpleNamespace(cache_path=None))
    monkeypatch.setattr(jit, '_stream_step', step)
    assert not jit.compiled_before()                         # no place to keep it
    step.stats.cache_path = str(tmp_path)
    assert not jit.compiled_before()                         # nothing there
    (tmp_path/f'jit._make_job.locals.job-{line + 1}.py3.nbi').touch()
    assert not jit.compiled_before()                         # another version
    file = tmp_path/f'jit._make_job.locals.job-{line}.py3.nbi'
    file.touch()
    assert jit.compiled_before()
    os.utime(file, (0, 0))                                   # older than the module
    assert not jit.compiled_before()


@by_cell
@pytest.mark.parametrize('tokens', [None, 4, 6])
@pytest.mark.parametrize(('lengths', 'reverse'), [(None, False), ([7, 3, 1, 4], True)])
def test_steps_a_few_at_a_time(cell, tokens, lengths, reverse, monkeypatch):
    "Blocks of two steps, the last of one: what goes over from block to block"
    numpy_forward, numpy_backward = passes('numpy')
    monkeypatch.setattr('rnn_nbdev.kernels._steps_at_once', lambda *_: 2)
    x, state, parameters, da, dstate, table = case(cell, 3, 5, 4, 7, n_tokens=tokens)
    options = {'lengths': lengths, 'reverse': reverse, **table}
    expected = textbook_forward(cell, x, state, parameters, **options)
    given = numpy_forward(cell, x, state, parameters, **options)
    assert_equal(given[:2], expected[:2], 1e-12)
    assert_equal(numpy_backward(da, dstate, given[2]), textbook_backward(da, dstate, expected[2]), 1e-12)
    assert_equal(numpy_forward(cell, x, state, parameters, training=False, **options)[:2], expected[:2], 1e-12)
    last = numpy_forward(cell, x, state, parameters, training=False, outputs=False, **options)
    assert last[0] is None
    assert_equal(last[1], expected[1], 1e-12)
