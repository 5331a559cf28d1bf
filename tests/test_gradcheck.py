"The checker must be able to say no: each kind of wrong gradient is noticed, and so is a piece that is not pure."
import numpy as np
import pytest

from rnn_nbdev.gradcheck import assert_close, check_gradients, leaves, relative_error


def forward(x, parameters):
    W, b = parameters['W'], parameters['b']
    y = np.tanh(W @ x + b)
    return y, (x, W, y)


def backward(dy, cache):
    x, W, y = cache
    dz = dy * (1 - y * y)
    return {'dx': W.T @ dz, 'dW': dz @ x.T, 'db': dz.sum(axis=1, keepdims=True)}


def inputs():
    rng = np.random.default_rng(0)
    x, W, b = (rng.standard_normal(shape) for shape in ((3, 4), (2, 3), (2, 1)))
    return {'x': x, 'parameters': {'W': W, 'b': b}}


def check(change=lambda g: g, forward=forward, **options):
    return check_gradients(forward, lambda dy, cache: change(backward(dy, cache)), inputs(), **options)


def test_right_gradients_pass():
    report = check()
    assert report.ok and report.worst < 1e-8 and [row.name for row in report] == ['x', 'W', 'b']
    assert all(row.complex_step < 1e-12 for row in report) and 'WRONG' not in repr(report)
    assert [row.shape for row in check(max_entries=2)] == [(3, 4), (2, 3), (2, 1)]


def nan(g):
    g['dW'][0, 0] = np.nan
    return g


def one_entry(g):
    g['dW'][1, 2] *= 1.001
    return g


@pytest.mark.parametrize('change', [
    lambda g: {**g, 'dW': -g['dW']}, lambda g: {**g, 'dW': 2 * g['dW']}, lambda g: {**g, 'dW': 0 * g['dW']},
    lambda g: {**g, 'dW': g['dW'].T}, lambda g: {name: d for name, d in g.items() if name != 'dW'},
    lambda g: {**g, 'dW': g['dW'][:, :1]}, nan, one_entry,
], ids=['sign', 'factor', 'zero', 'transposed', 'missing', 'shape', 'NaN', 'one entry by a thousandth'])
@pytest.mark.parametrize('options', [{}, {'complex_tolerance': None}], ids=['both', 'central alone'])
def test_wrong_gradients_fail(change, options):
    "With a table that marks the wrong one and no other"
    with pytest.raises(AssertionError, match='gradients differ') as caught: check(change, **options)
    marked = [line.split()[0] for line in str(caught.value).split('\n') if 'WRONG' in line]
    assert marked == ['W']


def test_pieces_that_are_not_pure_fail():
    def writes(x, parameters):
        x[0, 0] += 1
        return forward(x, parameters)
    with pytest.raises(AssertionError, match='argument'): check(forward=writes)

    calls = []
    def drifts(g):
        calls.append(1)
        return {**g, 'dx': g['dx'] + len(calls)}
    with pytest.raises(AssertionError, match='second backward'): check(drifts)


def test_single_precision_is_refused():
    single = {'x': np.ones((3, 4), np.float32), 'parameters': inputs()['parameters']}
    with pytest.raises(ValueError, match=r'^x: '): check_gradients(forward, backward, single)


def test_relative_error():
    assert relative_error(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0
    assert relative_error(np.array([1.0]), np.array([-1.0])) == 2
    assert relative_error(np.array([np.nan]), np.array([1.0])) == np.inf
    assert relative_error(np.zeros(3), np.zeros(3)) == 0 and relative_error(np.zeros(0), np.zeros(0)) == 0
    np.testing.assert_allclose(relative_error(np.array([1.0, 1e-6]), np.array([1.0, 0.0])), 1e-4)


@pytest.mark.parametrize('actual', [np.ones((1, 3)), np.ones((3, 1), np.float32), np.ones((3, 1)) + 1e-6, np.ones(3),
                                    [np.ones((3, 1))], {'a': np.ones((3, 1))}], ids=str)
def test_strict_comparison(actual):
    assert_close(np.ones((3, 1)), np.ones((3, 1)))
    with pytest.raises(AssertionError): assert_close(actual, np.ones((3, 1)))


def test_strict_comparison_of_one_number():
    "NumPy's own comparison takes a number for any array that is equal to it everywhere"
    with pytest.raises(AssertionError, match='shape'): assert_close(np.array(1.0), np.ones((1, 1)))


def test_leaves():
    tree = {'a': [1.0, (2.0,)], 'b': {'c': 3.0}}
    assert dict(leaves(tree)) == {'a.0': 1.0, 'a.1.0': 2.0, 'b.c': 3.0}
