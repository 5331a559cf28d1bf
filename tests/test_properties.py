"What must hold for every size and every number: tried on examples that Hypothesis draws."
import numpy as np
import pytest
from cells import CELLS, Cell, Example, Sizes, by_cell, close, example
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import rnn_nbdev as book
from rnn_nbdev import losses, numerics

few, more = settings(max_examples=20), settings(max_examples=60)
sizes = st.builds(Sizes, n_x=st.integers(1, 4), n_a=st.integers(1, 5), n_y=st.integers(1, 4), m=st.integers(1, 4),
                  T=st.integers(1, 5))
seeds = st.integers(0, 2**32 - 1)
generators = seeds.map(np.random.default_rng)
both_types = pytest.mark.parametrize('dtype', [np.float32, np.float64], ids=['float32', 'float64'])
loud = {'over': 'raise', 'divide': 'raise', 'invalid': 'raise'}  # underflow to 0 is the right answer, and silent


def run(cell: Cell, e: Example) -> dict:
    "Everything that a cell can be asked for, by name"
    results, caches = cell.forward(e.x, e.initial, e.parameters)
    step, cache = cell.step(e.x[..., 0], e.initial, e.parameters)
    loss, whole = cell.loss(e.x, e.initial, e.parameters, e.targets, e.mask)
    return {**results, **cell.backward(e.upstream, caches), 'loss': np.asarray(loss),
            **{f'loss {name}': g for name, g in cell.loss_backward(1.0, whole).items()},
            **{f'step {name}': r for name, r in step.items()},
            **{f'step {name}': g for name, g in
               cell.step_backward({s: u[..., 0] for s, u in e.upstream.items()}, cache).items()}}


def arrays_in(tree) -> list:
    "Every array in a tree of dictionaries, tuples and lists"
    if isinstance(tree, np.ndarray): return [tree]
    if isinstance(tree, dict): return arrays_in(list(tree.values()))
    return [a for part in tree for a in arrays_in(part)] if isinstance(tree, (tuple, list)) else []


def frozen(tree):
    "The same arrays, which nobody may write to from now on"
    for array in arrays_in(tree): array.flags.writeable = False
    return tree


def everything(e: Example) -> list: return [e.x, e.initial, e.parameters, e.upstream, e.targets, e.mask]


# ------------------------------------------------------------------------------------------------- examples and time

@by_cell
@few
@given(sizes=sizes, rng=generators)
def test_a_batch_is_its_examples_one_by_one(cell, sizes, rng):
    e = example(cell, sizes, rng)
    results, caches = cell.forward(e.x, e.initial, e.parameters)
    whole = cell.backward(e.upstream, caches)
    sums = dict.fromkeys(cell.without_output(e.parameters), 0)
    for j in range(sizes.m):
        one = slice(j, j + 1)
        initial = {name: a[:, one] for name, a in e.initial.items()}
        single, caches = cell.forward(e.x[:, one], initial, e.parameters)
        close(single, {name: r[:, one] for name, r in results.items()}, name='result')
        gradients = cell.backward({name: u[:, one] for name, u in e.upstream.items()}, caches)
        for name in ('x', *initial): close(gradients[f'd{name}'], whole[f'd{name}'][:, one], name=name)
        sums = {name: total + gradients[f'd{name}'] for name, total in sums.items()}
    close({f'd{name}': total for name, total in sums.items()}, {f'd{n}': whole[f'd{n}'] for n in sums}, name='sum')


