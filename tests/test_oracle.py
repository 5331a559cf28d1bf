"PyTorch in double precision as the independent answer: results and all gradients, at sizes that include 1 everywhere."
import numpy as np
import pytest
from cells import CELLS, Cell, Example, Sizes, by_cell, by_size, close, example

import rnn_nbdev as book
from rnn_nbdev import losses, numerics

torch = pytest.importorskip('torch', reason='PyTorch is the independent answer here; `make oracle` installs it')
F = torch.nn.functional


# ------------------------------------------------------------------------------------- our names on PyTorch's modules

def tensor(array) -> 'torch.Tensor':
    "A leaf of PyTorch's graph, so that it collects a gradient"
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float64, requires_grad=True)


def leaves(e: Example) -> dict:
    "x, the initial states and the parameters of an example, by name"
    return {name: tensor(array) for name, array in {'x': e.x, **e.initial, **e.parameters}.items()}


def gradients(loss: 'torch.Tensor', of: dict) -> dict:
    "Gradients by our names; zeros where the loss does not depend on something"
    found = torch.autograd.grad(loss, list(of.values()), allow_unused=True, materialize_grads=True)
    return {f'd{name}': g.numpy() for name, g in zip(of, found)}


def torch_weights(cell: Cell, p: dict) -> dict:
    "PyTorch's four arrays, made from our parameters; autograd then carries their gradients back to our names"
    none = torch.zeros_like
    if cell.base == 'rnn':
        b = p['ba'][:, 0]
        return {'weight_ih': p['Wax'], 'weight_hh': p['Waa'], 'bias_ih': b, 'bias_hh': none(b)}
    n_a = p[f'W{cell.gates[0]}'].shape[0]
    # PyTorch's order is i f c o for the LSTM, r z c for the GRU; its z = 1 - u = sigmoid(-(W_u [a; x] + b_u))
    order = [('i', 1), ('f', 1), ('c', 1), ('o', 1)] if cell.base == 'lstm' else [('r', 1), ('u', -1), ('c', 1)]
    W = torch.cat([sign * p[f'W{g}'] for g, sign in order])
    b = torch.cat([sign * p[f'b{g}'][:, 0] for g, sign in order])
    inside = torch.cat([none(b[:2 * n_a]), p['brc'][:, 0]]) if 'brc' in p else none(b)
    return {'weight_ih': W[:, n_a:], 'weight_hh': W[:, :n_a], 'bias_ih': b, 'bias_hh': inside}


def reset_before(x, a, p: dict):
    "The GRU of Cho et al. 2014, which PyTorch does not have: the reset gate acts on the state before the product"
    states = []
    for xt in x.unbind(-1):
        concat = torch.cat([a, xt])
        u, r = (torch.sigmoid(p[f'W{g}'] @ concat + p[f'b{g}']) for g in 'ur')
        candidate = torch.tanh(p['Wc'] @ torch.cat([r * a, xt]) + p['bc'])
        a = u * candidate + (1 - u) * a
        states.append(a)
    return torch.stack(states, -1)


def torch_states(cell: Cell, s: Sizes, p: dict) -> dict:
    "Every state that nn.RNN, nn.LSTM or nn.GRU gives: all of a, and of c the last one"
    if cell.name == 'gru': return {'a': reset_before(p['x'], p['a0'], p)}
    module = {'rnn': torch.nn.RNN, 'lstm': torch.nn.LSTM, 'gru': torch.nn.GRU}[cell.base](s.n_x, s.n_a)
    initial = tuple(p[f'{state}0'].T[None].contiguous() for state in cell.states)
    weights = {f'{name}_l0': w.contiguous() for name, w in torch_weights(cell, p).items()}
    given = (p['x'].permute(2, 1, 0).contiguous(), initial if len(initial) > 1 else initial[0])
    out, last = torch.func.functional_call(module, weights, given)
    return {'a': out.permute(2, 1, 0), **({'c': last[1][0].T[..., None]} if cell.base == 'lstm' else {})}


def torch_cell(cell: Cell, s: Sizes, xt, initial: list, p: dict) -> list:
    "One step of nn.RNNCell, nn.LSTMCell or nn.GRUCell"
    if cell.name == 'gru': return [reset_before(xt[..., None], initial[0], p)[..., 0]]
    module = {'rnn': torch.nn.RNNCell, 'lstm': torch.nn.LSTMCell, 'gru': torch.nn.GRUCell}[cell.base](s.n_x, s.n_a)
    before = tuple(state.T for state in initial)
    after = torch.func.functional_call(module, torch_weights(cell, p), (xt.T, before if len(before) > 1 else before[0]))
    return [state.T for state in (after if isinstance(after, tuple) else (after,))]


def scores(cell: Cell, p: dict, a):
    "The output layer before its softmax"
    return torch.einsum('ya,amt->ymt', p[cell.output], a) + p['by'][..., None]


