"Layers and networks: every combination of options by its gradient, padding to the last bit, PyTorch, types, refusals."
import itertools
from dataclasses import replace

import numpy as np
import pytest

from rnn_nbdev.gradcheck import leaves
from rnn_nbdev.kernels import cell_shapes, state_names, textbook_cells, thinned
from rnn_nbdev.layers import (
    Chain, Dense, Embedding, Pass, Recurrent, TokenChain, check_layer, dropout_mask, outputs_by_name,
    put_valid, summary, valid_steps,
)
from rnn_nbdev.networks import Bidirectional, Dropout, Pool, Residual, stacked, trace
from rnn_nbdev.recurrent import ENGINES, engine_of, has_numba

CELLS = {'rnn': {'cell': 'rnn'}, 'lstm': {'cell': 'lstm'}, 'gru': {'cell': 'gru'},
         'gru_after': {'cell': 'gru', 'reset_after': True}}
WAYS = {'forward': {}, 'concat': {'directions': 2}, 'sum': {'directions': 2, 'merge': 'sum'}}
POOLS = (None, 'last', 'mean', 'max', 'ends')
by_cell = pytest.mark.parametrize('cell', CELLS)
by_ways = pytest.mark.parametrize('ways', WAYS)
engines = pytest.mark.parametrize('engine', ['numpy', pytest.param('jit', marks=pytest.mark.skipif(
    not has_numba(), reason='Numba is not installed'))])
LENGTHS = np.array([4, 2, 3])
x3, zeros = np.zeros((3, 2, 4)), np.zeros


def flat(tree) -> dict[str, np.ndarray]:
    "Every array of a result, by name"
    return {name: np.asarray(array) for name, array in leaves(tree) if array is not None}


def same(given, wanted) -> None:
    "Equal to the last bit, types included"
    given, wanted = flat(given), flat(wanted)
    assert given.keys() == wanted.keys()
    for name, array in wanted.items():
        assert given[name].dtype == array.dtype
        np.testing.assert_array_equal(given[name], array, err_msg=name)


def drawn(network, rng, dtype=np.float64, m=3):
    "Parameters with nothing in them zero, and a state"
    draw = lambda arrays: {k: (a + rng.standard_normal(a.shape) / 3).astype(dtype) for k, a in arrays.items()}
    return draw(network.init(rng, dtype)), draw(network.start(m, dtype))


def slope_error(network, x, lengths, rng) -> float:
    "How far the gradients are from the slope along one random direction of everything at once, by complex step"
    parameters, state = drawn(network, rng)
    inputs = {'parameters': parameters, 'state': state, **({'x': x} if x.dtype.kind == 'f' else {})}
    how = lambda: Pass(lengths=lengths, rng=np.random.default_rng(5))
    run = lambda i: network.forward(i['parameters'], i.get('x', x), i['state'], how())
    y, final, cache = run(inputs)
    dy, dfinal = rng.standard_normal(y.shape), {name: rng.standard_normal(s.shape) for name, s in final.items()}
    dx, dparameters, dstate = network.backward(dy, cache, dfinal)
    gradients = flat({'parameters': dparameters, 'state': dstate, **({} if dx is None else {'x': dx})})
    assert gradients.keys() == flat(inputs).keys()
    along = {name: rng.standard_normal(a.shape) for name, a in flat(inputs).items()}
    beside = {part: along['x'] * 1e-30j + x if part == 'x' else
              {k: a + along[f'{part}.{k}'] * 1e-30j for k, a in arrays.items()} for part, arrays in inputs.items()}
    y, final, _ = run(beside)
    slope = sum(np.sum(dy * y.imag) if name == 'y' else np.sum(dfinal[name] * y.imag)
                for name, y in {'y': y, **final}.items()) / 1e-30
    terms = [np.sum(gradients[name] * along[name]) for name in gradients]
    return abs(slope - sum(terms)) / max(np.abs(terms).max(), 1e-3)


# ---------------------------------------------------------------------------------------------------------- gradients

@by_ways
@by_cell
def test_every_combination_of_options(cell, ways):
    "Input, layers, dropout of both kinds, residual, lengths, pooling, tokens: all at once, one direction each"
    rng = np.random.default_rng(0)
    x, tokens = rng.standard_normal((2, 3, 4)), rng.integers(5, size=(3, 4))
    ends = [(None, False), (None, True), ('last', False), ('mean', True), ('max', False), ('ends', True)]
    options = itertools.product((1, 2), (0., .4), (0., .4), (False, True), (None, LENGTHS), ends)
    for layers, dropout, recurrent, residual, lengths, (pool, from_tokens) in options:
        stack = stacked(2, 2, layers=layers, dropout=dropout, recurrent_dropout=recurrent, residual=residual,
                        **CELLS[cell], **WAYS[ways])
        parts = {'embedding': Embedding(5, 2, padding=1), 'deep': stack, 'pool': pool and Pool(pool),
                 'output': Dense(4 if ways == 'concat' else 2, 2)}
        if not from_tokens: del parts['embedding']
        if pool is None: del parts['pool']
        error = slope_error(Chain(parts), tokens if from_tokens else x, lengths, rng)
        assert error < 1e-10, (layers, dropout, recurrent, residual, lengths, pool, from_tokens)


SINGLE = {'embedding': Embedding(5, 3), 'padding': Embedding(5, 3, padding=2), 'dense': Dense(3, 4),
          'dropout': Dropout(.5), 'every step': Dropout(.5, every_step=True), 'residual': Residual(Recurrent(3, 3)),
          'reverse': Recurrent(3, 2, 'gru', reverse=True), 'recurrent dropout': Recurrent(3, 4, dropout=.5),
          'two directions': Bidirectional(Recurrent(3, 2, 'rnn')), 'two summed': Bidirectional(Recurrent(3, 2), 'sum'),
          **{how: Pool(how) for how in POOLS if how}}