@by_cell
@few
@given(sizes=sizes, rng=generators, data=st.data())
def test_two_stretches_with_carried_state_are_one(cell, sizes, rng, data):
    "Forwards, and backwards too: the gradient of the second stretch's start joins that of the first one's end"
    cut = data.draw(st.integers(1, 4), label='cut')
    e = example(cell, Sizes(sizes.n_x, sizes.n_a, sizes.n_y, sizes.m, cut + sizes.T), rng)
    whole, caches = cell.forward(e.x, e.initial, e.parameters)
    first, first_caches = cell.forward(e.x[..., :cut], e.initial, e.parameters)
    carried = {f'{s}0': first[s][..., -1] for s in cell.states}
    second, second_caches = cell.forward(e.x[..., cut:], carried, e.parameters)
    close({name: np.concatenate([first[name], second[name]], -1) for name in first}, whole, name='result')

    later = cell.backward({s: u[..., cut:] for s, u in e.upstream.items()}, second_caches)
    upstream = {s: u[..., :cut].copy() for s, u in e.upstream.items()}
    for s in cell.states: upstream[s][..., -1] += later[f'd{s}0']
    sooner = cell.backward(upstream, first_caches)
    joined = {name: sooner[name] + later[name] for name in sooner if name.startswith(('dW', 'db'))}
    start = {f'd{s}0': sooner[f'd{s}0'] for s in cell.states}
    dx = np.concatenate([sooner['dx'], later['dx']], -1)
    close({'dx': dx, **start, **joined}, cell.backward(e.upstream, caches), atol=1e-12, name='gradient')


@by_cell
@few
@given(sizes=sizes, rng=generators)
def test_a_sequence_is_its_steps(cell, sizes, rng):
    e = example(cell, sizes, rng)
    whole, _ = cell.forward(e.x, e.initial, e.parameters)
    state = e.initial
    for t in range(sizes.T):
        results, _ = cell.step(e.x[..., t], state, e.parameters)
        close(results, {name: r[..., t] for name, r in whole.items()}, name=f'step {t}')
        state = {f'{s}0': results[s] for s in cell.states}


@by_cell
@few
@given(sizes=sizes, rng=generators, data=st.data())
def test_an_upstream_that_ends_early_is_zero_afterwards(cell, sizes, rng, data):
    end = data.draw(st.integers(1, sizes.T), label='end')
    e = example(cell, sizes, rng)
    _, caches = cell.forward(e.x, e.initial, e.parameters)
    short = cell.backward({s: u[..., :end] for s, u in e.upstream.items()}, caches)
    for u in e.upstream.values(): u[..., end:] = 0
    full = cell.backward(e.upstream, caches)
    assert not full['dx'][..., end:].any()
    close(short, {**full, 'dx': full['dx'][..., :end]}, name='gradient')


# ---------------------------------------------------------------------------------------------------- pure functions

@by_cell
@few
@given(sizes=sizes, rng=generators)
def test_nothing_passed_in_is_written_to(cell, sizes, rng):
    "Arguments, caches and upstream gradients are locked; a write to any of them would raise"
    e = example(cell, sizes, rng)
    before = [a.copy() for a in arrays_in(everything(e))]
    keys = list(e.parameters)
    frozen(everything(e))
    results, caches = cell.forward(e.x, e.initial, e.parameters)
    step, cache = cell.step(e.x[..., 0], e.initial, e.parameters)
    _, whole = cell.loss(e.x, e.initial, e.parameters, e.targets, e.mask)
    frozen([results, caches, step, cache, whole])
    cell.backward(e.upstream, caches)
    cell.step_backward({s: u[..., 0] for s, u in e.upstream.items()}, cache)
    cell.loss_backward(1.0, whole)
    assert list(e.parameters) == keys
    for now, then in zip(arrays_in(everything(e)), before): np.testing.assert_array_equal(now, then)


@by_cell
@few
@given(sizes=sizes, rng=generators)
def test_a_second_backward_equals_the_first(cell, sizes, rng):
    "To the last bit, even after the first one's result has been overwritten"
    e = example(cell, sizes, rng)
    _, caches = cell.forward(e.x, e.initial, e.parameters)
    _, cache = cell.step(e.x[..., 0], e.initial, e.parameters)
    _, whole = cell.loss(e.x, e.initial, e.parameters, e.targets, e.mask)
    last = {s: u[..., -1] for s, u in e.upstream.items()}
    for backward in (lambda: cell.backward(e.upstream, caches), lambda: cell.step_backward(last, cache),
                     lambda: cell.loss_backward(1.0, whole)):
        first = backward()
        kept = {name: g.copy() for name, g in first.items()}
        for g in first.values(): g[...] = np.nan
        second = backward()
        assert list(second) == list(kept)
        for name in kept: np.testing.assert_array_equal(second[name], kept[name], err_msg=name)