@pytest.fixture(autouse=True)
def double_precision():
    "PyTorch's modules are made in double precision here, and as they were afterwards"
    before = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(before[0])
    torch.set_num_threads(before[1])


# ---------------------------------------------------------------------------------------------------------- sequences

@by_size
@by_cell
def test_sequence(cell, sizes):
    "States, predictions and the gradient of everything that went in"
    e = example(cell, sizes, np.random.default_rng(1))
    results, caches = cell.forward(e.x, e.initial, e.parameters)
    p = leaves(e)
    want = torch_states(cell, sizes, p)
    close(results['a'], want['a'].detach().numpy(), name='a')
    close(results['y'], torch.softmax(scores(cell, p, want['a']), 0).detach().numpy(), name='y')
    loss = (want['a'] * torch.tensor(e.upstream['a'])).sum()
    if 'c' in want:
        close(results['c'][..., -1:], want['c'].detach().numpy(), name='c')
        e.upstream['c'][..., :-1] = 0                  # nn.LSTM gives the last cell state alone
        loss = loss + (want['c'] * torch.tensor(e.upstream['c'][..., -1:])).sum()
    inner = {name: leaf for name, leaf in p.items() if name not in (cell.output, 'by')}
    close(cell.backward(e.upstream, caches), gradients(loss, inner), name='gradient')


@by_cell
@pytest.mark.parametrize('T', [1, 3])
def test_upstream_that_ends_early(cell, T):
    "A gradient for the first steps alone is one that is zero afterwards, and dx ends with it"
    e = example(cell, sizes := Sizes(), np.random.default_rng(2))
    _, caches = cell.forward(e.x, e.initial, e.parameters)
    p = leaves(e)
    loss = (torch_states(cell, sizes, p)['a'][..., :T] * torch.tensor(e.upstream['a'][..., :T])).sum()
    want = gradients(loss, {name: leaf for name, leaf in p.items() if name not in (cell.output, 'by')})
    assert not want['dx'][..., T:].any()
    want['dx'] = want['dx'][..., :T]
    close(cell.backward({'a': e.upstream['a'][..., :T]}, caches), want, name='gradient')


@by_size
def test_lstm_cell_state_at_every_step(sizes):
    "The LSTM's cell states, each with a gradient of its own, and a start from zero where no c0 is given"
    cell = CELLS[1]
    e = example(cell, sizes, np.random.default_rng(3))
    for initial in (e.initial, {'a0': e.initial['a0'], 'c0': None}):
        results, caches = cell.forward(e.x, initial, e.parameters)
        p = {**leaves(e), **({} if initial['c0'] is not None else {'c0': tensor(np.zeros_like(e.initial['a0']))})}
        a, c, seen = p['a0'], p['c0'], []
        for xt in p['x'].unbind(-1):
            a, c = torch_cell(cell, sizes, xt, [a, c], p)
            seen.append((a, c))
        want = {state: torch.stack(steps, -1) for state, steps in zip('ac', zip(*seen))}
        for state in 'ac': close(results[state], want[state].detach().numpy(), name=state)
        loss = sum((want[state] * torch.tensor(e.upstream[state])).sum() for state in 'ac')
        inner = {name: leaf for name, leaf in p.items() if name not in ('Wy', 'by')}
        close(cell.backward(e.upstream, caches), gradients(loss, inner), name='gradient')


@by_size
@by_cell
def test_one_step(cell, sizes):
    "One cell by itself: its new states and the gradient of everything that went in"
    e = example(cell, sizes, np.random.default_rng(4))
    results, cache = cell.step(e.x[..., 0], e.initial, e.parameters)
    p = leaves(e)
    p['xt'] = tensor(e.x[..., 0])
    want = torch_cell(cell, sizes, p['xt'], [p[f'{s}0'] for s in cell.states], p)
    for state, w in zip(cell.states, want): close(results[state], w.detach().numpy(), name=state)
    y = torch.softmax(p[cell.output] @ want[0] + p['by'], 0)
    close(results['y'], y.detach().numpy(), name='y')
    loss = sum((w * torch.tensor(e.upstream[s][..., 0])).sum() for s, w in zip(cell.states, want))
    inner = {'xt': p['xt'], **{f'{s}_prev': p[f'{s}0'] for s in cell.states},
             **cell.without_output({name: p[name] for name in e.parameters})}
    got = cell.step_backward({s: e.upstream[s][..., 0] for s in cell.states}, cache)
    close(got, gradients(loss, inner), name='gradient')


# ------------------------------------------------------------------------------------------- from the loss to the start

