"Whatever does not fit is refused in one line that names it, before any work is done."
import numpy as np
import pytest
from cells import CELLS, Cell, Sizes, by_cell, example

import rnn_nbdev as book


def refused(names: str, function, *args, kind=(ValueError, TypeError), **kwargs) -> str:
    "The message with which `function` refuses its arguments; it must begin with one of `names`"
    with pytest.raises(kind) as caught: function(*args, **kwargs)
    message = str(caught.value)
    assert '\n' not in message and len(message) < 400, message
    assert message.split(':')[0] in names.split(), f'{message!r} does not begin with {names}'
    return message


def wrong_arrays(array: np.ndarray) -> dict:
    "Arrays in the place of one, none of which will do: how each differs"
    cut = {f'short along {i}': np.delete(array, 0, axis=i) for i in range(array.ndim) if array.shape[i] > 1}
    return {**cut, 'a dimension less': array[0], 'a dimension more': array[None], 'text': array.astype(str),
            'objects': array.astype(object), 'a list': array.tolist(), 'a number': 1.0, 'nothing': None,
            'a string': 'abc'}


wrong = list(wrong_arrays(np.zeros((2, 2, 2))))
by_wrong = pytest.mark.parametrize('how', wrong)
no_work = 'no work may be done before the arguments have been looked at'


@pytest.fixture
def no_work_done(monkeypatch):
    "Whoever asks for this sees to it that no gate, no prediction and no result is even begun"
    def reached(*_): raise AssertionError(no_work)
    from rnn_nbdev import gru, lstm, rnn
    for module in (rnn, lstm, gru):
        for name in ('sigmoid', 'softmax', 'tanh_backward', 'sigmoid_backward', 'cross_entropy', 'new_sequence'):
            if hasattr(module, name): monkeypatch.setattr(module, name, reached)


# ------------------------------------------------------------------------------------------------------------- cells

@pytest.mark.usefixtures('no_work_done')
@by_wrong
@by_cell
def test_arrays_of_a_step(cell, how):
    e = example(cell, Sizes(), np.random.default_rng(0))
    forward, xt, states = cell.function('cell_forward'), e.x[..., 0], list(e.initial.values())
    # A wrong number of columns could be either's fault; of features, the weights' too.
    bad = wrong_arrays(xt).get(how)
    if how in wrong_arrays(xt): refused('xt a_prev Wax Wf Wu', forward, bad, *states, e.parameters, **cell.options)
    for i, name in enumerate(('a_prev', 'c_prev')[:len(states)]):
        if how not in wrong_arrays(states[i]): continue
        given = [*states[:i], wrong_arrays(states[i])[how], *states[i + 1:]]
        refused(f'{name} xt c_prev Wax Wf Wu', forward, xt, *given, e.parameters, **cell.options)
    for name, p in e.parameters.items():
        if how not in wrong_arrays(p): continue
        parameters = {**e.parameters, name: wrong_arrays(p)[how]}
        # the number of classes is read off the output weights
        refused(f'{name} by' if name == cell.output else name, forward, xt, *states, parameters, **cell.options)


@pytest.mark.usefixtures('no_work_done')
@by_wrong
@by_cell
def test_arrays_of_a_sequence(cell, how):
    e = example(cell, Sizes(), np.random.default_rng(0))
    forward, loss, a0 = cell.function('forward'), cell.function('loss'), e.initial['a0']
    states = list(e.initial.values())
    if how != 'short along 2':                                               # fewer steps are a shorter sequence
        bad = wrong_arrays(e.x)[how]
        refused('x a0 Wax Wf Wu', forward, bad, a0, e.parameters, **cell.options)
        refused('x a0 Wax Wf Wu', loss, bad, *states, e.parameters, e.targets, **cell.options)
    if how in wrong_arrays(a0):
        bad = wrong_arrays(a0)[how]
        refused('a0 c0 Wax Wf Wu', forward, e.x, bad, e.parameters, **cell.options)
        refused('a0 c0 Wax Wf Wu', loss, e.x, bad, *states[1:], e.parameters, e.targets, **cell.options)
    if 'c0' in e.initial and how in wrong_arrays(a0) and how != 'nothing':   # without a c0 it is zero
        bad = wrong_arrays(a0)[how]
        refused('c0', forward, e.x, a0, e.parameters, c0=bad)
        refused('c0', loss, e.x, a0, bad, e.parameters, e.targets)
    for name, p in e.parameters.items():
        if how not in wrong_arrays(p): continue
        parameters, names = {**e.parameters, name: wrong_arrays(p)[how]}, f'{name} by' if name == cell.output else name
        refused(names, forward, e.x, a0, parameters, **cell.options)
        refused(names, loss, e.x, *states, parameters, e.targets, **cell.options)


