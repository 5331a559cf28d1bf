"Optimizers, clipping, averaging and schedules against PyTorch's, in float64."
import math
import subprocess
import sys

import numpy as np
import pytest

from rnn_nbdev.optim import (SGD, Adam, RMSProp, WeightAverage, averaged_parameters, clip_by_global_norm,
                             clip_by_value, global_norm, initialize_adam, update_parameters_with_adam)
from rnn_nbdev.schedule import Patience, cosine_rate, halving_rate, in_turn, one_cycle, step_rate, warm_up

torch = pytest.importorskip('torch')

OPTIMIZERS = {
    'SGD': (SGD(0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
    'momentum': (SGD(0.05, 0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    'Nesterov': (SGD(0.05, 0.9, True), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True)),
    'RMSProp': (RMSProp(0.01, 0.95), lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.95)),
    'Adam': (Adam(0.01, 0.8, 0.99), lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99))),
    'AdamW': (Adam(0.01, weight_decay=0.1), lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1)),
}


def start(seed=0):
    rng = np.random.default_rng(seed)
    return rng, {'W': rng.normal(size=(3, 4)), 'b': rng.normal(size=(3, 1)), 'scale': rng.normal(size=())}


def gradients(rng, parameters):
    "Sizes from 1e-7 to 1e3, and zeros: where an epsilon in the wrong place shows"
    sizes = {n: 10.0**rng.uniform(-7, 3, p.shape) * rng.integers(0, 2, p.shape) for n, p in parameters.items()}
    return {n: np.asarray(rng.normal(size=p.shape) * sizes[n]) for n, p in parameters.items()}


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_fifty_steps_are_those_of_pytorch(name):
    ours, make = OPTIMIZERS[name]
    rng, parameters = start()
    theirs = {n: torch.tensor(p, requires_grad=True) for n, p in parameters.items()}
    optimizer, state = make(list(theirs.values())), ours.init(parameters)
    first = {n: p.copy() for n, p in parameters.items()}
    before = parameters
    for step in range(50):
        grads = gradients(rng, parameters)
        for n, p in theirs.items(): p.grad = torch.tensor(grads[n])
        optimizer.step()
        parameters, state = ours.update(parameters, grads, state)
        assert int(state['t']) == step + 1
        for n, p in theirs.items():
            np.testing.assert_allclose(parameters[n], p.detach().numpy(), rtol=1e-12, atol=1e-12, err_msg=n)
    assert all(np.array_equal(first[n], before[n]) for n in first), 'what came in was written to'


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_float32_stays_float32(name):
    ours = OPTIMIZERS[name][0]
    rng, parameters = start()
    parameters = {n: np.asarray(p, np.float32) for n, p in parameters.items()}
    grads = {n: np.asarray(g, np.float32) for n, g in gradients(rng, parameters).items()}
    after, state = ours.update(parameters, grads, ours.init(parameters))
    assert {a.dtype for n, a in (*after.items(), *state.items()) if n != 't'} == {np.dtype('float32')}


def test_clipping_is_that_of_pytorch():
    rng, parameters = start()
    grads = gradients(rng, parameters)
    for ours, theirs in ((lambda g: clip_by_global_norm(g, 3.0)[0], lambda p: torch.nn.utils.clip_grad_norm_(p, 3.0)),
                         (lambda g: clip_by_value(g, 0.3), lambda p: torch.nn.utils.clip_grad_value_(p, 0.3))):
        tensors = {n: torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for n, g in grads.items()}
        for n, p in tensors.items(): p.grad = torch.tensor(grads[n])
        theirs(list(tensors.values()))
        for n, g in ours(grads).items():        # PyTorch adds 1e-6 to the norm
            np.testing.assert_allclose(g, tensors[n].grad.numpy(), rtol=1e-8, err_msg=n)
    assert math.isclose(global_norm(clip_by_global_norm(grads, 3.0)[0]), 3.0)


