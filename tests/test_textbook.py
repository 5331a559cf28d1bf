"The names, arguments, shapes, keys and return tuples that notebooks of a well-known course rely on."
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cells import CELLS, Sizes, by_cell, by_size, close, example, gradient_names

import rnn_nbdev

NOTHING = inspect.Parameter.empty
KEYWORDS = {'learning_rate': 0.01, 'beta1': 0.9, 'beta2': 0.999, 'epsilon': 1e-8}
# Each function with its arguments in order; what may be given by keyword alone, or on top, follows with its default.
CONTRACT = {
    'softmax': ['x'],
    'sigmoid': ['x'],
    'initialize_adam': ['parameters'],
    'update_parameters_with_adam': ['parameters', 'grads', 'v', 's', 't', *KEYWORDS],
    'rnn_cell_forward': ['xt', 'a_prev', 'parameters'],
    'rnn_forward': ['x', 'a0', 'parameters'],
    'lstm_cell_forward': ['xt', 'a_prev', 'c_prev', 'parameters'],
    'lstm_forward': ['x', 'a0', 'parameters', 'c0'],
    'rnn_cell_backward': ['da_next', 'cache'],
    'rnn_backward': ['da', 'caches'],
    'lstm_cell_backward': ['da_next', 'dc_next', 'cache'],
    'lstm_backward': ['da', 'caches', 'dc', 'with_dc0'],
    'gru_cell_forward': ['xt', 'a_prev', 'parameters', 'reset_after'],
    'gru_forward': ['x', 'a0', 'parameters', 'reset_after'],
    'gru_cell_backward': ['da_next', 'cache'],
    'gru_backward': ['da', 'caches'],
}
DEFAULTS = {**KEYWORDS, 'c0': None, 'dc': None, 'with_dc0': False, 'reset_after': False}
# Every gradient in the order in which the textbook names them; `with_dc0` and the GRU's second form add to the end.
GRADIENTS = {
    'rnn': ['dWax', 'dWaa', 'dba'],
    'lstm': ['dWf', 'dbf', 'dWi', 'dbi', 'dWc', 'dbc', 'dWo', 'dbo'],
    'gru': ['dWu', 'dbu', 'dWr', 'dbr', 'dWc', 'dbc'],
    'gru_reset_after': ['dWu', 'dbu', 'dWr', 'dbr', 'dWc', 'dbc', 'dbrc'],
}


# ------------------------------------------------------------------------------------------------ names and arguments

@pytest.mark.parametrize('name', CONTRACT)
def test_arguments(name):
    "Names, order and defaults, on the function as the package itself hands it out"
    function = getattr(rnn_nbdev, name)
    assert function.__name__ == name and name in dir(rnn_nbdev)
    found = inspect.signature(function).parameters
    assert list(found) == CONTRACT[name]
    assert {p: v.default for p, v in found.items() if v.default is not NOTHING} == {
        p: DEFAULTS[p] for p in CONTRACT[name] if p in DEFAULTS}
    assert all(v.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for v in found.values())


def test_every_name_by_import():
    namespace = {}
    exec(f'from rnn_nbdev import {", ".join(CONTRACT)}', namespace)
    assert all(callable(namespace[name]) for name in CONTRACT)


def test_loading_one_loads_no_more_than_it_needs():
    code = ('import sys; import rnn_nbdev; first = set(sys.modules); from rnn_nbdev import lstm_forward; '
            'print(*sorted({name.split(".")[0] for name in sys.modules}), "|", '
            '*sorted(name for name in sys.modules if name.startswith("rnn_nbdev.")), "|", "numpy" in first)')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                         cwd=Path(rnn_nbdev.__file__).parent.parent)
    top, own, _ = run.stdout.split('|')
    heavy = {'matplotlib', 'tqdm', 'safetensors', 'numba', 'scipy', 'torch', 'nbdev', 'IPython'}
    assert heavy & set(top.split()) == set()
    needed = {f'rnn_nbdev.{m}' for m in ('checks', 'losses', 'lstm', 'numerics', 'rnn')}
    assert set(own.split()) - {'rnn_nbdev._modidx'} == needed


# --------------------------------------------------------------------------------------- return tuples, shapes, caches