@by_size
@by_cell
@pytest.mark.parametrize('masked', [False, True], ids=['all', 'masked'])
def test_loss(cell, sizes, masked):
    "Cross-entropy, output layer and back through time to x, the initial states and every parameter"
    e = example(cell, sizes, np.random.default_rng(5))
    loss, cache = cell.loss(e.x, e.initial, e.parameters, e.targets, e.mask if masked else None)
    p = leaves(e)
    right = np.where(e.mask, e.targets, -100) if masked else e.targets           # -100: PyTorch leaves it out
    want = F.cross_entropy(scores(cell, p, torch_states(cell, sizes, p)['a']).permute(1, 0, 2), torch.tensor(right))
    close(loss, want.item(), name='loss')
    want_gradients = gradients(want, p)
    close(cell.loss_backward(1.0, cache), want_gradients, name='gradient')
    close(cell.loss_backward(-2.5, cache), {name: -2.5 * g for name, g in want_gradients.items()}, name='scaled')


# ------------------------------------------------------------------------------------------------ numerics and losses

SHAPES = [(1,), (6,), (1, 1), (5, 1), (1, 4), (5, 3), (4, 3, 2), (1, 1, 1)]
by_shape = pytest.mark.parametrize('shape', SHAPES, ids=str)
by_scale = pytest.mark.parametrize('scale', [1.0, 30.0, 1e4])


@by_shape
@by_scale
def test_softmax_and_its_family(shape, scale):
    rng = np.random.default_rng(6)
    x, d = scale * rng.standard_normal(shape), rng.standard_normal(shape)
    for forward, backward, torch_forward in [(book.softmax, numerics.softmax_backward, torch.softmax),
                                             (book.log_softmax, numerics._log_softmax_backward, torch.log_softmax)]:
        t = tensor(x)
        want = torch_forward(t, 0)
        got = forward(x)
        close(got, want.detach().numpy(), rtol=1e-13, atol=1e-300, name=forward.__name__)
        close(backward(d, got), gradients((want * torch.tensor(d)).sum(), {'x': t})['dx'], atol=1e-14)
    t = tensor(x)
    want = torch.logsumexp(t, 0)
    close(book.logsumexp(x), want.detach().numpy(), rtol=1e-13)
    dl = rng.standard_normal(shape[1:])
    close(numerics._logsumexp_backward(dl, x), gradients((want * torch.tensor(dl)).sum(), {'x': t})['dx'], atol=1e-14)


@by_shape
@by_scale
def test_sigmoid_and_tanh(shape, scale):
    rng = np.random.default_rng(7)
    x, d = scale * rng.standard_normal(shape), rng.standard_normal(shape)
    for forward, backward, torch_forward in [(book.sigmoid, numerics.sigmoid_backward, torch.sigmoid),
                                             (np.tanh, numerics.tanh_backward, torch.tanh)]:
        t = tensor(x)
        want = torch_forward(t)
        got = forward(x)
        close(got, want.detach().numpy(), rtol=1e-14, atol=1e-300)
        close(backward(d, got), gradients((want * torch.tensor(d)).sum(), {'x': t})['dx'], atol=1e-15)


def test_left_tail_of_the_sigmoid():
    "Relative accuracy where the answer is small, against PyTorch's log-sigmoid"
    x = -np.linspace(1, 700, 1000)
    close(np.log(book.sigmoid(x)), F.logsigmoid(torch.tensor(x)).numpy(), rtol=1e-14)


@pytest.mark.parametrize('shape', [(1, 1), (5, 1), (1, 4), (5, 3), (4, 1, 1), (4, 3, 2), (1, 1, 1)], ids=str)
@pytest.mark.parametrize('masked', [False, True], ids=['all', 'masked'])
def test_losses(shape, masked):
    rng = np.random.default_rng(8)
    z, y, k = rng.standard_normal(shape), rng.standard_normal(shape), rng.integers(shape[0], size=shape[1:])
    some = rng.random(k.shape) < 0.5
    some.flat[0] = True
    mask, counts = (some, some) if masked else (None, np.ones_like(some))
    t, target = tensor(z), torch.tensor(np.where(counts, k, -100))
    want = F.cross_entropy(t.unsqueeze(0).transpose(0, 1).reshape(shape[0], -1).T, target.reshape(-1))
    dz = gradients(want, {'z': t})['dz']
    loss, cache = book.cross_entropy(z, k, mask)
    close(loss, want.item())
    close(book.cross_entropy_backward(1.0, cache), dz)
    close(losses.scores_gradient(book.softmax(z), k, mask), dz)

    t = tensor(book.softmax(z))
    want = F.nll_loss(torch.log(t).reshape(shape[0], -1).T, target.reshape(-1))
    loss, cache = losses.cross_entropy_from_probabilities(book.softmax(z), k, mask)
    close(loss, want.item())
    close(losses._cross_entropy_from_probabilities_backward(3.0, cache), gradients(3 * want, {'y': t})['dy'])

    p = {'y_pred': tensor(z), 'y': tensor(y)}
    want = F.mse_loss(p['y_pred'][:, counts], p['y'][:, counts])
    loss, cache = book.squared_error(z, y, mask)
    close(loss, want.item())
    close(book.squared_error_backward(1.5, cache), gradients(1.5 * want, p))