@pytest.mark.usefixtures('no_work_done')
@by_cell
def test_parameters(cell):
    "Each one missing, and what is no dictionary"
    e = example(cell, Sizes(), np.random.default_rng(0))
    forward, step, loss = (cell.function(name) for name in ('forward', 'cell_forward', 'loss'))
    states, a0 = list(e.initial.values()), e.initial['a0']
    for name in e.parameters:
        rest = {other: p for other, p in e.parameters.items() if other != name}
        calls = [(loss, e.x, *states, rest, e.targets)]
        if name != cell.output: calls += [(forward, e.x, a0, rest), (step, e.x[..., 0], *states, rest)]
        for function, *args in calls:
            message = refused(name, function, *args, kind=ValueError, **cell.options)
            assert 'missing' in message
    for bad in (None, list(e.parameters.values()), 3.0, 'parameters'):
        refused('parameters', forward, e.x, a0, bad, kind=TypeError, **cell.options)
        refused('parameters', step, e.x[..., 0], *states, bad, kind=TypeError, **cell.options)
        refused('parameters', loss, e.x, *states, bad, e.targets, kind=TypeError, **cell.options)
    none = {**e.parameters, cell.output: e.parameters[cell.output][:0], 'by': e.parameters['by'][:0]}
    refused(cell.output, forward, e.x, a0, none, **cell.options)
    message = refused('x', forward, e.x[..., :0], a0, e.parameters, kind=ValueError, **cell.options)
    assert 'expected (n_x, m, T_x)' in message, message                       # not what it says of itself


def bad_targets(targets: np.ndarray, n_y: int) -> list:
    return [targets[:, 1:], targets[:1], targets[..., None], targets[0], 1, targets * 1.0, targets > 0, targets + n_y,
            targets - n_y, targets.astype(str), None, 'abc']


def bad_masks(mask: np.ndarray) -> list:
    return [mask[:, 1:], mask[:1], mask[0], True, np.zeros_like(mask), mask - 0.5, np.where(mask, np.nan, 0),
            np.where(mask, np.inf, 0), mask.astype(str), 'abc']


@pytest.mark.usefixtures('no_work_done')
@by_cell
def test_targets_and_mask_of_a_loss(cell):
    s = Sizes()
    e = example(cell, s, np.random.default_rng(0))
    args = (e.x, *e.initial.values(), e.parameters)
    for bad in bad_targets(e.targets, s.n_y): refused('targets', cell.function('loss'), *args, bad, **cell.options)
    for bad in bad_masks(e.mask): refused('mask', cell.function('loss'), *args, e.targets, bad, **cell.options)


@by_wrong
@by_cell
def test_gradients_from_above(cell, how):
    e = example(cell, Sizes(), np.random.default_rng(0))
    _, caches = cell.forward(e.x, e.initial, e.parameters)
    backward, da = cell.function('backward'), e.upstream['a']
    if how != 'short along 2': refused('da', backward, wrong_arrays(da)[how], caches)    # fewer steps will do
    refused('da', backward, np.concatenate([da, da], axis=2), caches)
    refused('da', backward, da[..., :0], caches)
    if 'c' in cell.states and how != 'nothing': refused('dc', backward, da, caches, dc=wrong_arrays(da)[how])
    _, cache = cell.step(e.x[..., 0], e.initial, e.parameters)
    for i, name in enumerate(('da_next', 'dc_next')[:len(cell.states)]):
        given = [u[..., 0] for u in e.upstream.values()]
        if how not in wrong_arrays(given[i]): continue
        given[i] = wrong_arrays(given[i])[how]
        refused(name, cell.function('cell_backward'), *given, cache)