@pytest.mark.parametrize('lengths', [None, LENGTHS, [4, 4, 1]], ids=str)
@pytest.mark.parametrize('name', SINGLE)
def test_every_entry_of_every_gradient(name, lengths):
    layer, rng = SINGLE[name], np.random.default_rng(0)
    x = rng.integers(5, size=(3, 4)) if isinstance(layer, Embedding) else rng.standard_normal((3, 3, 4))
    assert check_layer(layer, x, rng, lengths=lengths).worst < 1e-6


@pytest.mark.parametrize('layer', [Dense(3, 4), Dropout(.5), Dropout(.5, every_step=True), Residual(Dense(3, 3))],
                         ids=repr)
def test_what_has_no_time_has_no_lengths(layer):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 5))
    assert check_layer(layer, x, rng, lengths=[7, 1, 2, 3, 4]).ok
    parameters = layer.init(rng, np.float64)
    run = lambda **lengths: layer.forward(parameters, x, how=Pass(training=False, **lengths))[0]
    same(run(lengths=[9] * 5), run())


# ------------------------------------------------------------------------------------------------------------ padding

def everything(network, x, dy, lengths, own, dtype):
    "Results and gradients at the steps that count, which are all there is"
    parameters, state = drawn(network, np.random.default_rng(1), dtype)
    y, final, cache = network.forward(parameters, x, state, Pass(lengths=lengths, rng=np.random.default_rng(2)))
    dx, dparameters, dstate = network.backward(dy if y.ndim == 3 else dy[:, :, 0], cache, final)
    if y.ndim == 3:
        assert not y[:, ~own].any()
        y = y[:, own]
    if dx is not None:
        assert not dx[:, ~own].any()
        dx = dx[:, own]
    return y, final, dx, dparameters, dstate


@pytest.mark.parametrize('pool, dtype', [(None, np.float32), (None, np.float64), ('last', np.float32),
                                         ('mean', np.float64), ('max', np.float32), ('ends', np.float64)])
@by_ways
@by_cell
@engines
def test_padding_changes_no_bit(engine, cell, ways, pool, dtype):
    "Neither what stands in it nor how much there is: of an output, a state, a gradient"
    width = 4 if ways == 'concat' else 2
    parts = {'noise': Dropout(.3, every_step=True), 'dense': Dense(3, width),
             'deep': stacked(width, 2, layers=2, dropout=.3, recurrent_dropout=.3, residual=True,
                             **CELLS[cell], **WAYS[ways]),
             'pool': pool and Pool(pool), 'output': Dense(width, 2)}
    network, results = Chain({k: v for k, v in parts.items() if v}), []
    rng = np.random.default_rng(0)
    values, above, ends = rng.standard_normal((3, 9)), rng.standard_normal((2, 9)), rng.standard_normal((2, 3))
    for padding, T in ((0, 4), (np.nan, 4), (1e30, 4), (0, 9), (np.nan, 33)):
        own = valid_steps(LENGTHS, T)
        x, dy = np.full((3, 3, T), padding, dtype), np.full((2, 3, T), padding, dtype)
        x[:, own], dy[:, own] = values, above
        if pool: dy[:, :, 0] = ends
        with engine_of(engine): results.append(everything(network, x, dy, LENGTHS, own, dtype))
    for result in results[1:]: same(result, results[0])


@pytest.mark.parametrize('order', ['C', 'F'])
@pytest.mark.parametrize('sizes', ids=str,
                         argvalues=[(40, 17, 1, 8), (17, 17, 1, 17), (3, 8, 40, 1), (40, 40, 8, 1), (8, 1, 40, 3)])
@engines
def test_full_lengths_and_none_are_the_same_to_the_last_bit(engine, sizes, order):
    "Whatever the memory order: of one example, of one step, of one unit it can be read in more than one way"
    n, n_a, m, T = sizes
    for dtype, pool, directions in itertools.product((np.float32, np.float64), (None, 'mean', 'max'), (1, 2)):
        parts = {'noise': Dropout(.3, every_step=True), 'dense': Dense(n, n),
                 'deep': stacked(n, n_a, 'gru', 2, directions, dropout=.3, residual=True), 'pool': pool and Pool(pool),
                 'output': Dense(n_a * directions, 3)}
        network, rng = Chain({k: v for k, v in parts.items() if v}), np.random.default_rng(0)
        parameters, results = network.init(rng, dtype), []
        values = rng.standard_normal((n, m, T)).astype(dtype)
        for lengths, given in itertools.product((None, np.full(m, T)), 'CF' if order == 'C' else 'F'):
            x = values.copy(order=given)
            with engine_of(engine):
                how = Pass(lengths=lengths, rng=np.random.default_rng(1))
                y, final, cache = network.forward(parameters, x, how=how)
                dy = np.array(np.random.default_rng(2).standard_normal(y.shape), dtype, order=order)
                results.append((y, final, network.backward(dy, cache, final)))
        for result in results[1:]: same(result, results[0])


@by_cell
def test_tokens_in_the_padding_are_not_even_looked_at(cell):
    network, rng = Chain({'e': Embedding(5, 3), 'r': Recurrent(3, 2, **CELLS[cell])}), np.random.default_rng(0)
    tokens = rng.integers(5, size=(3, 4))
    results = []
    for padding, T in ((0, 4), (-1, 4), (99, 7)):
        own, x = valid_steps(LENGTHS, T), np.full((3, T), padding)
        x[own] = tokens[valid_steps(LENGTHS, 4)]
        dy = put_valid(np.arange(18.).reshape(2, 9), LENGTHS, T)
        results.append(everything(network, x, dy, LENGTHS, own, np.float64))
    for result in results[1:]: same(result, results[0])