@by_size
@by_cell
def test_one_step(cell, sizes):
    e, s = example(cell, sizes, np.random.default_rng(0)), sizes
    xt = e.x[..., 0]
    returned = cell.function('cell_forward')(xt, *e.initial.values(), e.parameters, **cell.options)
    assert isinstance(returned, tuple) and len(returned) == len(cell.states) + 2
    *states, yt_pred, cache = returned
    for state in states: assert state.shape == (s.n_a, s.m)
    assert yt_pred.shape == (s.n_y, s.m)
    assert isinstance(cache, tuple) and cache[-1] is e.parameters
    np.testing.assert_array_equal(cache[-2], xt)
    for i, state in enumerate(states): np.testing.assert_array_equal(cache[i], state)
    a_prev = e.initial['a0']
    if cell.base == 'rnn':
        assert len(cache) == 4                                   # a_next, a_prev, xt, parameters
        np.testing.assert_array_equal(cache[1], a_prev)
    if cell.base == 'lstm':
        assert len(cache) == 10        # a_next c_next a_prev c_prev ft it cct ot xt parameters
        np.testing.assert_array_equal(cache[2], a_prev)
        np.testing.assert_array_equal(cache[3], e.initial['c0'])
        concat = np.concatenate((a_prev, xt))
        ft, it, cct, ot = (e.parameters[f'W{g}'] @ concat + e.parameters[f'b{g}'] for g in 'fico')
        for place, want in zip((4, 5, 7), (ft, it, ot)): close(cache[place], 1 / (1 + np.exp(-want)))
        close(cache[6], np.tanh(cct))
        close(cache[1], cache[4] * cache[3] + cache[5] * cache[6])
        close(cache[0], cache[7] * np.tanh(cache[1]))
    if cell.base == 'gru':                                       # a_next a_prev ut rt cct qt xt parameters
        assert len(cache) == 8
        np.testing.assert_array_equal(cache[1], a_prev)
        close(cache[0], cache[2] * cache[4] + (1 - cache[2]) * a_prev)
        assert (cache[5] is None) == (not cell.options)

    gradients = cell.step_backward({name: u[..., 0] for name, u in e.upstream.items()}, cache)
    assert isinstance(gradients, dict)
    first = ['dxt', *(f'd{name}_prev' for name in cell.states)]
    assert list(gradients)[:len(first)] == first
    assert set(gradients) == {*first, *GRADIENTS[cell.name]}
    assert set(gradients) == set(gradient_names(cell, cell.without_output(e.parameters), of='cell'))
    assert gradients['dxt'].shape == (s.n_x, s.m)
    for name in cell.states: assert gradients[f'd{name}_prev'].shape == (s.n_a, s.m)
    for name in GRADIENTS[cell.name]: assert gradients[name].shape == cell.shapes(s)[name[1:]]


@by_size
@by_cell
def test_a_sequence(cell, sizes):
    e, s = example(cell, sizes, np.random.default_rng(0)), sizes
    returned = cell.function('forward')(e.x, e.initial['a0'], e.parameters, **cell.options)
    assert isinstance(returned, tuple) and len(returned) == len(cell.states) + 2
    caches = returned[-1]
    # a, y_pred, caches; the LSTM's: a, y, c, caches
    for array, rows in zip(returned, (s.n_a, s.n_y, s.n_a)):
        if array is not caches: assert array.shape == (rows, s.m, s.T)
    assert isinstance(caches, tuple) and len(caches) == 2 and isinstance(caches[0], list) and len(caches[0]) == s.T
    np.testing.assert_array_equal(caches[1], e.x)
    for t, cache in enumerate(caches[0]):
        np.testing.assert_array_equal(cache[0], returned[0][..., t])
        np.testing.assert_array_equal(cache[-2], e.x[..., t])

    for T in {1, s.T}:
        gradients = cell.function('backward')(e.upstream['a'][..., :T], caches)
        assert list(gradients) == ['dx', 'da0', *GRADIENTS[cell.name]]
        assert gradients['dx'].shape == (s.n_x, s.m, T) and gradients['da0'].shape == (s.n_a, s.m)
        for name in GRADIENTS[cell.name]: assert gradients[name].shape == cell.shapes(s)[name[1:]]


