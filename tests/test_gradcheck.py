"The checker must be able to say no: each kind of wrong gradient is noticed, and so is a piece that is not pure."
import numpy as np
import pytest

from rnn_nbdev.gradcheck import assert_close, check_gradients, leaves, _relative_error


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
    assert _relative_error(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0
    assert _relative_error(np.array([1.0]), np.array([-1.0])) == 2
    assert _relative_error(np.array([np.nan]), np.array([1.0])) == np.inf
    assert _relative_error(np.zeros(3), np.zeros(3)) == 0 and _relative_error(np.zeros(0), np.zeros(0)) == 0
    np.testing.assert_allclose(_relative_error(np.array([1.0, 1e-6]), np.array([1.0, 0.0])), 1e-4)


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


# ----------------------------------------------------------------------------------------- what cannot be proven at all

def doubled(x, k=None):
    return x * 2.0, x


def wrong_everywhere(dy, cache):
    return {'dx': 99 * dy}


@pytest.mark.parametrize(('inputs', 'options', 'named'), [
    ({'x': np.arange(3)}, {}, 'inputs'), ({}, {}, 'inputs'), ({'x': np.ones(3)}, {'max_entries': 0}, 'max_entries'),
    ({'x': np.ones(3)}, {'outputs': ()}, 'outputs'), ({'x': np.ones(3)}, {'outputs': 0}, 'outputs'),
    ({'x': np.ones((3, 0))}, {}, 'x'), ({'x': np.ones(3, complex)}, {}, 'x'), ({'x': np.array([1, np.nan])}, {}, 'x'),
    ({'p': {'W': np.array([np.inf])}}, {}, 'W')], ids=lambda v: str(v).replace('\n', ''))
def test_nothing_to_measure_is_refused(inputs, options, named):
    "Before forward is run: a table without a measurement proves nothing"
    def untouched(**_): raise RuntimeError('forward was run')
    with pytest.raises(ValueError, match=rf'^{named}: '):
        check_gradients(untouched, wrong_everywhere, inputs, **options)


@pytest.mark.parametrize('inputs', [(np.ones(3),), [np.ones(3)], np.ones(3), None], ids=lambda v: type(v).__name__)
def test_inputs_without_names_are_refused(inputs):
    with pytest.raises(TypeError, match=r'^inputs: '): check_gradients(doubled, wrong_everywhere, inputs)


@pytest.mark.parametrize('value', [[np.ones(3), np.ones(2)], [np.ones(3), np.ones(3)], {'W': (np.ones(3),)},
                                   {'W': {'V': np.ones(3)}}], ids=str)
def test_deeper_parameters_are_refused(value):
    with pytest.raises(TypeError, match=r'^(parameters|W): .* of arrays'):
        check_gradients(doubled, wrong_everywhere, {'x': np.ones(3), 'parameters': value})


@pytest.mark.parametrize('outputs', [(5,), (1,), (-1,), (0, 1)])
def test_results_that_are_not_there_are_refused(outputs):
    with pytest.raises(ValueError, match=r'^outputs: '):
        check_gradients(doubled, wrong_everywhere, {'x': np.ones(3)}, outputs=outputs)


def test_number_of_gradients():
    x, right = {'x': np.ones(3)}, lambda dy, cache: 2 * dy
    for given in (right, lambda dy, cache: (2 * dy,), lambda dy, cache: [2 * dy]):
        assert check_gradients(doubled, given, x).ok
    assert check_gradients(doubled, right, {**x, 'k': np.arange(3)}).ok      # targets have no gradient
    for wrong in (lambda dy, cache: (2 * dy, dy, dy), lambda dy, cache: ()):
        with pytest.raises(ValueError, match=r'^backward: got'): check_gradients(doubled, wrong, x)
    with pytest.raises(TypeError, match=r'^backward: got None'): check_gradients(doubled, lambda dy, cache: None, x)


@pytest.mark.filterwarnings('ignore::numpy.exceptions.ComplexWarning')
def test_lost_imaginary_part_is_told_from_a_wrong_gradient():
    "Right by central differences and not by the complex step: not proven, and not called wrong"
    def buffered(x):
        y = np.zeros(x.shape)
        y[:] = 2 * x
        return y, x
    point = {'x': np.array([1.0, -2.0])}
    for forward, back in ((buffered, lambda dy, x: 2 * dy), (lambda x: (np.abs(x), x), lambda dy, x: dy * np.sign(x))):
        with pytest.raises(AssertionError, match=r'imaginary part.*complex_tolerance=None') as caught:
            check_gradients(forward, back, point)
        assert 'WRONG' not in str(caught.value)
        assert check_gradients(forward, back, point, complex_tolerance=None).ok
    with pytest.raises(AssertionError, match='WRONG') as caught: check_gradients(buffered, lambda dy, x: 3 * dy, point)
    assert 'imaginary' not in str(caught.value)