@by_ways
@by_cell
def test_a_batch_is_its_examples_one_by_one(cell, ways):
    network, rng = stacked(3, 2, layers=2, **CELLS[cell], **WAYS[ways]), np.random.default_rng(0)
    x, (parameters, state) = rng.standard_normal((3, 3, 4)), drawn(network, rng)
    y, final, _ = network.forward(parameters, x, state, Pass(lengths=LENGTHS))
    for i, T in enumerate(LENGTHS):
        one = {name: s[:, i:i + 1] for name, s in state.items()}
        alone, last, _ = network.forward(parameters, x[:, i:i + 1, :T], one)
        np.testing.assert_allclose(y[:, i:i + 1, :T], alone, rtol=1e-12, atol=1e-14)
        for name in last: np.testing.assert_allclose(final[name][:, i:i + 1], last[name], rtol=1e-12, atol=1e-14)


@by_cell
def test_an_example_without_steps_keeps_its_state(cell):
    network, rng = stacked(3, 2, layers=2, directions=2, **CELLS[cell]), np.random.default_rng(0)
    x, (parameters, state) = rng.standard_normal((3, 3, 4)), drawn(network, rng)
    for lengths in ([4, 0, 2], [0, 0, 0]):
        y, final, cache = network.forward(parameters, x, state, Pass(lengths=lengths))
        for name in state: np.testing.assert_array_equal(final[name][:, 1], state[name][:, 1])
        assert y.shape == (4, 3, 4) and not y[:, 1].any()
        _, gradients, dstate = network.backward(np.ones_like(y), cache, state)
        for name in state: np.testing.assert_array_equal(dstate[name][:, 1], state[name][:, 1])
    assert not any(g.any() for g in gradients.values())


# ------------------------------------------------------------------------------------------------------------ PyTorch

def torch_layer(torch, cell, parameters, name, suffix, p):
    "Our parameters of one direction of one layer, as leaves `p`, in PyTorch's four arrays"
    take = lambda key: p.setdefault(f'{name}{key}', torch.tensor(parameters[f'{name}{key}'], requires_grad=True))
    if cell == 'rnn':
        b = take('ba')[:, 0]
        return {f'weight_ih_{suffix}': take('Wax'), f'weight_hh_{suffix}': take('Waa'), f'bias_ih_{suffix}': b,
                f'bias_hh_{suffix}': torch.zeros_like(b)}
    order = 'ifco' if cell == 'lstm' else 'ruc'
    sign = {'u': -1} if cell != 'lstm' else {}        # PyTorch's z is 1 - u
    W = torch.cat([sign.get(g, 1) * take(f'W{g}') for g in order])
    b = torch.cat([sign.get(g, 1) * take(f'b{g}')[:, 0] for g in order])
    n_a, inside = len(W) // len(order), torch.zeros_like(b)
    if cell == 'gru_after': inside = torch.cat([inside[:2 * n_a], take('brc')[:, 0]])
    return {f'weight_ih_{suffix}': W[:, n_a:], f'weight_hh_{suffix}': W[:, :n_a], f'bias_ih_{suffix}': b,
            f'bias_hh_{suffix}': inside}


@pytest.mark.parametrize('directions', [1, 2])
@pytest.mark.parametrize('cell', ['rnn', 'lstm', 'gru_after'])
@engines
def test_stacks_of_packed_sequences_equal_pytorch(engine, cell, directions):
    "Outputs, final states and every gradient, of two layers and sequences of different lengths"
    torch = pytest.importorskip('torch', reason='PyTorch is the independent answer here')
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
    rng, lengths, T = np.random.default_rng(0), np.array([4, 6, 1, 3]), 6
    network = stacked(3, 5, layers=2, directions=directions, **CELLS[cell])
    parameters, state = drawn(network, rng, m=4)
    x = rng.standard_normal((3, 4, T))
    with engine_of(engine):
        y, final, cache = network.forward(parameters, x, state, Pass(lengths=lengths))
        dy, dfinal = rng.standard_normal(y.shape), {name: rng.standard_normal(s.shape) for name, s in final.items()}
        dx, dparameters, dstate = network.backward(dy, cache, dfinal)

    kind = {'rnn': torch.nn.RNN, 'lstm': torch.nn.LSTM, 'gru_after': torch.nn.GRU}[cell]
    module = kind(3, 5, num_layers=2, bidirectional=directions == 2, dtype=torch.float64)
    places = [(layer, way) for layer in (1, 2) for way in (('forward.', 'backward.') if directions == 2 else ('',))]
    p, weights = {}, {}
    for layer, way in places:
        suffix = f'l{layer - 1}' + ('_reverse' if way == 'backward.' else '')
        weights.update(torch_layer(torch, cell, parameters, f'layer{layer}.{way}', suffix, p))
    xs = torch.tensor(x, requires_grad=True)
    start = {name: torch.tensor(s, requires_grad=True) for name, s in state.items()}
    kinds = ('a', 'c') if cell == 'lstm' else ('a',)
    h0 = tuple(torch.stack([start[f'layer{layer}.{way}{s}'].T for layer, way in places]) for s in kinds)
    packed = pack_padded_sequence(xs.permute(2, 1, 0), torch.tensor(lengths), enforce_sorted=False)
    out, last = torch.func.functional_call(module, weights, (packed, h0 if len(h0) > 1 else h0[0]))
    out = pad_packed_sequence(out)[0].permute(2, 1, 0)
    last = dict(zip(kinds, last if len(h0) > 1 else (last,)))
    np.testing.assert_allclose(y, out.detach(), rtol=1e-10, atol=1e-13)
    loss = (out * torch.tensor(dy)).sum()
    for i, (layer, way) in enumerate(places):
        for s in kinds:
            name = f'layer{layer}.{way}{s}'
            np.testing.assert_allclose(final[name], last[s][i].T.detach(), rtol=1e-10, atol=1e-13)
            loss = loss + (last[s][i].T * torch.tensor(dfinal[name])).sum()
    wanted = {'x': xs, **p, **start}
    found = dict(zip(wanted, torch.autograd.grad(loss, list(wanted.values()))))
    assert {*parameters, *state, 'x'} == {*found}
    for name, g in {'x': dx, **dparameters, **dstate}.items():
        np.testing.assert_allclose(g, found[name], rtol=1e-9, atol=1e-12, err_msg=name)