@by_cell
@few
@given(sizes=sizes, rng=generators)
def test_gradients_are_linear_in_what_arrives(cell, sizes, rng):
    e, other = example(cell, sizes, rng), example(cell, sizes, rng)
    _, caches = cell.forward(e.x, e.initial, e.parameters)
    u, v = cell.backward(e.upstream, caches), cell.backward(other.upstream, caches)
    both = cell.backward({s: 3 * e.upstream[s] - other.upstream[s] / 2 for s in cell.states}, caches)
    close(both, {name: 3 * u[name] - v[name] / 2 for name in u}, atol=1e-11, name='gradient')
    nothing = cell.backward({s: np.zeros_like(d) for s, d in e.upstream.items()}, caches)
    assert not any(g.any() for g in nothing.values())


# ----------------------------------------------------------------------------------- memory order and type of numbers

def spread(a: np.ndarray) -> np.ndarray:
    "The same numbers, with others between them in memory"
    wide = np.full(tuple(2 * n + 1 for n in a.shape), -7, a.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def backwards(a: np.ndarray) -> np.ndarray:
    "The same numbers, last first in memory"
    return np.flip(np.ascontiguousarray(np.flip(a)))


@by_cell
@pytest.mark.parametrize('order', [np.ascontiguousarray, np.asfortranarray, spread, backwards])
@few
@given(sizes=sizes, rng=generators)
def test_any_memory_order_gives_the_same(cell, order, sizes, rng):
    e = example(cell, sizes, rng)
    want = run(cell, e)
    def again(tree): return {name: order(a) for name, a in tree.items()} if isinstance(tree, dict) else order(tree)
    close(run(cell, Example(*map(again, everything(e)))), want, atol=1e-12, name='result')


def test_sequences_lie_step_by_step_in_memory():
    "Whatever the order of the input, every step of a result is one block: x.T is time-major without a copy"
    for cell in CELLS:
        e = example(cell, Sizes(), np.random.default_rng(0))
        results, caches = cell.forward(np.ascontiguousarray(e.x), e.initial, e.parameters)
        for name, array in {**results, 'dx': cell.backward(e.upstream, caches)['dx']}.items():
            assert array.T.flags.c_contiguous, f'{cell.name}: {name}'


@by_cell
@both_types
@few
@given(sizes=sizes, seed=seeds)
def test_the_type_of_numbers_stays(cell, dtype, sizes, seed):
    e = example(cell, sizes, np.random.default_rng(seed), dtype)
    with np.errstate(**loud): got = run(cell, e)
    assert {name: a.dtype for name, a in got.items() if a.dtype != dtype} == {}
    if dtype == np.float32:
        exact = run(cell, example(cell, sizes, np.random.default_rng(seed)))
        close(got, exact, rtol=1e-3, atol=2e-4, name='beside float64')


@by_cell
@both_types
@few
@given(sizes=sizes, rng=generators)
def test_whole_numbers_take_the_type_of_the_weights(cell, dtype, sizes, rng):
    "A one-hot table and a state of zeros, typed without thinking of their type"
    e = example(cell, sizes, rng, dtype)
    e.x = rng.integers(2, size=e.x.shape)
    e.initial = {name: np.zeros(a.shape, int) for name, a in e.initial.items()}
    got = run(cell, e)
    assert {name: a.dtype for name, a in got.items() if a.dtype != dtype} == {}
    e.x, e.initial = e.x.astype(dtype), {name: a.astype(dtype) for name, a in e.initial.items()}
    close(got, run(cell, e), rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6, name='as floating point')


@by_cell
@both_types
@few
@given(sizes=sizes, rng=generators, scale=st.sampled_from([1e2, 1e4]))
def test_large_numbers_neither_warn_nor_overflow(cell, dtype, sizes, rng, scale):
    e = example(cell, sizes, rng, dtype)
    e.x = e.x * dtype(scale)
    e.parameters = {name: p * dtype(scale) if name in ('Wya', 'Wy') else p for name, p in e.parameters.items()}
    with np.errstate(**loud): got = run(cell, e)
    for name, array in got.items(): assert np.isfinite(array).all(), name


# ----------------------------------------------------------------------------------------------------------- the GRU

@few
@given(sizes=sizes, rng=generators)
def test_the_two_forms_of_the_gru_agree_with_the_reset_gate_open(sizes, rng):
    before, after = CELLS[2:]
    e = example(after, sizes, rng)
    e.parameters.update(Wr=np.zeros_like(e.parameters['Wr']), br=np.full((sizes.n_a, 1), 800.0),
                        brc=np.zeros((sizes.n_a, 1)))
    got = run(after, e)
    del e.parameters['brc']
    want = run(before, e)
    assert {name for name in got if 'dbrc' in name} == set(got) - set(want)
    close({name: a for name, a in got.items() if name in want}, want, name='result')


@few
@given(sizes=sizes, rng=generators)
def test_the_two_forms_of_the_gru_are_not_the_same(sizes, rng):
    before, after = CELLS[2:]
    e = example(after, sizes, rng)
    e.parameters['brc'][...] = 2
    b = after.forward(e.x, e.initial, e.parameters)[0]['a']
    del e.parameters['brc']
    a = before.forward(e.x, e.initial, e.parameters)[0]['a']
    assert abs(a - b).max() > 1e-9


# ---------------------------------------------------------------------------------------------- softmax and sigmoid

# On this grid a score plus a score is exact, so that what should be equal is equal to the last bit.
grid = st.integers(-10_000 * 256, 10_000 * 256).map(lambda n: n / 256)
score_shapes = array_shapes(min_dims=1, max_dims=3, max_side=4)
score_arrays = score_shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=grid))
in_both_types = st.sampled_from([np.float32, np.float64])