@by_cell
def test_caches_that_are_none(cell):
    e = example(cell, Sizes(), np.random.default_rng(0))
    _, caches = cell.forward(e.x, e.initial, e.parameters)
    for bad in (None, caches[0], (), caches[0][0], 'abc', (caches[1], caches[0])):
        refused('caches', cell.function('backward'), e.upstream['a'], bad, kind=TypeError)


# ------------------------------------------------------------------------------------------------ numerics and losses

@pytest.mark.parametrize('name', ['softmax', 'log_softmax', 'logsumexp', 'sigmoid'])
def test_numerics(name):
    function = getattr(book, name)
    for bad in (None, 'abc', ['a', 'b'], np.array([None, 1.0]), {'x': 1}, np.array(['2020-01-01'], 'datetime64[D]')):
        refused('x', function, bad, kind=TypeError)
    if name != 'sigmoid':
        for bad in (np.zeros((0,)), np.zeros((0, 3)), np.float64(1.0), 1): refused('x', function, bad, kind=ValueError)


def test_cross_entropy():
    rng = np.random.default_rng(0)
    function, z, targets = book.cross_entropy, rng.random((4, 2, 3)), rng.integers(4, size=(2, 3))
    for bad in bad_targets(targets, 4): refused('targets', function, z, bad)
    for bad in bad_masks(targets < 3): refused('mask', function, z, targets, bad)
    for bad in ('abc', None, np.zeros((0, 2, 3)), 1.0, z.astype(str)): refused('z', function, bad, targets)
    refused('z', function, z[:, :0], targets[:0])                            # nothing at all


def test_squared_error():
    z = np.random.default_rng(0).random((4, 2, 3))
    for bad in (z[:1], z[0], z[..., :1], 1.0, 'abc', z.astype(str), None): refused('y', book.squared_error, z, bad)
    for bad in ('abc', None, np.zeros((0, 2, 3)), 1.0): refused('y_pred', book.squared_error, bad, z)
    for bad in bad_masks(z[0] < 0.5): refused('mask', book.squared_error, z, z, bad)


def test_affine():
    rng = np.random.default_rng(0)
    a, W, b = rng.random((3, 2, 5)), rng.random((4, 3)), rng.random((4, 1))
    for bad in wrong_arrays(W).values(): refused('W b', book.affine_forward, a, bad, b)
    for bad in wrong_arrays(b).values(): refused('b', book.affine_forward, a, W, bad)
    for bad in (a[1:], a.tolist(), a.astype(str), None): refused('a W', book.affine_forward, bad, W, b)
    _, cache = book.affine_forward(a, W, b)
    for bad in wrong_arrays(rng.random((4, 2, 5))).values(): refused('dz', book.affine_backward, bad, cache)


# --------------------------------------------------------------------------------------------------- initial weights

@pytest.mark.parametrize('cell', CELLS[:3], ids=lambda cell: cell.name)
def test_initial_weights(cell: Cell):
    initialize = getattr(book, f'initialize_{cell.base}')
    for bad in (0, -1, 2.5, 3.0, '3', np.nan, True, [3]):
        for i, name in enumerate(('n_x', 'n_a', 'n_y')):
            sizes = [3, 4, 5]
            sizes[i] = bad
            refused(name, initialize, np.random.default_rng(0), *sizes, kind=ValueError)
    for bad in (None, 0, np.random, 'seed'): refused('rng', initialize, bad, 3, 4, 5, kind=TypeError)
    rng = np.random.default_rng(0)
    for bad in (int, np.int32, bool, complex, str): refused('dtype', initialize, rng, 3, 4, dtype=bad, kind=TypeError)
    if cell.base != 'lstm': return
    for bad in (np.nan, np.inf, 'one', None): refused('forget_bias', initialize, rng, 3, 4, forget_bias=bad)