# ------------------------------------------------------------------------------------------------- what a layer keeps

FULL = Chain({'embedding': Embedding(5, 4, padding=0), 'noise': Dropout(.2),
              'deep': stacked(4, 2, 'lstm', 2, 2, dropout=.3, recurrent_dropout=.3, residual=True),
              'ends': Pool('ends'), 'output': Dense(4, 3)})


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@engines
def test_types_stay_and_nothing_is_written_to(engine, dtype):
    rng = np.random.default_rng(0)
    parameters, state = drawn(FULL, rng, dtype)
    tokens, dy = rng.integers(5, size=(3, 4)), rng.standard_normal((3, 3)).astype(dtype)
    dstate = {name: np.ones_like(s) for name, s in state.items()}
    given = (parameters, state, tokens, dy, dstate, LENGTHS)
    before = {name: a.copy() for name, a in flat(given).items()}
    with engine_of(engine):
        y, final, cache = FULL.forward(parameters, tokens, state, Pass(lengths=LENGTHS, rng=np.random.default_rng(1)))
        first, second = (FULL.backward(dy, cache, dstate) for _ in range(2))
    assert {a.dtype for a in flat((y, final, first)).values()} == {np.dtype(dtype)}
    same(first, second)
    for name, a in flat(given).items(): np.testing.assert_array_equal(a, before[name])
    assert first[1].keys() == parameters.keys() and first[2].keys() == final.keys() == state.keys()


def test_dropout_draws_from_its_generator_alone():
    rng = np.random.default_rng(0)
    parameters, tokens = FULL.init(rng), rng.integers(1, 5, size=(3, 4))
    run = lambda seed, **o: FULL.forward(parameters, tokens, how=Pass(rng=np.random.default_rng(seed), **o))[0]
    same(run(1), run(1))
    assert (run(1) != run(2)).any() and (run(1) != run(1, training=False)).any()
    same(run(1, training=False), run(2, training=False))
    same(FULL.forward(parameters, tokens, how=Pass(training=False))[0], run(1, training=False))


def test_dropout_scales_what_stays():
    x, rng = np.ones((20, 30, 40)), np.random.default_rng(0)
    once, anew = (Dropout(.25, every_step=e).forward({}, x, how=Pass(rng=rng))[0] for e in (False, True))
    for y in (once, anew): assert set(np.unique(y)) == {0, 1 / .75} and abs(y.mean() - 1) < .1
    assert (once == once[:, :, :1]).all() and not (anew == anew[:, :, :1]).all()
    assert (once[:, :1] != once).any(), 'each example has a mask of its own'
    assert dropout_mask(rng, 0., (3,), np.float32).dtype == np.float32


@pytest.mark.parametrize('sign', [1, -1])
def test_what_pooling_takes(sign):
    x = sign * np.arange(1., 25).reshape(2, 3, 4)       # all of one sign: a zero in the padding would win or lose
    wanted = {'last': lambda e: e[:, -1], 'mean': lambda e: e.mean(axis=1), 'max': lambda e: e.max(axis=1),
              'ends': lambda e: np.array([e[0, -1], e[1, 0]])}
    for how, of in wanted.items():
        for lengths in (LENGTHS, None):
            y, _, _ = Pool(how).forward({}, x, how=Pass(lengths=lengths))
            for i, T in enumerate([4, 4, 4] if lengths is None else lengths):
                np.testing.assert_allclose(y[:, i], of(x[:, i, :T]), rtol=1e-15)


@by_cell
def test_recurrent_dropout_leaves_out_units_of_the_state_alone(cell):
    "As if their columns in the recurrent weights were zero, for all examples; inputs, biases, what is carried stay"
    layer, rng = Recurrent(3, 4, **CELLS[cell], dropout=.5), np.random.default_rng(0)
    x, (parameters, state) = rng.standard_normal((3, 3, 5)), drawn(layer, rng)
    d = dropout_mask(np.random.default_rng(1), .5, (4,), np.float64)
    assert {*d} == {0., 2.}
    y, final, cache = layer.forward(parameters, x, state, Pass(rng=np.random.default_rng(1)))
    dy, dfinal = rng.standard_normal(y.shape), {name: rng.standard_normal(s.shape) for name, s in final.items()}
    dx, dparameters, dstate = layer.backward(dy, cache, dfinal)
    columns = {name: np.append(d, np.ones(p.shape[1] - 4)) if name[0] == 'W' and name != 'Wax' else 1.
               for name, p in parameters.items()}
    by_hand, plain = {name: p * columns[name] for name, p in parameters.items()}, replace(layer, dropout=0.)
    wanted, last, cache = plain.forward(by_hand, x, state)
    dx_wanted, gradients, dstate_wanted = plain.backward(dy, cache, dfinal)
    gradients = {name: g * columns[name] for name, g in gradients.items()}
    same((y, final, dx, dparameters, dstate), (wanted, last, dx_wanted, gradients, dstate_wanted))