@pytest.mark.parametrize('decay', [None, 0.9])
def test_averaged_weights_are_those_of_pytorch(decay):
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
    model = torch.nn.Linear(3, 2, dtype=torch.float64)
    theirs = AveragedModel(model, multi_avg_fn=None if decay is None else get_ema_multi_avg_fn(decay))
    rng, average = np.random.default_rng(0), WeightAverage(decay)
    state = average.init({'weight': np.zeros((2, 3)), 'bias': np.zeros(2)})
    for _ in range(50):
        parameters = {'weight': rng.normal(size=(2, 3)), 'bias': rng.normal(size=2)}
        with torch.no_grad():
            for n, p in parameters.items(): getattr(model, n).copy_(torch.tensor(p))
        theirs.update_parameters(model)
        state = average.update(parameters, state)
    for n, a in averaged_parameters(state).items():
        np.testing.assert_allclose(a, getattr(theirs.module, n).detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('start', [0, 1, 4])
def test_a_uniform_mean_begins_where_it_should(start):
    rng, average = np.random.default_rng(0), WeightAverage(start=start)
    path = [{'W': rng.normal(size=3)} for _ in range(9)]
    state = average.init(path[0])
    for k, p in enumerate(path):
        state = average.update(p, state)
        expected = np.mean([q['W'] for q in path[min(start, k):k + 1]], axis=0)
        np.testing.assert_allclose(averaged_parameters(state)['W'], expected, rtol=1e-12)
        assert not np.shares_memory(averaged_parameters(state)['W'], p['W'])


@pytest.mark.parametrize('make, word', [
    (lambda: Adam(-1.0), 'learning_rate'), (lambda: Adam(beta1=1.0), 'beta1'), (lambda: Adam(beta2=-0.1), 'beta2'),
    (lambda: Adam(epsilon=math.nan), 'epsilon'), (lambda: Adam(weight_decay=math.inf), 'weight_decay'),
    (lambda: SGD(momentum=1.0), 'momentum'), (lambda: SGD(nesterov=True), 'nesterov'),
    (lambda: RMSProp(memory=2.0), 'memory'), (lambda: WeightAverage(1.0), 'decay'),
    (lambda: WeightAverage(start=-1), 'start'), (lambda: Adam().init({'k': np.arange(3)}), r"parameters\['k'\]"),
    (lambda: clip_by_value({}, 0.0), 'max_value'), (lambda: clip_by_global_norm({}, math.nan), 'max_norm'),
    (lambda: step_rate(0.1, 0), 'every'), (lambda: cosine_rate(0.1, 0), 'steps'), (lambda: warm_up(0, abs), 'steps'),
    (lambda: halving_rate(math.nan, 5), 'rate'), (lambda: one_cycle(0.1, 9, rise=1.0), 'rise'),
    (lambda: Patience(-1), 'validations'), (lambda: Patience(gain=1.0), 'gain')])
def test_options_that_make_no_sense_are_refused(make, word):
    with pytest.raises((ValueError, TypeError), match=f'^{word}: got .*expected'): make()


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_a_gradient_that_does_not_fit_is_refused(name):
    optimizer = OPTIMIZERS[name][0]
    parameters = {'W': np.ones((2, 3))}
    for grads, words in (({}, r'^gradients: got \[\], expected W with shape \(2, 3\) among them'),
                         ({'W': np.ones((3, 2))}, r'got shape \(3, 2\), expected \(2, 3\)')):
        with pytest.raises(ValueError, match=words): optimizer.update(parameters, grads, optimizer.init(parameters))


ONES = {'W': np.ones((2, 3)), 'b': np.ones(2)}
STATE, MEAN = Adam().init(ONES), WeightAverage()
V, S = initialize_adam(ONES)


def textbook(**changed):
    given = {'parameters': ONES, 'grads': {f'd{n}': p for n, p in ONES.items()}, 'v': V, 's': S, 't': 1}
    return update_parameters_with_adam(**{**given, **changed})


@pytest.mark.parametrize('words, make', [
    ('parameters: got list, expected a dictionary of arrays', lambda: initialize_adam([np.ones(2)])),
    ("parameters['a']: got str, expected a NumPy array", lambda: initialize_adam({'a': 'b'})),
    ('t: got 0, expected an integer of at least 1', lambda: textbook(t=0)),
    ("grads: got [], expected dW with shape (2, 3) among them", lambda: textbook(grads={})),
    ("grads['dW']: got shape (2,), expected (2, 3)", lambda: textbook(grads={'dW': np.ones(2), 'db': np.ones(2)})),
    ('v: got []', lambda: textbook(v={})), ("s['dW']: got shape", lambda: textbook(s={'dW': np.ones(2)})),
    ('gradients: got NoneType', lambda: Adam().update(ONES, None, STATE)),
    ("gradients: got the name 'c', expected", lambda: Adam().update(ONES, {**ONES, 'c': np.ones(3)}, STATE)),
    ('state: got NoneType', lambda: Adam().update(ONES, ONES, None)),
    ("state: got ['W', 'b'], expected t among them", lambda: Adam().update(ONES, ONES, ONES)),
    ("state: got ['t'], expected v.W with shape (2, 3)", lambda: Adam().update(ONES, ONES, {'t': np.array(0)})),
    ("state['s.b']: got shape (3,), expected (2,)", lambda: Adam().update(ONES, ONES, {**STATE, 's.b': np.ones(3)})),
    ("state: got the name 'q.W', expected", lambda: Adam().update(ONES, ONES, {**STATE, 'q.W': np.ones(3)})),
    ("state: got the name 's.W', expected", lambda: SGD().update(ONES, ONES, STATE)),
    ("state: got ['s.W', 's.b', 't', 'v.W', 'v.b'], expected mean.W", lambda: MEAN.update(ONES, STATE)),
    ('learning_rate: got nan', lambda: Adam().update(ONES, ONES, STATE, math.nan)),
    ('state: got none or one before its first update', lambda: averaged_parameters(MEAN.init(ONES))),
    ("state: got [], expected best among them", lambda: Patience().update({}, 1.0)),
    ('loss: got nan', lambda: Patience().update(Patience().init(), math.nan)),
    ('lowest: got 0.2, expected a number from 0 to the rate, 0.1', lambda: cosine_rate(0.1, 5, 0.2)),
    ('then: got 0.1, expected a function of the step', lambda: warm_up(5, 0.1)),
    ('steps: got 2, expected more than 3', lambda: one_cycle(0.1, 2))])
def test_arguments_that_do_not_fit_together_are_refused(words, make):
    with pytest.raises((ValueError, TypeError)) as caught: make()
    assert str(caught.value).startswith(words)


def test_wider_gradients_are_refused():
    "They would turn float32 parameters into float64"
    narrow = {n: np.float32(p) for n, p in ONES.items()}
    with pytest.raises((ValueError, TypeError), match=r"^gradients\['W'\]: got float64, expected float32, as its "):
        Adam().update(narrow, ONES, Adam().init(narrow))
    assert Adam().update(ONES, narrow, STATE)[0]['W'].dtype == np.float64


@pytest.mark.parametrize('kind', [np.float64, np.float32, np.array])
def test_numbers_of_numpy_leave_float32_as_it_is(kind):
    "np.geomspace gives float64, and float32 arrays times float64 are float64"
    narrow = {n: np.float32(p) for n, p in ONES.items()}
    grads, (v, s) = {f'd{n}': p for n, p in narrow.items()}, initialize_adam(narrow)
    new = [update_parameters_with_adam(narrow, grads, v, s, 1, *map(kind, (0.1, 0.9, 0.99, 1e-8)))]
    for o in (Adam(*map(kind, (0.1, 0.9, 0.99, 1e-8, 0.1))), SGD(kind(0.1), kind(0.9)), RMSProp(kind(0.1), kind(0.9))):
        new += [o.update(narrow, narrow, o.init(narrow)), o.update(narrow, narrow, o.init(narrow), kind(0.1))]
    new.append([clip_by_value(narrow, kind(0.5)), clip_by_global_norm(narrow, kind(0.5))[0]])
    average = WeightAverage(kind(0.9))
    new.append([average.update(narrow, average.update(narrow, average.init(narrow)))])
    assert {a.dtype for parts in new for part in parts for n, a in part.items() if n != 't'} == {np.dtype('float32')}


@pytest.mark.parametrize('name', ['initialize_adam', 'update_parameters_with_adam', 'SGD', 'clip_by_global_norm'])
def test_optimizers_stand_on_the_numerics_alone(name):
    "Importing one loads no engine: at most three modules of the package"
    code = f'import sys; from rnn_nbdev import {name}; print(*(m for m in sys.modules if m.startswith("rnn_nbdev.")))'
    loaded = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout.split()
    assert {*loaded} - {'rnn_nbdev._modidx'} <= {'rnn_nbdev.checks', 'rnn_nbdev.numerics', 'rnn_nbdev.optim'}


SCHEDULES = {
    'stairs': (step_rate(0.1, 7, 0.3), lambda o: torch.optim.lr_scheduler.StepLR(o, 7, 0.3)),
    'halving': (halving_rate(0.1, 20), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5**(1 / 20))),
    'cosine': (cosine_rate(0.1, 60, 0.01), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 60, 0.01)),
    'one cycle': (one_cycle(0.1, 60), lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, 60)),
    'a quick one': (one_cycle(0.1, 60, 0.1, 0.5, 0.05), lambda o: torch.optim.lr_scheduler.OneCycleLR(
        o, 0.1, 60, pct_start=0.1, div_factor=2, final_div_factor=10)),
    'warm-up': (in_turn(warm_up(10, lambda step: 0.1), 30, step_rate(0.1, 10, 0.5)),
                lambda o: torch.optim.lr_scheduler.SequentialLR(o, [
                    torch.optim.lr_scheduler.LinearLR(o, 0.1, 1.0, 9), torch.optim.lr_scheduler.StepLR(o, 10, 0.5)],
                    [30])),
}


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', SCHEDULES)
def test_schedules_are_those_of_pytorch(name):
    ours, make = SCHEDULES[name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = make(optimizer)
    for step in range(60):
        assert math.isclose(ours(step), theirs.get_last_lr()[0], rel_tol=1e-10), step
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize('validations, gain', [(0, 0.0), (3, 0.0), (2, 0.05)])
def test_patience_runs_out_when_that_of_pytorch_does(validations, gain):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=validations, threshold=gain,
                                                        eps=0)
    rng, patience = np.random.default_rng(1), Patience(validations, gain)
    state = patience.init()
    for loss in np.abs(np.cumsum(rng.normal(-0.02, 0.3, size=60)) + 4):
        state = patience.update(state, loss)
        theirs.step(loss)
        assert 0.5**int(state['times']) == optimizer.param_groups[0]['lr']
    assert state['times'] > 3