def test_matrices():
    rng = np.random.default_rng(0)
    for bad in (0, -1, 1.5, '3'):
        refused('n_out', book.glorot, rng, bad, 3, kind=ValueError)
        refused('n_in', book.glorot, rng, 3, bad, kind=ValueError)
        refused('n', book.orthogonal, rng, bad, kind=ValueError)
    for bad in (None, 7):
        refused('rng', book.glorot, bad, 3, 3, kind=TypeError)
        refused('rng', book.orthogonal, bad, 3, kind=TypeError)


# -------------------------------------------------------------------------------------------------------------- Adam

def test_adam():
    p = {'w': np.ones((2, 3)), 'b': np.ones((2, 1))}
    update, (v, s) = book.update_parameters_with_adam, book.initialize_adam(p)
    grads = {f'd{name}': a for name, a in p.items()}
    for t in (0, -1): refused('t', update, p, grads, v, s, t, kind=ValueError)
    for bad in ({}, {'dw': p['w']}, {**grads, 'dw': p['w'].T}, {**grads, 'db': np.ones(2)}, {'w': p['w'], 'b': p['b']}):
        with pytest.raises(ValueError, match=r'^grads.*\bd[wb]\b'): update(p, bad, v, s, 1)


def test_a_bias_inside_the_reset_that_would_have_no_part():
    "Weights of the second form of the GRU in the first: not a silent other answer"
    cell = next(cell for cell in CELLS if cell.options)
    e = example(cell, Sizes(), np.random.default_rng(0))
    for function, *given in ((book.gru_cell_forward, e.x[..., 0], e.initial['a0'], e.parameters),
                             (book.gru_forward, e.x, e.initial['a0'], e.parameters),
                             (book.gru_loss, e.x, e.initial['a0'], e.parameters, e.targets)):
        refused('brc', function, *given, reset_after=False)
        function(*given, reset_after=True)


@by_cell
def test_shape_of_a_parameter_says_what_it_follows_from(cell):
    "Where x has too few features the weights are said not to fit, and the message says which x asked for others"
    e = example(cell, Sizes(), np.random.default_rng(0))
    (n_x, n_a), states = (len(e.x), len(e.initial['a0'])), list(e.initial.values())
    for names, function, args in (
            ('x with n_x = {} and a0 with n_a = {}', 'forward', (e.x[1:], states[0], e.parameters)),
            ('x with n_x = {} and a0 with n_a = {}', 'loss', (e.x[1:], *states, e.parameters, e.targets)),
            ('xt with n_x = {} and a_prev with n_a = {}', 'cell_forward', (e.x[1:, :, 0], *states, e.parameters))):
        said = refused('Wax Wf Wu', cell.function(function), *args, **cell.options)
        assert said.endswith(' for ' + names.format(n_x - 1, n_a)), said


@pytest.mark.parametrize(('cell', 'symbols'), [('rnn', 'tanh'), ('lstm', 'Γ_f Γ_i Γ_o'), ('gru', 'Γ_u Γ_r')])
def test_help_says_shapes_and_symbols(cell, symbols):
    "Comments do not show in help(): the docstring names every argument and the shapes"
    for part in ('cell_forward', 'forward', 'cell_backward', 'backward'):
        said = getattr(book, f'{cell}_{part}').__doc__
        arrays = {'cell_forward': 'xt (n_x, m)|a_next|yt_pred (n_y, m)',
                  'cell_backward': 'da_next|dxt (n_x, m)|da_prev',
                  'forward': 'x (n_x, m, T_x)|a (n_a, m, T_x)|(n_y, m, T_x)', 'backward': 'dx (n_x, m, T)|da0'}[part]
        assert all(word in said for word in arrays.split('|')) and said.count('\n') <= 6, said
    said = getattr(book, f'{cell}_cell_forward').__doc__
    assert all(symbol in said for symbol in symbols.split()), said