@by_cell
def test_without_an_output_layer(cell):
    "The prediction is None, everything else is as before"
    e = example(cell, Sizes(), np.random.default_rng(0))
    with_output, _ = cell.forward(e.x, e.initial, e.parameters)
    without, caches = cell.forward(e.x, e.initial, cell.without_output(e.parameters))
    assert without['y'] is None and cell.step(e.x[..., 0], e.initial, cell.without_output(e.parameters))[0]['y'] is None
    for state in cell.states: np.testing.assert_array_equal(without[state], with_output[state])
    gradients = cell.backward(e.upstream, caches)
    assert set(gradients) == {'dx', *(f'd{s}0' for s in cell.states), *GRADIENTS[cell.name]}


@by_cell
def test_every_gradient_of_the_loss(cell):
    "From one number to everything that went in, each gradient with the shape of its array"
    e = example(cell, Sizes(), np.random.default_rng(0))
    _, cache = cell.loss(e.x, e.initial, e.parameters, e.targets)
    gradients = cell.loss_backward(1.0, cache)
    assert set(gradients) == set(gradient_names(cell, e.parameters))
    given = {'x': e.x, **e.initial, **e.parameters}
    for name, array in given.items(): assert gradients[f'd{name}'].shape == array.shape


def test_the_cell_state_starts_at_zero():
    lstm = CELLS[1]
    e = example(lstm, Sizes(), np.random.default_rng(0))
    plain = rnn_nbdev.lstm_forward(e.x, e.initial['a0'], e.parameters)
    zeros = rnn_nbdev.lstm_forward(e.x, e.initial['a0'], e.parameters, c0=np.zeros_like(e.initial['a0']))
    for one, other in zip(plain[:3], zeros[:3]): np.testing.assert_array_equal(one, other)
    assert 'dc0' not in rnn_nbdev.lstm_backward(e.upstream['a'], plain[3])
    assert list(rnn_nbdev.lstm_backward(e.upstream['a'], plain[3], with_dc0=True))[-1] == 'dc0'


# ------------------------------------------------------------------------------------------------ a course's notebook

def course_parameters(rng, weights, n_x, n_a, n_y):
    "Weights as an exercise makes them: one normal draw after the other, biases included"
    columns = {'W': n_a + n_x, 'b': 1}
    gates = {f'{kind}{g}': rng.standard_normal((n_a, columns[kind])) for g in weights for kind in 'Wb'}
    return {**gates, 'Wy': rng.standard_normal((n_y, n_a)), 'by': rng.standard_normal((n_y, 1))}


def test_an_exercise_on_the_plain_network():
    "Ten examples, four steps, indexed and unpacked the way exercises do it"
    rng = np.random.default_rng(1)
    x, a0 = rng.standard_normal((3, 10, 4)), rng.standard_normal((5, 10))
    shapes = {'Waa': (5, 5), 'Wax': (5, 3), 'Wya': (2, 5), 'ba': (5, 1), 'by': (2, 1)}
    parameters = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    from rnn_nbdev import rnn_backward, rnn_cell_backward, rnn_cell_forward, rnn_forward, softmax

    a_next, yt_pred, cache = rnn_cell_forward(x[:, :, 0], a0, parameters)
    assert a_next[4].shape == (10,) and yt_pred[1].shape == (10,)
    by_hand = np.tanh(np.dot(parameters['Wax'], x[:, :, 0]) + np.dot(parameters['Waa'], a0) + parameters['ba'])
    close(a_next, by_hand)
    close(yt_pred, softmax(np.dot(parameters['Wya'], by_hand) + parameters['by']))

    gradients = rnn_cell_backward(rng.standard_normal((5, 10)), cache)
    assert gradients['dxt'][1].shape == (10,) and gradients['dWax'][3].shape == (3,)
    assert gradients['dba'][4].shape == (1,)

    a, y_pred, caches = rnn_forward(x, a0, parameters)
    assert a[4][1].shape == (4,) and y_pred[1][3].shape == (4,) and len(caches) == 2
    np.testing.assert_array_equal(caches[1][1][3], x[1][3])
    (steps, x_again), (a1, a_before, x1, _) = caches, caches[0][0]
    assert len(steps) == 4 and x_again.shape == x.shape
    assert a1.shape == a_before.shape == (5, 10) and x1.shape == (3, 10)
    np.testing.assert_array_equal(a_before, a0)
    gradients = rnn_backward(rng.standard_normal((5, 10, 4)), caches)
    assert {k: g.shape for k, g in gradients.items()} == {
        'dx': (3, 10, 4), 'da0': (5, 10), 'dWax': (5, 3), 'dWaa': (5, 5), 'dba': (5, 1)}