@pytest.mark.parametrize('dtype, tolerance', [(np.float64, 1e-11), (np.float32, 1e-4)])
@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('lengths', [None, [5, 0, 2]], ids=['all', 'lengths'])
@pytest.mark.parametrize('tokens', [False, True])
@by_cell
def test_every_engine_leaves_out_the_same(cell, tokens, lengths, reverse, dtype, tolerance):
    "Results and gradients of the textbook, NumPy and compiled code, through a layer with recurrent dropout"
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape).astype(dtype)
    layer, results = Recurrent(3, 9, **CELLS[cell], reverse=reverse, dropout=.4), []
    parameters = {name: draw(*shape) / dtype(3) for name, shape in cell_shapes(cell, 3, 9).items()}
    state, dstate = ({name: draw(9, 3) for name in state_names(cell)} for _ in range(2))
    given = (rng.integers(6, size=(3, 5)), draw(3, 6)) if tokens else (draw(3, 3, 5),)
    run, da = layer.forward_tokens if tokens else layer.forward, draw(9, 3, 5)
    how = lambda **more: Pass(lengths=lengths, rng=np.random.default_rng(1), **more)
    for name in ENGINES if has_numba() else ENGINES[:2]:
        with engine_of(name):
            a, final, cache = run(parameters, *given, state, how())
            plain, _, _ = run(parameters, *given, state, how(training=False))
            results.append((np.array(a), final, layer.backward(da, cache, dstate)))
            assert np.abs(np.array(a) - plain).max() > .01
    for result in results[1:]:
        found, wanted = flat(result), flat(results[0])
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            assert found[name].dtype == dtype
            np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance, err_msg=name)


def test_a_padding_token_is_nothing():
    layer, rng = Embedding(5, 3, padding=2), np.random.default_rng(0)
    assert not layer.init(rng)['W'][:, 2].any()
    W = {'W': rng.standard_normal((3, 5))}
    y, _, cache = layer.forward(W, np.array([[0, 2, 4]]))
    assert not y[:, 0, 1].any() and y[:, 0, 0].all()
    gradient = layer.backward(np.ones_like(y), cache)[1]['W']
    np.testing.assert_array_equal(gradient, np.array([[1., 0, 0, 0, 1]] * 3))


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('lengths', [None, LENGTHS], ids=['all', 'lengths'])
@by_cell
@engines
def test_an_embedding_inside_the_layer_above_gives_the_same(engine, cell, lengths, dtype):
    layers = {'embedding': Embedding(5, 3, padding=1), 'deep': Recurrent(3, 4, **CELLS[cell], dropout=.3),
              'output': Dense(4, 2)}
    rng, results, tolerance = np.random.default_rng(0), [], 1e-11 if dtype == np.float64 else 2e-4
    parameters, state = drawn(Chain(layers), rng, dtype)
    tokens, dy = rng.integers(5, size=(3, 4)), rng.standard_normal((2, 3, 4)).astype(dtype)
    if lengths is not None: tokens[~valid_steps(lengths, 4)] = -1
    for network in (Chain(layers), TokenChain(layers)):
        with engine_of(engine):
            how = Pass(lengths=lengths, rng=np.random.default_rng(1))
            y, final, cache = network.forward(parameters, tokens, state, how)
            results.append(flat((y, final, network.backward(dy, cache, final))))
    assert [*results[0]] == [*results[1]]
    for name, wanted in results[0].items():
        assert results[1][name].dtype == wanted.dtype == dtype
        np.testing.assert_allclose(results[1][name], wanted, rtol=tolerance, atol=tolerance / 10, err_msg=name)


def test_an_embedding_inside_the_layer_above_accepts_the_same():
    layers, rng = {'e': Embedding(5, 3), 'r': Recurrent(3, 2)}, np.random.default_rng(0)
    parameters = Chain(layers).init(rng)
    assert [*TokenChain(layers).init(rng)] == [*parameters] and [*TokenChain(layers).start(3)] == ['r.a', 'r.c']
    for network in (Chain(layers), TokenChain(layers)): network.forward(parameters, [[1, 2, 3], [4, 0, 1]])
    for others in ({'e': layers['e']}, {'r': layers['r'], 'd': Dense(2, 2)}, {'e': layers['e'], 'd': Dense(3, 2)}):
        with pytest.raises(ValueError, match=r'^layers'): TokenChain(others)
    assert type(TokenChain({**layers, 'd': Dense(2, 2)}).body) is TokenChain


@by_cell
def test_trace_shows_what_the_kernels_compute(cell):
    rng = np.random.default_rng(0)
    network = Chain({'deep': stacked(3, 3, layers=2, directions=2, merge='sum', residual=True, **CELLS[cell]),
                     'output': Dense(3, 2)})
    x, (parameters, state) = rng.standard_normal((3, 3, 4)), drawn(network, rng)
    seen = trace(network, parameters, x, state, LENGTHS)
    y, final, _ = network.forward(parameters, x, state, Pass(lengths=LENGTHS))
    outputs = dict(outputs_by_name(network, parameters, x, state, lengths=LENGTHS))
    x = np.where(valid_steps(LENGTHS, 4), x, 0)
    below = {'1': x, '2': outputs['deep.layer1']}
    for i, layer_input in below.items():
        both = seen[f'deep.layer{i}.forward.a'] + seen[f'deep.layer{i}.backward.a']
        np.testing.assert_allclose(both + layer_input, outputs[f'deep.layer{i}'], rtol=1e-12, atol=1e-14)
        forward, backward = (seen[f'deep.layer{i}.{way}.a'] for way in ('forward', 'backward'))
        np.testing.assert_allclose(forward[:, np.arange(3), LENGTHS - 1], final[f'deep.layer{i}.forward.a'], rtol=1e-12)
        np.testing.assert_allclose(backward[:, :, 0], final[f'deep.layer{i}.backward.a'], rtol=1e-12)
    np.testing.assert_array_equal(seen['output.y'], y)
    names = {'rnn': 'a', 'lstm': 'a c ft it cct ot', 'gru': 'a ut rt cct', 'gru_after': 'a ut rt cct qt'}[cell].split()
    wanted = {f'deep.layer{i}.{way}.{n}' for i in (1, 2) for way in ('forward', 'backward') for n in names}
    assert {*seen} == {*wanted, 'output.y'}
    assert all(seen[name].shape == (3, 3, 4) and not seen[name][:, ~valid_steps(LENGTHS, 4)].any() for name in wanted)