@more
@given(x=score_arrays, dtype=in_both_types)
def test_softmax(x, dtype):
    x = x.astype(dtype)
    with np.errstate(all='raise'): y = book.softmax(x)
    assert y.dtype == dtype and y.shape == x.shape and np.isfinite(y).all() and (y >= 0).all() and (y <= 1).all()
    np.testing.assert_allclose(y.sum(axis=0), 1, rtol=8 * np.finfo(dtype).eps)
    for i, j in np.ndindex(len(x), len(x)):                                     # a higher score is no less probable
        assert (y[i] >= y[j])[x[i] >= x[j]].all()


@more
@given(x=score_arrays, by=grid)
def test_softmax_does_not_change_with_a_shift(x, by):
    with np.errstate(all='raise'):
        np.testing.assert_array_equal(book.softmax(x + by), book.softmax(x))
        np.testing.assert_array_equal(book.log_softmax(x + by), book.log_softmax(x))
        close(book.logsumexp(x + by), book.logsumexp(x) + by, rtol=1e-14, atol=1e-11)


@more
@given(x=score_arrays.filter(lambda x: x.ndim > 1), dtype=in_both_types)
def test_each_column_is_by_itself(x, dtype):
    "However far the scores of the others are away"
    x = x.astype(dtype)
    rounding = 8 * np.finfo(dtype).eps
    for f in (book.softmax, book.log_softmax, book.logsumexp):
        whole = f(x)
        for index in np.ndindex(x.shape[1:]):
            place = (..., *index) if whole.ndim == x.ndim else index
            np.testing.assert_allclose(whole[place], f(x[(..., *index)]), rtol=rounding, atol=np.finfo(dtype).tiny)