@pytest.mark.parametrize('reset_after', [None, False, True], ids=['lstm', 'gru', 'gru_reset_after'])
def test_an_exercise_on_the_gated_cells(reset_after):
    "Seven steps forwards, a gradient for four of them back"
    rng = np.random.default_rng(1)
    x, a0, da = rng.standard_normal((3, 10, 7)), rng.standard_normal((5, 10)), rng.standard_normal((5, 10, 4))
    if reset_after is None:
        from rnn_nbdev import lstm_backward, lstm_cell_backward, lstm_cell_forward, lstm_forward
        parameters = course_parameters(rng, 'fico', 3, 5, 2)
        a, y, c, caches = lstm_forward(x, a0, parameters)
        assert a[4][3][6] == a[4, 3, 6] and c[1][2][1] == c[1, 2, 1] and y[1][4][3] == y[1, 4, 3]
        assert len(caches[0][0]) == 10
        _, c_next, _, cache = lstm_cell_forward(x[:, :, 0], a0, np.zeros((5, 10)), parameters)
        np.testing.assert_array_equal(c_next, c[:, :, 0])
        last = lstm_cell_backward(da[:, :, 0], np.zeros((5, 10)), cache)
        gradients, backward = lstm_backward(da, caches), lstm_backward
    else:
        from rnn_nbdev import gru_backward, gru_cell_backward, gru_cell_forward, gru_forward
        parameters = course_parameters(rng, 'urc', 3, 5, 2)
        if reset_after: parameters['brc'] = rng.standard_normal((5, 1))
        a, y, caches = gru_forward(x, a0, parameters, reset_after=reset_after)
        a_next, _, cache = gru_cell_forward(x[:, :, 0], a0, parameters, reset_after)
        np.testing.assert_array_equal(a_next, a[:, :, 0])
        last = gru_cell_backward(da[:, :, 0], cache)
        gradients, backward = gru_backward(da, caches), gru_backward
    assert y.shape == (2, 10, 7) and gradients['dx'].shape == (3, 10, 4) and gradients['da0'].shape == (5, 10)
    np.testing.assert_array_equal(caches[1][1][1], x[1][1])
    close(backward(da[:, :, :1], caches)['da0'], last['da_prev'])     # one step back by the sequence and by the cell


def test_softmax_and_sigmoid_as_an_exercise_calls_them():
    close(rnn_nbdev.softmax(np.array([[1.0, 5.0], [1.0, 5.0]])), np.full((2, 2), 0.5))
    close(rnn_nbdev.softmax([0, 0, 0, 0]), np.full(4, 0.25))
    assert rnn_nbdev.sigmoid(0) == 0.5 and np.ndim(rnn_nbdev.sigmoid(0)) == 0
    close(rnn_nbdev.sigmoid(np.array([0, 2])), np.array([0.5, 1 / (1 + np.exp(-2))]))


# ------------------------------------------------------------------------------------------------------------- Adam

def parameters_of_any_kind(rng, dtype=np.float64):
    "Names that follow no pattern, shapes of any dimension"
    shapes = {'W1': (3, 4), 'b1': (3, 1), 'Wya': (2, 3), 'embedding.table': (4, 2, 2), 'gain': ()}
    return {name: np.asarray(rng.standard_normal(shape), dtype) for name, shape in shapes.items()}


def adam_by_hand(p, gradients, learning_rate=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8):
    "The sums written out: no running means, and epsilon inside the root"
    for t in range(1, len(gradients) + 1):
        v = sum((1 - beta1) * beta1**(t - i) * g for i, g in enumerate(gradients[:t], 1)) / (1 - beta1**t)
        s = sum((1 - beta2) * beta2**(t - i) * g**2 for i, g in enumerate(gradients[:t], 1)) / (1 - beta2**t)
        p = p - learning_rate * v / np.sqrt(s + epsilon)
    return p


def test_initialize_adam():
    parameters = parameters_of_any_kind(np.random.default_rng(0))
    returned = rnn_nbdev.initialize_adam(parameters)
    assert isinstance(returned, tuple) and len(returned) == 2
    for moment in returned:
        assert list(moment) == [f'd{name}' for name in parameters]
        for name, p in parameters.items():
            assert moment[f'd{name}'].shape == p.shape and not moment[f'd{name}'].any()
    v, s = returned
    assert not any(np.shares_memory(v[name], s[name]) for name in v)