def test_layers_print_as_tables():
    for layer in (FULL, Dense(2, 3), Embedding(3, 2), Recurrent(2, 3), Bidirectional(Recurrent(2, 3)), Dropout()):
        assert str(layer) == summary(layer)
        count = sum(p.size for p in layer.init(np.random.default_rng(0)).values())
        assert str(layer).split()[-1] == f'{count:,}'
    assert 'deep.layer2.backward.Wo' in str(FULL)


def test_a_stack_is_made_of_what_was_asked_for():
    layer = Bidirectional(Recurrent(4, 2, 'gru', dropout=.2))
    wanted = {'layer1': Bidirectional(Recurrent(3, 2, 'gru', dropout=.2)), 'dropout1': Dropout(.3),
              'layer2': Residual(layer), 'dropout2': Dropout(.3), 'layer3': Residual(layer)}
    made = stacked(3, 2, 'gru', 3, 2, dropout=.3, recurrent_dropout=.2, residual=True)
    assert [*made.layers.items()] == [*wanted.items()]
    assert stacked(3, 2).layers == {'layer1': Recurrent(3, 2)}


@pytest.mark.parametrize('engine', ENGINES if has_numba() else ENGINES[:2])
@pytest.mark.parametrize('reverse', [False, True])
@by_cell
def test_a_traced_run_shows_the_gates_of_this_run(cell, reverse, engine):
    "Step by step through the textbook's cell, with the units left out that were left out; outputs and states stay"
    layer, rng = Recurrent(3, 4, **CELLS[cell], reverse=reverse, dropout=.4), np.random.default_rng(0)
    x, (parameters, state) = rng.standard_normal((3, 3, 4)), drawn(layer, rng)
    draw, lengths = lambda: np.random.default_rng(1), LENGTHS
    with engine_of(engine):
        y, final, seen = layer.forward(parameters, x, state, Pass(lengths=lengths, rng=draw(), trace=True))
        plain = layer.forward(parameters, x, state, Pass(lengths=lengths, rng=draw()))
    same((y, final), plain[:2])
    np.testing.assert_allclose(seen['a'], y, rtol=1e-10, atol=1e-13)
    step, d = textbook_cells(layer.kernel)[0], dropout_mask(draw(), .4, (4,), np.float64)
    names = {'rnn': {}, 'lstm': {'ft': 4, 'it': 5, 'cct': 6, 'ot': 7}}.get(cell, {'ut': 2, 'rt': 3, 'cct': 4})
    for i, length in enumerate(lengths):
        now, own = {k: s[:, i:i + 1] for k, s in state.items()}, thinned(layer.kernel, parameters, d)
        for t in reversed(range(length)) if reverse else range(length):
            inner = {'qt': own['Wc'][:, :4] @ now['a'] + own['brc']} if cell == 'gru_after' else {}
            now, cache = step(x[:, i:i + 1, t], now, own)
            wanted = {**now, **inner, **{name: cache[k] for name, k in names.items()}}
            for name, values in wanted.items():
                np.testing.assert_allclose(seen[name][:, i, t], values[:, 0], rtol=1e-12, atol=1e-15)
        assert not any(values[:, i, length:].any() for values in seen.values())
    assert {*seen} == {*wanted}


LOOKED_UP = TokenChain({'embedding': Embedding(5, 4, padding=0), 'lstm': Recurrent(4, 3, dropout=.3),
                        'output': Dense(3, 2)})


@pytest.mark.parametrize('network', [FULL, LOOKED_UP], ids=['full', 'looked up'])
def test_a_traced_network_is_the_same_network(network):
    "With dropout everywhere, tokens, two directions and residual connections: names as `trace` gives them"
    rng = np.random.default_rng(0)
    parameters, tokens = network.init(rng, np.float64), rng.integers(5, size=(3, 4))
    draw = lambda: np.random.default_rng(2)
    y, final, seen = network.forward(parameters, tokens, how=Pass(lengths=LENGTHS, rng=draw(), trace=True))
    plain, end, _ = network.forward(parameters, tokens, how=Pass(lengths=LENGTHS, rng=draw()))
    for given, wanted in ((y, plain), *((final[name], end[name]) for name in end)):
        np.testing.assert_allclose(given, wanted, rtol=1e-10, atol=1e-13)
    assert [*seen] == [*trace(network, parameters, tokens, lengths=LENGTHS)]
    inner = network.forward(parameters, tokens, how=Pass(training=False, lengths=LENGTHS, trace=True))
    same(inner[2], trace(network, parameters, tokens, lengths=LENGTHS))


def test_options_leave_the_names_of_parameters_alone():
    "Weights trained with dropout and residual connections fit the network without them"
    plain = stacked(4, 2, 'gru', 3, 2)
    fancy = stacked(4, 2, 'gru', 3, 2, dropout=.5, recurrent_dropout=.5, residual=True)
    assert [*plain.init(np.random.default_rng(0))] == [*fancy.init(np.random.default_rng(0))]


# ----------------------------------------------------------------------------------------------------------- refusals