@more
@given(x=score_arrays, dtype=in_both_types)
def test_log_softmax_and_logsumexp(x, dtype):
    x = x.astype(dtype)
    with np.errstate(all='raise'): log_y, total = book.log_softmax(x), book.logsumexp(x)
    assert log_y.dtype == total.dtype == dtype and (log_y <= 0).all() and np.isfinite(log_y).all()
    assert (total >= x.max(axis=0)).all()
    assert (total <= x.max(axis=0) + np.log(len(x)) + 2e4 * np.finfo(dtype).eps).all()
    np.testing.assert_allclose(np.exp(log_y), book.softmax(x), rtol=1e-4 if dtype == np.float32 else 1e-11, atol=1e-38)


@more
@given(x=arrays(np.float64, st.integers(1, 5), elements=st.floats(-1e4, 1e4)), dtype=in_both_types)
def test_sigmoid(x, dtype):
    x = x.astype(dtype)
    with np.errstate(all='raise'): s, mirrored = book.sigmoid(x), book.sigmoid(-x)
    assert s.dtype == dtype and np.isfinite(s).all() and (s >= 0).all() and (s <= 1).all()
    np.testing.assert_allclose(mirrored, 1 - s, rtol=0, atol=2 * np.finfo(dtype).eps)
    assert (np.diff(book.sigmoid(np.sort(x))) >= 0).all()


@more
@given(x=st.floats(-700, 40))
def test_sigmoid_is_accurate_in_relative_terms(x):
    "By its inverse: log(s / (1 - s)) = x, with 1 - s known from the other side"
    s, rest = book.sigmoid(np.array([x, -x]))
    np.testing.assert_allclose(np.log(s) - np.log(rest), x, rtol=1e-14, atol=1e-15)
    if x < -40: np.testing.assert_allclose(s, np.exp(x), rtol=1e-14)


# ------------------------------------------------------------------------------------------------------------ losses

class Targets:
    "Scores with targets and a mask, all drawn"
    def __init__(self, rng, shape, dtype=np.float64, scale=1.0):
        self.z = (scale * rng.standard_normal(shape)).astype(dtype)
        self.k = rng.integers(shape[0], size=shape[1:])
        self.mask = rng.random(shape[1:]) < 0.6
        self.mask.flat[rng.integers(self.mask.size)] = True


loss_shapes = array_shapes(min_dims=2, max_dims=3, max_side=4)
scales = st.sampled_from([1.0, 100.0, 1e4])


@more
@given(rng=generators, shape=loss_shapes, dtype=in_both_types, scale=scales)
def test_cross_entropy(rng, shape, dtype, scale):
    t = Targets(rng, shape, dtype, scale)
    frozen([t.z, t.k, t.mask])
    with np.errstate(**loud):
        loss, cache = book.cross_entropy(t.z, t.k, t.mask)
        dz = book.cross_entropy_backward(1.0, cache)
    assert np.isfinite(loss) and loss >= 0 and loss.dtype == dz.dtype == dtype and dz.shape == shape
    assert not dz[:, ~t.mask].any()                                    # what does not count has no gradient
    np.testing.assert_allclose(dz.sum(axis=0), 0, atol=4 * np.finfo(dtype).eps)
    other = np.where(t.mask, t.z, t.z[::-1])
    assert book.cross_entropy(other, t.k, t.mask)[0] == loss           # nor a say in the loss
    each = [book.cross_entropy(t.z[(..., *i)][:, None], t.k[i][None])[0] for i in zip(*np.nonzero(t.mask))]
    np.testing.assert_allclose(loss, np.mean(each), rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-12)