@pytest.mark.parametrize('options', [{}, {'learning_rate': 0.3, 'beta1': 0.5, 'beta2': 0.75, 'epsilon': 1e-2}])
@pytest.mark.parametrize('scale', [1.0, 1e-4, 1e-6], ids=str)
def test_update_parameters_with_adam(options, scale):
    "Small gradients too, where it matters that epsilon is inside the root"
    rng = np.random.default_rng(0)
    start = parameters = parameters_of_any_kind(rng)
    v, s = rnn_nbdev.initialize_adam(parameters)
    gradients = [{f'd{name}': scale * rng.standard_normal(p.shape) for name, p in parameters.items()} for _ in range(5)]
    for t, grads in enumerate(gradients, 1):
        returned = rnn_nbdev.update_parameters_with_adam(parameters, grads, v, s, t, **options)
        assert isinstance(returned, tuple) and len(returned) == 3
        parameters, v, s = returned
    assert list(parameters) == list(start) and list(v) == list(s) == [f'd{name}' for name in start]
    for name, p in start.items():
        want = adam_by_hand(p, [g[f'd{name}'] for g in gradients], **options)
        np.testing.assert_allclose(parameters[name] - p, want - p, rtol=1e-9, atol=1e-16, err_msg=name)


def test_epsilon_stands_inside_the_root():
    "A gradient of 1e-6 under an epsilon of 1e-8: a hundredth of a step, where the paper's form takes nearly all of it"
    p, grads = {'w': np.zeros((1, 1))}, {'dw': np.full((1, 1), 1e-6)}
    new, _, _ = rnn_nbdev.update_parameters_with_adam(p, grads, *rnn_nbdev.initialize_adam(p), 1)
    close(new['w'], np.full((1, 1), -0.01 * 1e-6 / np.sqrt(1e-12 + 1e-8)), rtol=1e-12)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_adam_leaves_what_it_is_given(dtype):
    rng = np.random.default_rng(0)
    parameters = parameters_of_any_kind(rng, dtype)
    grads = {f'd{name}': np.asarray(rng.standard_normal(p.shape), dtype) for name, p in parameters.items()}
    v, s = rnn_nbdev.initialize_adam(parameters)
    given = (parameters, grads, v, s)
    before = [{name: a.copy() for name, a in tree.items()} for tree in given]
    for tree in given:
        for a in tree.values(): a.flags.writeable = False
    returned = rnn_nbdev.update_parameters_with_adam(*given, 1)
    for tree, then in zip(given, before):
        assert list(tree) == list(then)
        for name in then: np.testing.assert_array_equal(tree[name], then[name])
    assert all(np.asarray(a).dtype == dtype for tree in returned for a in tree.values())
    again = rnn_nbdev.update_parameters_with_adam(*given, 1)
    for one, other in zip(returned, again):
        for name in one: np.testing.assert_array_equal(one[name], other[name])


def test_training_in_the_words_of_the_textbook():
    "Forward, loss, backward and Adam by their textbook names alone learn to say what they have just heard"
    from rnn_nbdev import initialize_adam, initialize_rnn, rnn_backward, rnn_forward, update_parameters_with_adam
    from rnn_nbdev.losses import cross_entropy_from_probabilities, scores_gradient
    rng = np.random.default_rng(0)
    classes = rng.integers(3, size=(8, 6))
    x, a0 = np.eye(3)[:, classes], np.zeros((7, 8))
    parameters = initialize_rnn(rng, 3, 7, 3)
    v, s = initialize_adam(parameters)
    losses = []
    for t in range(1, 151):
        a, y_pred, caches = rnn_forward(x, a0, parameters)
        losses.append(cross_entropy_from_probabilities(y_pred, classes)[0])
        dz = scores_gradient(y_pred, classes)
        grads = rnn_backward(np.einsum('ya,ymt->amt', parameters['Wya'], dz), caches)
        grads |= {'dWya': np.einsum('ymt,amt->ya', dz, a), 'dby': dz.sum(axis=(1, 2))[:, None]}
        parameters, v, s = update_parameters_with_adam(parameters, grads, v, s, t, learning_rate=0.03)
    assert losses[0] > 0.9 and losses[-1] < 0.05