REFUSED = [
    (lambda: Embedding(3, 2, padding=3), 'padding: got 3'),
    (lambda: Embedding(3, 2, padding=-1), 'padding: got -1'),
    (lambda: Bidirectional(replace(Recurrent(3, 2), reverse=True)), 'layer: got one that reads backward'),
    (lambda: stacked(3, 2, 'lstm', reset_after=True), 'reset_after: got True'),
    (lambda: Dropout().forward({}, x3), 'rng: got NoneType'),
    (lambda: (r := Recurrent(3, 2, dropout=.5)).forward(r.init(np.random.default_rng(0)), x3), 'rng: got NoneType'),
    (lambda: Pool().forward({}, x3, how=Pass(lengths=[4, 0])), 'lengths: got 0'),
    (lambda: Pool().forward({}, zeros((3, 2))), 'x: got shape (3, 2)'),
    (lambda: Residual(Dense(3, 2)).forward(Dense(3, 2).init(np.random.default_rng(0)), x3), 'layer: got one that'),
    (lambda: Dense(3, 2).forward(Dense(3, 2).init(np.random.default_rng(0)), zeros(3)), 'x: got shape (3,)'),
    (lambda: Chain({}), 'layers: got none'), (lambda: Chain([Dense(2, 3)]), 'layers: got list'),
    (lambda: Chain({'a.b': Dense(1, 1)}), "layers: got the name 'a.b'"), (lambda: Chain({'': Dense(1, 1)}), 'layers'),
    (lambda: Chain({1: Dense(1, 1)}), 'layers: got the name 1'),
    (lambda: Chain({'a': None}), "layers['a']: got NoneType, expected a layer"),
    (lambda: Chain({'a': Dense}), "layers['a']: got the class Dense"),
    (lambda: Embedding(3, 2, padding=True), 'padding: got True'),
    (lambda: stacked(0, 2), 'n_x: got 0'), (lambda: stacked(2, None), 'n_a: got None'),
    (lambda: summary(Dense), 'layer: got the class Dense'),
    (lambda: trace(Chain({'d': Dense(2, 2)}), {'e.W': x3}, x3), "parameters: got the name 'e.W'"),
    (lambda: outputs_by_name(Chain({'d': Dense(2, 2)}), {}, x3, {'e.a': x3}), "state: got the name 'e.a'"),
    (lambda: Recurrent(2, 3).start(0), 'm: got 0'), (lambda: Recurrent(2, 3).start(1, int), 'dtype: got'),
]


@pytest.mark.parametrize('wrong, message', REFUSED, ids=[message for _, message in REFUSED])
def test_a_clear_refusal(wrong, message):
    with pytest.raises((ValueError, TypeError)) as caught: wrong()
    assert str(caught.value).startswith(message) and '\n' not in str(caught.value)


@pytest.mark.parametrize('dtype', [np.int64, np.int8, bool, np.float32, np.float64])
def test_dropout_of_whole_numbers_is_not_cut(dtype):
    x = np.ones((40, 3, 5), dtype)
    y, _, _ = Dropout(0.3).forward({}, x, how=Pass(training=True, rng=np.random.default_rng(0)))
    kept = y[y != 0]
    assert y.dtype == (dtype if np.dtype(dtype).kind == 'f' else np.float64) and 0 < kept.size < y.size
    np.testing.assert_allclose(kept, 1 / 0.7, rtol=1e-6)


LAYERS = {'embedding': Embedding(5, 3), 'dense': Dense(3, 3), 'rnn': Recurrent(3, 3, 'rnn'), 'lstm': Recurrent(3, 3),
          'gru': Recurrent(3, 3, 'gru', dropout=.3), 'both': Bidirectional(Recurrent(3, 3)), 'pool': Pool('mean'),
          'dropout': Dropout(.3), 'residual': Residual(Recurrent(3, 3)), 'stack': stacked(3, 3, layers=2, directions=2),
          'chain': Chain({'e': Embedding(5, 3), 'r': Recurrent(3, 3), 'y': Dense(3, 2)}),
          'fused': TokenChain({'e': Embedding(5, 3), 'r': Recurrent(3, 3), 'y': Dense(3, 2)})}
by_layer = pytest.mark.parametrize('name', LAYERS)


def ready(name: str):
    "A layer, an input that fits it, parameters and a state"
    layer, rng = LAYERS[name], np.random.default_rng(0)
    x = rng.integers(5, size=(2, 4)) if name in ('embedding', 'chain', 'fused') else rng.standard_normal((3, 2, 4))
    return layer, x, layer.init(rng, np.float64), layer.start(2, np.float64)


def run(layer, parameters, x, state=None, **more):
    return layer.forward(parameters, x, state, Pass(rng=np.random.default_rng(0), **more))


def refused(names: str, function, *args, **kwargs) -> list[str]:
    "The notes of an error in one line about one of these arguments; what came in is as it was"
    before = [(a, a.copy()) for _, a in leaves([args, kwargs]) if isinstance(a, np.ndarray) and a.dtype.kind != 'O']
    with pytest.raises((ValueError, TypeError)) as caught: function(*args, **kwargs)
    message = str(caught.value)
    assert '\n' not in message and len(message) < 400 and message.split(':')[0] in names.split(), message
    for a, old in before: np.testing.assert_array_equal(a, old)
    return getattr(caught.value, '__notes__', [])


def places(key: str) -> list[str]:
    "The notes of an error in the layer of a dotted name: the innermost first"
    return [f'in layer {name!r}' for name in reversed(key.split('.')[:-1])]


@by_layer
def test_parameters_of_a_layer(name):
    "Missing, misshapen, of another kind, or of a name that nobody knows; the notes say in which layer"
    layer, x, parameters, _ = ready(name)
    for key, p in parameters.items():
        plain, rest = key.rsplit('.', 1)[-1], {k: v for k, v in parameters.items() if k != key}
        for bad in (p[:, :-1] if p.shape[1] > 1 else p[:-1], p[None], p.astype(str), p.tolist(), None):
            assert refused(plain, run, layer, {**rest, key: bad}, x) == places(key)
        assert refused(plain, run, layer, rest, x) == places(key)
        assert refused('parameters', run, layer, {**parameters, f'{key}2': p}, x) == places(key)
    for bad in ({**parameters, 'extra': np.ones(2)}, None, [1], 3.0):
        assert refused('parameters', run, layer, bad, x) == []