@more
@given(rng=generators, shape=loss_shapes, dtype=in_both_types)
def test_losses_from_probabilities_and_of_quantities(rng, shape, dtype):
    t = Targets(rng, shape, dtype)
    y_pred, y = book.softmax(t.z), rng.standard_normal(shape).astype(dtype)
    frozen([t.z, t.k, t.mask, y_pred, y])
    rounding = 1e-5 if dtype == np.float32 else 1e-12
    with np.errstate(**loud):
        loss, cache = losses.cross_entropy_from_probabilities(y_pred, t.k, t.mask)
        dy = losses._cross_entropy_from_probabilities_backward(1.0, cache)
        np.testing.assert_allclose(loss, book.cross_entropy(t.z, t.k, t.mask)[0], rtol=rounding, atol=rounding)
        dz = losses.scores_gradient(y_pred, t.k, t.mask)
        np.testing.assert_allclose(numerics.softmax_backward(dy, y_pred), dz, rtol=rounding, atol=rounding)
        error, cache = book.squared_error(t.z, y, t.mask)
        d = book.squared_error_backward(1.0, cache)
    assert loss.dtype == dy.dtype == dz.dtype == error.dtype == d['dy_pred'].dtype == d['dy'].dtype == dtype
    for gradient in (dy, dz, d['dy_pred'], d['dy']): assert not gradient[:, ~t.mask].any()
    np.testing.assert_allclose(error, np.mean((t.z - y)[:, t.mask]**2), rtol=rounding)
    assert error >= 0 and book.squared_error(y, y)[0] == 0
    np.testing.assert_array_equal(d['dy'], -d['dy_pred'])


@more
@given(rng=generators, shape=loss_shapes)
def test_a_mask_of_ones_is_no_mask_and_of_flags_or_numbers_the_same(rng, shape):
    t = Targets(rng, shape)
    assert book.cross_entropy(t.z, t.k)[0] == book.cross_entropy(t.z, t.k, np.ones(t.k.shape))[0]
    masks = [t.mask, t.mask.astype(int), t.mask.astype(np.float32), t.mask.tolist()]
    assert len({float(book.cross_entropy(t.z, t.k, mask)[0]) for mask in masks}) == 1


def test_a_probability_of_zero_costs_much_but_not_infinitely_much():
    for dtype in (np.float32, np.float64):
        y_pred = np.array([[1], [0]], dtype)
        with np.errstate(**loud):
            loss, cache = losses.cross_entropy_from_probabilities(y_pred, np.array([1]))
            assert 80 < loss < 1000 and np.isfinite(losses._cross_entropy_from_probabilities_backward(1.0, cache)).all()


# --------------------------------------------------------------------------------------------------- initial weights

@few
@given(seed=seeds, sizes=sizes, dtype=in_both_types)
def test_initial_weights(seed, sizes, dtype):
    "The names and shapes that the cells expect, of the type asked for, the same from the same seed"
    for cell in CELLS:
        initialize = getattr(book, f'initialize_{cell.base}')
        p, q = (initialize(np.random.default_rng(seed), sizes.n_x, sizes.n_a, sizes.n_y, dtype=dtype, **cell.options)
                for _ in range(2))
        assert {name: a.shape for name, a in p.items()} == cell.shapes(sizes)
        for name in p: np.testing.assert_array_equal(p[name], q[name])
        assert all(a.dtype == dtype and np.isfinite(a).all() for a in p.values())
        assert cell.output not in initialize(np.random.default_rng(seed), sizes.n_x, sizes.n_a, **cell.options)
        for name, a in p.items():
            if name.startswith('b'): assert (a == (1 if name == 'bf' else 0)).all()
    Q = book.orthogonal(np.random.default_rng(seed), sizes.n_a, dtype)
    np.testing.assert_allclose(Q.T @ Q, np.eye(sizes.n_a), atol=1e-5 if dtype == np.float32 else 1e-13)
    limit = np.sqrt(6 / (sizes.n_a + sizes.n_x))
    assert abs(book.glorot(np.random.default_rng(seed), sizes.n_a, sizes.n_x, dtype)).max() <= limit * (1 + 1e-6)


def test_no_global_random_state_is_touched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - read to see that nobody wrote it
    for cell in CELLS:
        rng = np.random.default_rng(0)
        run(cell, example(cell, Sizes(), rng))
        getattr(book, f'initialize_{cell.base}')(rng, 3, 4, 5)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