@by_layer
def test_states_of_a_layer(name):
    layer, x, parameters, state = ready(name)
    refused('state', run, layer, parameters, x, {**state, 'wrong': np.ones((3, 2))})
    for key, s in state.items():
        for bad in (s[:, :1], s[:2], s[..., None], s.astype(str), s.tolist()):
            assert refused(key[-1], run, layer, parameters, x, {**state, key: bad}) == places(key)
    y, _, cache = run(layer, parameters, x)
    refused('dstate', layer.backward, np.array(y), cache, {'wrong': np.ones((3, 2))})
    for key, s in state.items():
        given = {k: np.ones_like(v) for k, v in state.items()}
        assert refused(f'd{key[-1]}', layer.backward, np.array(y), cache, {**given, key: s[:2]}) == places(key)
    for bad in (np.ones(3), [1], 'a'):
        refused('state', run, layer, parameters, x, bad)
        refused('dstate', layer.backward, np.array(y), cache, bad)
    if state: same(run(layer, parameters, x, {})[:2], run(layer, parameters, x, state)[:2])


@by_layer
def test_inputs_of_a_layer(name):
    layer, x, parameters, _ = ready(name)
    for bad in (x[..., None], x[..., :0], x[:0] if x.ndim == 2 else x[:, :0], x.astype(str), x.tolist(), None,
                x[..., 0][..., 0], x.astype(object), 'abc'):
        if isinstance(bad, list) and x.ndim == 2: continue             # a list of tokens is tokens
        refused('x', run, layer, parameters, bad)
    if x.ndim == 2:
        for bad in (np.full_like(x, 5), -np.ones_like(x), x.astype(float), [[1, 2], [3]]):
            refused('x', run, layer, parameters, bad)
    for bad in ([4], [5, 1], [-1, 2], [1.5, 2.], 'ab', [[1, 2]]):
        refused('lengths', run, layer, parameters, x, lengths=bad)
    for lengths in (None, [4, 2]):
        y, _, cache = run(layer, parameters, x, lengths=lengths)
        y = np.array(y)
        more = np.zeros((*y.shape[:-1], y.shape[-1] + 1))
        for bad in (y[..., :-1], more, y[None], y.astype(str), y.tolist(), None):
            refused('dy', layer.backward, bad, cache)


def test_an_error_says_in_which_layer():
    inner = Chain({'a': Dense(2, 2), 'b': Dense(3, 2)})
    outer, x = Chain({'c': Dense(2, 2), 'outer': inner}), np.ones((2, 1, 2))
    assert refused('x', run, inner, inner.init(np.random.default_rng(0)), x) == ["in layer 'b'"]
    assert refused('x', run, outer, outer.init(np.random.default_rng(0)), x) == ["in layer 'b'", "in layer 'outer'"]
    both, rng = LAYERS['both'], np.random.default_rng(0)
    assert refused('x', run, both, both.init(rng), x) == ["in layer 'forward'"]


@by_layer
def test_a_nan_in_a_step_that_counts_shows(name):
    "It raises nothing, because looking at every number costs; but it does not vanish either"
    layer, x, parameters, _ = ready(name)
    first = next(iter(parameters), None)
    if x.ndim == 2: parameters = {**parameters, first: np.full_like(parameters[first], np.nan)}
    else: x[0, 0, 1] = np.nan
    with np.errstate(invalid='ignore'): y, _, _ = layer.forward(parameters, x, how=Pass(training=False))
    assert np.isnan(np.asarray(y)).any()


@pytest.mark.parametrize('name', [name for name in LAYERS if name not in ('pool', 'dropout')])
def test_a_random_source_or_dtype_that_is_none(name):
    layer = LAYERS[name]
    for bad in (None, 0, np.random): refused('rng', layer.init, bad)
    for bad in ('int64', 'bool'): refused('dtype', layer.init, np.random.default_rng(0), bad)


@by_layer
def test_a_backward_pass_without_a_forward_pass(name):
    "After forward without training, or with a trace, there is nothing to go back from; where there is, it is right"
    layer, x, parameters, _ = ready(name)
    for how in ({'training': False}, {'trace': True}):
        y, _, cache = layer.forward(parameters, x, how=Pass(rng=np.random.default_rng(0), **how))
        dy = np.array(y)
        try: layer.backward(dy, cache)
        except TypeError as e: assert 'cache: got' in str(e) and 'training=True' in str(e)
        else: assert how == {'training': False} and name in ('embedding', 'dense', 'pool', 'dropout')


@pytest.mark.parametrize('kind', [np.int64, np.int8, bool])
@pytest.mark.parametrize('layer', [Dense(3, 2), Recurrent(3, 2), Recurrent(3, 2, dropout=.5), stacked(3, 2, 'gru')],
                         ids=repr)
def test_integers_take_the_dtype_of_the_weights(layer, kind):
    "Results and gradients are what they are for the same numbers as floating point"
    x = np.random.default_rng(0).integers(2, size=(3, 2, 4)).astype(kind)
    for dtype in (np.float32, np.float64):
        parameters, results = layer.init(np.random.default_rng(1), dtype), []
        for given in (x, x.astype(dtype)):
            y, _, cache = run(layer, parameters, given)
            results.append([np.array(y), *layer.backward(np.ones_like(y), cache)[1].values()])
        for a, b in zip(*results, strict=True):
            assert a.dtype == b.dtype == dtype
            np.testing.assert_array_equal(a, b)
