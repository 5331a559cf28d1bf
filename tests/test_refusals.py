"Training: whatever does not fit is refused in one line that names it, and nothing has changed by then."
import contextlib
import importlib
import inspect
import math
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import rnn_nbdev.explorer as explorer
import rnn_nbdev.files as files
import rnn_nbdev.optim as optim
import rnn_nbdev.practice as practice
import rnn_nbdev.problems as problems
import rnn_nbdev.schedule as schedule
import rnn_nbdev.train as train

RNG = np.random.default_rng


def arrays_in(thing) -> list[np.ndarray]:
    "Every array in a nest of dictionaries and sequences"
    if isinstance(thing, np.ndarray): return [thing]
    if isinstance(thing, Mapping): thing = list(thing.values())
    return [a for part in thing for a in arrays_in(part)] if isinstance(thing, list | tuple) else []


def refused(start: str, function, *args, **kwargs) -> str:
    "The message with which `function` refuses; it begins with `start`, and what came in is as it was"
    before = [(a, a.copy()) for a in arrays_in([args, kwargs])]
    with pytest.raises((ValueError, TypeError)) as caught: function(*args, **kwargs)
    message = str(caught.value)
    assert '\n' not in message and len(message) < 400, message
    assert message.startswith(start), f'{message!r} does not begin with {start!r}'
    for a, old in before:
        if a.dtype.kind == 'O': continue
        np.testing.assert_array_equal(a, old)
    return message


# -------------------------------------------------------------------------------------------------- one line a refusal

W = {'W': np.ones((2, 3)), 'b': np.ones(2)}
ADAM, P = optim.Adam(), problems
UP = ADAM.update
STATE = ADAM.init(W)


class Task:
    unit = 'point'
    def begin(self, rng): return {'w': np.zeros(2)}, {'k': np.zeros(1)}
    def gradients(self, parameters, carry, rng): return 1.0, {'w': np.ones(2)}, carry, 3
    def validation_loss(self, parameters): return 1.0
    def arrays(self, parameters, carry): yield from parameters.items()


class Other(Task):
    def __init__(self, **changed): self.changed = changed
    def gradients(self, *given):
        names = ('loss', 'gradients', 'carry', 'units')
        return tuple(self.changed.get(n, v) for n, v in zip(names, super().gradients(*given), strict=True))


PLAN = train.TrainingPlan(4, schedule.constant_rate(0.1))
START = train.begin(Task(), ADAM, 0)


class Odd(Task):
    "Says what it was made with, whatever it is asked"
    def __init__(self, answer): self.answer = answer
    def begin(self, rng): return self.answer
    def gradients(self, *given): return self.answer
    def validation_loss(self, parameters): return self.answer


class Forgets(Task):
    "Every other batch has another gradient"
    batches = 0
    def gradients(self, *given):
        self.batches += 1
        return 1.0, {'wv'[self.batches % 2]: np.ones(2)}, {}, 3


def plan(**changed): return train.TrainingPlan(**{'steps': 4, 'learning_rate': schedule.constant_rate(0.1), **changed})
def fit(task=None, optimizer=ADAM, progress=START, plan=PLAN, folder='.', **more):
    return train.fit(task or Task(), optimizer, progress, plan, Path(folder), bar=False, **more)
D_W, (V, S) = {f'd{n}': p for n, p in W.items()}, optim.initialize_adam(W)
def textbook(**changed):
    return optim.update_parameters_with_adam(**{'parameters': W, 'grads': D_W, 'v': V, 's': S, 't': 1, **changed})


KEPT = tempfile.TemporaryDirectory()
HERE, MEAN = Path(KEPT.name), optim.WeightAverage()
ONE, RATES = np.ones(3), np.array([.1, .2, .3])
files.save_arrays(HERE/'a', {'a': ONE}, {}, 'k')
(HERE/'run').mkdir()
fit(plan=plan(keep_best=1, eval_every=1), folder=HERE/'run')
BAD_PLANS = {'steps': 0, 'eval_every': 0, 'save_every': -1, 'accumulate': 0, 'keep_best': -1, 'max_norm': 0.,
             'max_value': math.nan}
GENERATORS = {name: getattr(P, name) for name in (
    'adding_problem', 'adding_problem_1997', 'multiplication_problem', 'copying_problem', 'temporal_order_problem',
    'parity_problem')}
TABLE = {
    # files
    'write_whole': [('data', lambda: files.write_whole(Path('never'), 'text'))],
    'path_of': [('path', lambda: files.path_of(path=3)), ('folder', lambda: files.path_of(folder=None))],
    'load_arrays': [
        ('kind', lambda: files.load_arrays(HERE/'a', None)), (f'{HERE/"a"}', lambda: files.load_arrays(HERE/'a', 'b'))],
    'check_json': [('a', lambda: files.check_json(ONE, 'a')), ('a', lambda: files.check_json(math.nan, 'a'))],
    'write_json': [('value', lambda: files.write_json(Path('never'), {1, 2}))],
    'check_storable': [
        ('arrays', lambda: files._check_storable([ONE])), ('arrays', lambda: files._check_storable({1: ONE})),
        ("arrays['a']", lambda: files._check_storable({'a': 'text'}))],
    'save_arrays': [
        ("arrays['a']", lambda: files.save_arrays(Path('never'), {'a': np.array([None])}, {}, 'k')),
        ('about', lambda: files.save_arrays(Path('never'), {'a': ONE}, {'b': ONE}, 'k'))],
    'read_header': [('data', lambda: files._read_header(b'')), ('data', lambda: files._read_header(b'\xff' * 20))],
    # optimizers
    'initialize_adam': [
        ('parameters', lambda: optim.initialize_adam([ONE])),
        ("parameters['a']", lambda: optim.initialize_adam({'a': 'b'}))],
    'check_arrays': [
        ('a', lambda: optim.check_arrays(None, 'a')), ("a['b']", lambda: optim.check_arrays({'b': [1]}, 'a'))],
    'check_companions': [('g: no dW', lambda: optim._check_companions(W, {}, 'd', 'g'))],
    'check_pairs': [('g: no dW', lambda: optim._check_pairs(W, {}, 'd', 'g'))],
    'check_within': [
        ('a', lambda: optim.check_within(0, 1, 'less', a=1)), ('a', lambda: optim.check_within(0, 1, 'n', a='b')),
        ('a', lambda: optim.check_within(0, 1, 'n', a=True))],
    'check_options': [
        ('a', lambda: optim._check_options({'a': 1.}, {})), ('b', lambda: optim._check_options({}, {'b': -1}))],
    'update_parameters_with_adam': [
        ('t', lambda: textbook(t=0)), ('t', lambda: textbook(t='1')),
        ('learning_rate', lambda: textbook(learning_rate=-1.)), ('beta1', lambda: textbook(beta1=1.)),
        ('beta2', lambda: textbook(beta2=-.1)), ('epsilon', lambda: textbook(epsilon=math.nan)),
        ('grads: no dW', lambda: textbook(grads={})), ("grads['dW']", lambda: textbook(grads={'dW': ONE, 'db': ONE})),
        ('v: no dW', lambda: textbook(v={})), ("s['dW']", lambda: textbook(s={'dW': ONE, 'db': W['b']})),
        ('parameters', lambda: textbook(parameters=[ONE]))],
    'moments': [("parameters['k']", lambda: optim._moments({'k': np.arange(3)}, ('v',)))],
    'check_moments': [
        ('state: no t', lambda: optim._check_moments(W, (), {})),
        ('state: no v.W', lambda: optim._check_moments(W, ('v',), {'t': np.array(1)}))],
    'check_gradients_given': [
        ('gradients: got the name', lambda: optim._check_gradients_given(W, {**W, 'c': ONE})),
        ("gradients['W']", lambda: optim._check_gradients_given({'W': np.float32(W['W'])}, {'W': W['W']}))],
    'Adam': [
        ('learning_rate', lambda: optim.Adam(-1.)), ('beta1', lambda: optim.Adam(beta1=1.)),
        ('epsilon', lambda: optim.Adam(epsilon='0')), ('gradients: no W', lambda: UP(W, {}, STATE)),
        ("gradients['W']", lambda: UP(W, {**W, 'W': ONE}, STATE)),
        ('gradients: got the name', lambda: UP(W, {**W, 'c': ONE}, STATE)), ('gradients', lambda: UP(W, None, STATE)),
        ('state: no v.W', lambda: UP(W, W, {'t': np.array(0)})), ('state', lambda: UP(W, W, None)),
        ("state['s.b']", lambda: UP(W, W, {**STATE, 's.b': np.ones(3)})),
        ('state: got the name', lambda: UP(W, W, {**STATE, 'q.W': ONE})),
        ('learning_rate', lambda: UP(W, W, STATE, -.1)), ('learning_rate', lambda: UP(W, W, STATE, math.nan)),
        ('parameters', lambda: UP([ONE], W, STATE)), ("parameters['k']", lambda: ADAM.init({'k': np.arange(3)}))],
    'SGD': [
        ('momentum', lambda: optim.SGD(momentum=1.)), ('nesterov', lambda: optim.SGD(nesterov=True)),
        ('nesterov', lambda: optim.SGD(momentum=.5, nesterov='yes')),
        ('state: got the name', lambda: optim.SGD().update(W, W, STATE))],
    'RMSProp': [('memory', lambda: optim.RMSProp(memory=1.)), ('learning_rate', lambda: optim.RMSProp(math.inf))],
    'check_limit': [
        ('a', lambda: optim.check_limit(a=0)), ('a', lambda: optim.check_limit(a=math.nan)),
        ('a', lambda: optim.check_limit(a='1'))],
    'global_norm': [
        ('gradients', lambda: optim.global_norm([ONE])), ("gradients['a']", lambda: optim.global_norm({'a': 'b'}))],
    'clip_by_global_norm': [
        ('max_norm', lambda: optim.clip_by_global_norm(W, 0.)),
        ('gradients', lambda: optim.clip_by_global_norm(None, 1.))],
    'clip_by_value': [
        ('max_value', lambda: optim.clip_by_value(W, -1.)), ('gradients', lambda: optim.clip_by_value(ONE, 1.))],
    'WeightAverage': [
        ('decay', lambda: optim.WeightAverage(1.)), ('start', lambda: optim.WeightAverage(start=-1)),
        ('start', lambda: optim.WeightAverage(start=1.5)),
        ('state: no mean.W', lambda: optim.WeightAverage().update(W, STATE))],
    'averaged_parameters': [
        ('state', lambda: optim.averaged_parameters({})), ('state', lambda: optim.averaged_parameters(None)),
        ('state', lambda: optim.averaged_parameters(optim.WeightAverage().init(W)))],
    # schedules
    'check_positive': [('a', lambda: schedule.check_positive(a=0)), ('a', lambda: schedule.check_positive(a='1'))],
    'check_schedules': [('then', lambda: schedule.check_schedules(then=0.1))],
    'constant_rate': [('rate', lambda: schedule.constant_rate(0.)), ('rate', lambda: schedule.constant_rate(None))],
    'halving_rate': [
        ('rate', lambda: schedule.halving_rate(math.nan, 5)), ('half_life', lambda: schedule.halving_rate(1., 0))],
    'step_rate': [
        ('every', lambda: schedule.step_rate(.1, 0)), ('every', lambda: schedule.step_rate(.1, 1.5)),
        ('factor', lambda: schedule.step_rate(.1, 1, 0))],
    'cosine_rate': [
        ('steps', lambda: schedule.cosine_rate(.1, 0)), ('lowest', lambda: schedule.cosine_rate(.1, 5, .2)),
        ('lowest', lambda: schedule.cosine_rate(.1, 5, -1))],
    'warm_up': [('steps', lambda: schedule.warm_up(0, abs)), ('then', lambda: schedule.warm_up(5, .1))],
    'in_turn': [
        ('first', lambda: schedule.in_turn(.1, 5, abs)), ('then', lambda: schedule.in_turn(abs, 5, None)),
        ('steps', lambda: schedule.in_turn(abs, -1, abs))],
    'one_cycle': [
        ('rise', lambda: schedule.one_cycle(.1, 100, 1.)), ('steps', lambda: schedule.one_cycle(.1, 2)),
        ('first', lambda: schedule.one_cycle(.1, 9, first=0)), ('last', lambda: schedule.one_cycle(.1, 9, last=-1))],
    'Patience': [
        ('validations', lambda: schedule.Patience(-1)), ('validations', lambda: schedule.Patience(1.5)),
        ('gain', lambda: schedule.Patience(gain=1.)),
        ('loss', lambda: schedule.Patience().update(schedule.Patience().init(), math.nan)),
        ('state', lambda: schedule.Patience().update({}, 1.)), ('state', lambda: schedule.Patience().update(None, 1.))],
    # the loop
    'check_whole': [
        ('a', lambda: train.check_whole('a', 1.5, 1)), ('a', lambda: train.check_whole('a', 0, 1)),
        ('a', lambda: train.check_whole('a', True, 0))],
    'begin': [
        ('seed', lambda: train.begin(Task(), ADAM, -1)), ('seed', lambda: train.begin(Task(), ADAM, 'x')),
        ('seed', lambda: train.begin(Task(), ADAM, None)),
        *(('task', lambda bad=bad: train.begin(Odd(bad), ADAM, 0)) for bad in (None, 5, ({},))),
        ('carry', lambda: train.begin(Odd(({}, None)), ADAM, 0)),
        ('optimizer: got the class Adam', lambda: train.begin(Task(), optim.Adam, 0))],
    'check_training': [
        ('task', lambda: train._check_training(task=None, progress=START, plan=PLAN)),
        ('progress', lambda: train._check_training(progress=None, plan=PLAN)),
        ('plan', lambda: train._check_training(progress=START, plan=abs))],
    'check_folder': [('folder', lambda: train._check_folder(None)), ('folder', lambda: train._check_folder('none'))],
    'current_rate': [
        ('learning_rate', lambda bad=bad: train._current_rate(plan(learning_rate=lambda step: bad), START))
        for bad in (None, -1., math.nan, math.inf, 'x')],
    'TrainingPlan': [
        ('learning_rate', lambda: plan(learning_rate=.1)),
        *((name, lambda name=name, bad=bad: plan(**{name: bad})) for name, bad in BAD_PLANS.items()),
        ('plateau_lowest', lambda: plan(plateau_lowest=-1.)), ('plateau_lowest', lambda: plan(plateau_lowest=None)),
        ('steps', lambda: plan(steps=2.5)), ('plateau_factor', lambda: plan(plateau_factor='half')),
        ('average', lambda: plan(average=.9)), ('plateau', lambda: plan(plateau=3)), ('stop', lambda: plan(stop=5))],
    'train_step': [
        *(('task', lambda bad=bad: train.train_step(Odd(bad), ADAM, START, PLAN)) for bad in (None, (1., {}), 3)),
        ('gradients: no w', lambda: train.train_step(Other(gradients={}), ADAM, START, PLAN)),
        ('gradients: got the name',
         lambda: train.train_step(Other(gradients={'w': np.ones(2), 'v': ONE}), ADAM, START, PLAN)),
        ("gradients['w']", lambda: train.train_step(Other(gradients={'w': ONE}), ADAM, START, PLAN))],
    'check_answer': [
        ('task', lambda: train._check_answer('begin', None, 2)), ('task', lambda: train._check_answer('begin', (1,), 2))],
    'batch_gradients': [
        *(('loss', lambda bad=bad: train._batch_gradients(Other(loss=bad), START, START.carry))
          for bad in (None, 'x', ONE)),
        ('units', lambda: train._batch_gradients(Other(units=0), START, START.carry))],
    'validate': [
        ('validation_loss', lambda bad=bad: train.validate(Odd(bad), START, PLAN)) for bad in (None, 'x', ONE, [1])],
    'step_gradients': [
        ('gradients', lambda: train._step_gradients(Forgets(), START, 2)),
        ('units', lambda: train._step_gradients(Other(units=-2), START, 2))],
    'Recorder': [('folder', lambda: train._Recorder(Path('no such folder'), START))],
    'fit': [
        ('folder', lambda: fit(folder='no such folder')), ('progress', lambda: fit(optimizer=optim.SGD())),
        ('progress', lambda: fit(progress=W)), ('plan', lambda: fit(plan=5)),
        ('callbacks', lambda: fit(callbacks=(3,))), ('callbacks', lambda: fit(callbacks=print)),
        ('on_save', lambda: fit(on_save=3)), ('settings', lambda: fit(settings=[1])),
        ('settings', lambda: fit(settings={'a': ONE})),
        ('task', lambda: fit(task=object()))],
    # practice
    'check_counts': [
        ('lengths', lambda: practice._check_counts([])), ('lengths', lambda: practice._check_counts([0, 1]))],
    'batches_by_length': [
        ('lengths', lambda: practice.batches_by_length([1.5], 1, RNG(0))),
        ('batch_size', lambda: practice.batches_by_length([1], 0, RNG(0))),
        ('rng', lambda: practice.batches_by_length([1], 1, 7)),
        ('spread', lambda: practice.batches_by_length([1], 1, RNG(0), 1.))],
    'padding_share': [
        ('batches', lambda: practice.padding_share([1, 2], [])),
        ('batches', lambda: practice.padding_share([1, 2], [[2]])),
        ('batches', lambda: practice.padding_share([1, 2], [[]])),
        ('lengths', lambda: practice.padding_share([], [[0]]))],
    'find_learning_rate': [
        ('lowest', lambda: practice.find_learning_rate(Task(), ADAM, 1., .1)),
        ('highest', lambda: practice.find_learning_rate(Task(), ADAM, highest=math.inf)),
        ('steps', lambda: practice.find_learning_rate(Task(), ADAM, steps=1)),
        ('worst', lambda: practice.find_learning_rate(Task(), ADAM, worst=.5))],
    'check_curve': [
        ('a', lambda: practice._check_curve([1.], 'a')), ('a', lambda: practice._check_curve(np.array([math.nan]), 'a'))],
    'smoothed_losses': [
        ('losses', lambda: practice._smoothed_losses(np.ones((2, 2)))),
        ('memory', lambda: practice._smoothed_losses(ONE, 1.))],
    'suggested_rate': [
        ('losses', lambda: practice.suggested_rate(RATES, np.ones(2))),
        ('rates', lambda: practice.suggested_rate(RATES[::-1], ONE))],
    'plot_learning_rates': [('rates', lambda: practice.plot_learning_rates(-RATES, ONE))],
    'live_history': [('seconds', lambda: practice.live_history(seconds=-1))],
    'history_picture': [
        ('history', lambda: practice._history_picture([])),
        ('unit', lambda: practice._history_picture([{'step': 1, 'loss': 1.}], 3))],
    # problems
    'check_request': [('rng', lambda: P.check_request(0, {})), ('m', lambda: P.check_request(RNG(0), {'m': (0, 1)}))],
    'one_hot_sequence': [
        ('symbols', lambda: P.one_hot_sequence([[1]], 3)), ('symbols', lambda: P.one_hot_sequence(np.array([[3]]), 3)),
        ('n', lambda: P.one_hot_sequence(np.array([[0]]), 0))],
    **{name: [
        ('rng', lambda f=f: f(7, 2, 30)), ('m', lambda f=f: f(RNG(0), 0, 30)), ('T', lambda f=f: f(RNG(0), 2, 0)),
        ('T', lambda f=f: f(RNG(0), 2, 30.5)), ('dtype', lambda f=f: f(RNG(0), 2, 30, dtype=int))]
       for name, f in GENERATORS.items()},
    'marked_pairs': [('T', lambda: P.marked_pairs(RNG(0), 2, 5, 0, 0))],
    'check_grammar': [
        ('grammar', lambda: P.check_grammar(())), ('grammar', lambda: P.check_grammar(((('B', 0),),))),
        ('grammar', lambda: P.check_grammar(((('Q', 1),),)))],
    'grammar_states': [
        ('text', lambda: P.grammar_states('Q')), ('text', lambda: P.grammar_states(7)),
        ('grammar', lambda: P.grammar_states('B', ()))],
    'grammar_accepts': [
        ('text', lambda: P.grammar_accepts(None)), ('grammar', lambda: P.grammar_accepts('B', 'REBER'))],
    'grammar_string': [('rng', lambda: P.grammar_string(7)), ('grammar', lambda: P.grammar_string(RNG(0), ()))],
    'embed': [('grammar', lambda: P.embed([]))],
    'grammar_problem': [
        ('m', lambda: P.grammar_problem(RNG(0), 0)), ('grammar', lambda: P.grammar_problem(RNG(0), 1, ((),)))],
    'grammar_losses': [('grammar', lambda: P.grammar_losses(((('B', 0),),)))],
}
ROWS = [(name, start, wrong) for name, rows in TABLE.items() for start, wrong in rows]


@pytest.mark.parametrize('name, start, wrong', ROWS, ids=[f'{name}-{i}' for i, (name, _, _) in enumerate(ROWS)])
def test_what_makes_no_sense_is_refused(name, start, wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {**W, **STATE, **START.parameters, 'ones': ONE, 'rates': RATES}
    before = {key: a.copy() for key, a in given.items()}
    refused(start, wrong)
    for key, a in given.items(): np.testing.assert_array_equal(a, before[key])
    assert not [*tmp_path.iterdir()], 'something was written'


@pytest.mark.parametrize('call, name', [
    (lambda n: schedule.cosine_rate(0.1, n), 'steps')], ids=['schedule'])
def test_a_size_of_none_is_refused(call, name):
    refused(f'{name}: got None, expected a whole number', call, None)


def test_damaged_and_foreign_files(tmp_path):
    path = tmp_path/'x'
    for data in (b'', b'\x00' * 8, b'\xff' * 30, b'{}' * 20):
        path.write_bytes(data)
        refused(str(path), files.load_arrays, path, 'k')
        refused(str(path), train.load_checkpoint, path)
    files.save_arrays(path, {'a': ONE}, {}, 'another kind')
    refused(str(path), train.load_checkpoint, path)
    files.save_arrays(path, {'a': ONE, 'b': np.asfortranarray(np.ones((2, 3)))}, {'seed': 7}, 'k')
    whole = path.read_bytes()
    for place in (len(whole) - 1, len(whole) - 30, whole.index(b'seed'), whole.index(b'turned')):  # numbers, and words
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        assert 'damaged' in refused(str(path), files.load_arrays, path, 'k')
    for function in (train.load_checkpoint, train.best_checkpoints):
        with pytest.raises(OSError): function(tmp_path/'none')


# ----------------------------------------------------------------------------------------------- one argument at a time

ANYTHING = 'none text thing array nan minus bool'
BAD = dict(zip(ANYTHING.split(), (None, 'x', object(), np.ones((1, 2, 3, 4)), math.nan, -1, True), strict=True))
FREE_PATH = {'path': 'text'}                # where there may be a file, or may not
FILE, RUN = HERE/'file', HERE/'run'
NONE_OF = {name: 'none' for name in ('max_norm', 'max_value', 'average', 'plateau', 'stop')}
LIVE = explorer._live_cell('lstm')
MOVED = {'live': LIVE}
# name -> function, arguments, and for each argument which of BAD it takes, too; '*' where nobody looks
CALLS = {
    # files
    'write_whole': (files.write_whole, {'path': FILE, 'data': b'1'}, FREE_PATH),
    'write_json': (files.write_json, {'path': FILE, 'value': [1]}, {**FREE_PATH, 'value': 'none text minus bool'}),
    'save_arrays': (
        files.save_arrays, {'path': FILE, 'arrays': {'a': ONE}, 'about': {}, 'kind': 'k'},
        {**FREE_PATH, 'about': 'none text minus bool', 'kind': 'text'}),
    'fingerprint': (
        files._fingerprint, {'arrays': {'a': ONE}, 'said': {}}, {'said': 'none text minus bool'}),
    'read_header': (files._read_header, {'data': (HERE/'a').read_bytes()}, {}),
    'load_arrays': (files.load_arrays, {'path': HERE/'a', 'kind': 'k'}, {**FREE_PATH, 'kind': '*'}),
    # optimizers
    'initialize_adam': (optim.initialize_adam, {'parameters': W}, {}),
    'update_parameters_with_adam': (
        optim.update_parameters_with_adam, {'parameters': W, 'grads': D_W, 'v': V, 's': S, 't': 1}, {}),
    'Adam': (optim.Adam, {}, {}), 'SGD': (optim.SGD, {'momentum': .5}, {'nesterov': 'bool'}),
    'RMSProp': (optim.RMSProp, {}, {}), 'Adam.init': (ADAM.init, {'parameters': W}, {}),
    'Adam.update': (UP, {'parameters': W, 'gradients': W, 'state': STATE}, {'learning_rate': 'none'}),
    'global_norm': (optim.global_norm, {'gradients': W}, {}),
    'clip_by_global_norm': (optim.clip_by_global_norm, {'gradients': W, 'max_norm': 1.}, {}),
    'clip_by_value': (optim.clip_by_value, {'gradients': W, 'max_value': 1.}, {}),
    'WeightAverage': (optim.WeightAverage, {}, {'decay': 'none'}),
    'WeightAverage.init': (MEAN.init, {'parameters': W}, {}),
    'WeightAverage.update': (MEAN.update, {'parameters': W, 'state': MEAN.init(W)}, {}),
    'averaged_parameters': (optim.averaged_parameters, {'state': MEAN.update(W, MEAN.init(W))}, {}),
    # schedules
    'constant_rate': (schedule.constant_rate, {'rate': .1}, {}),
    'halving_rate': (schedule.halving_rate, {'rate': .1, 'half_life': 5}, {'half_life': 'none'}),
    'step_rate': (schedule.step_rate, {'rate': .1, 'every': 5}, {}),
    'cosine_rate': (schedule.cosine_rate, {'rate': .1, 'steps': 5}, {}),
    'warm_up': (schedule.warm_up, {'steps': 5, 'then': abs}, {}),
    'in_turn': (schedule.in_turn, {'first': abs, 'steps': 5, 'then': abs}, {}),
    'one_cycle': (schedule.one_cycle, {'rate': .1, 'steps': 50}, {}), 'Patience': (schedule.Patience, {}, {}),
    'Patience.update': (
        schedule.Patience().update, {'state': schedule.Patience().init(), 'loss': 1.}, {'loss': 'minus'}),
    # the loop
    'Progress': (train.Progress, {part: getattr(START, part) for part in START.__dataclass_fields__}, {}),
    'begin': (train.begin, {'task': Task(), 'optimizer': ADAM, 'seed': 0}, {}),
    'TrainingPlan': (train.TrainingPlan, {'steps': 5, 'learning_rate': abs}, NONE_OF),
    'limit_gradients': (train._limit_gradients, {'gradients': W, 'plan': PLAN}, {}),
    'current_rate': (train._current_rate, {'plan': PLAN, 'progress': START}, {}),
    'train_step': (train.train_step, {'task': Task(), 'optimizer': ADAM, 'progress': START, 'plan': PLAN}, {}),
    'validate': (train.validate, {'task': Task(), 'progress': START, 'plan': PLAN}, {}),
    'has_ended': (train._has_ended, {'plan': PLAN, 'progress': START}, {}),
    'save_checkpoint': (
        train.save_checkpoint, {'path': FILE, 'progress': START, 'settings': {}},
        {**FREE_PATH, 'settings': 'none text minus bool'}),
    'load_checkpoint': (train.load_checkpoint, {'path': RUN/'checkpoint.safetensors'}, FREE_PATH),
    'read_history': (train.read_history, {'path': RUN/'history.jsonl'}, {**FREE_PATH, 'last_step': 'none'}),
    'best_checkpoints': (train.best_checkpoints, {'folder': RUN}, {'folder': 'text'}),
    'Recorder': (train._Recorder, {'folder': RUN, 'progress': START}, {}),
    'fit': (
        train.fit, {'task': Task(), 'optimizer': ADAM, 'progress': START, 'plan': PLAN, 'folder': RUN, 'bar': False},
        {'settings': 'none', 'on_save': 'none', 'bar': 'bool'}),
    'progress_bar': (
        train._progress_bar, {'task': Task(), 'progress': START, 'plan': PLAN, 'show': False}, {'show': 'bool'}),
    # practice
    'batches_by_length': (practice.batches_by_length, {'lengths': [1, 2, 3], 'batch_size': 2, 'rng': RNG(0)}, {}),
    'padding_share': (practice.padding_share, {'lengths': [1, 2, 3], 'batches': [[0, 1], [2]]}, {}),
    'find_learning_rate': (practice.find_learning_rate, {'task': Task(), 'optimizer': ADAM, 'steps': 3}, {}),
    'smoothed_losses': (practice._smoothed_losses, {'losses': RATES}, {}),
    'suggested_rate': (practice.suggested_rate, {'rates': RATES, 'losses': ONE}, {}),
    'plot_learning_rates': (practice.plot_learning_rates, {'rates': RATES, 'losses': ONE}, {}),
    'live_history': (practice.live_history, {}, {'unit': 'text'}),
    'history_picture': (practice._history_picture, {'entries': [{'step': 1, 'loss': 1.}]}, {'unit': 'text'}),
    # the explorer
    'live_cell': (explorer._live_cell, {}, {name: 'none' for name in ('parameters', 'x', 'a0', 'c0')}),
    **{name: (getattr(explorer, name), MOVED, {'moves': 'none', 'pushed': 'bool'}) for name in (
        'all_moves', 'run_moved', 'push_left', 'push_words', 'move_words', 'explore_frame', 'LiveDiagram')},
    **{name: (getattr(explorer, name), {**MOVED, 'cache': explorer._run_moved(LIVE).caches[0]}, {'cache': '*'})
       for name in ('inside_values', 'diagram_values')},
    'explore_frames': (explorer._explore_frames, {**MOVED, 'frames': [{}]}, {}),
    'live_pictures': (explorer._live_pictures, {'diagram': explorer._LiveDiagram(LIVE)}, {'moves': 'none'}),
    'pixels_of': (explorer._pixels_of, {'picture': explorer._explore_frame(LIVE)}, {}),
    'quick_png': (explorer._quick_png, {'pixels': np.zeros((2, 2, 3), np.uint8)}, {}),
    'explore': (
        explorer.explore, {'frames': [{}]},
        {name: 'none' for name in ('parameters', 'x', 'a0', 'c0', 'moves', 'frames')}),
}
CALLED = {  # what an argument is called where it has another name
    ('history_picture', 'entries'): 'history', ('explore_frame', 'moves'): 'moves|frames'}


def on_disk(): return {path: path.read_bytes() for path in HERE.rglob('*') if path.is_file()}


def done(function, given):
    "The whole of a call, to the end of an iterator"
    result = function(**given)
    if isinstance(result, train._Recorder): result.close()
    return [*result] if inspect.isgenerator(result) else result


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('name', CALLS)
def test_one_argument_at_a_time(name, tmp_path, monkeypatch):
    "None, text, an object, an array of another shape, NaN, -1, True: refused by its name, before any work, or taken"
    monkeypatch.chdir(tmp_path)
    function, given, taken = CALLS[name]
    asked = inspect.signature(function).parameters
    whole = {key: p.default for key, p in asked.items() if p.default is not p.empty} | given
    assert whole.keys() == asked.keys()
    done(function, whole)
    for argument in whole:
        for kind, bad in BAD.items():
            if taken.get(argument) == '*': continue
            if kind in taken.get(argument, '').split():
                with contextlib.suppress(OSError): done(function, {**whole, argument: bad})     # 'x' is no file
                continue
            before = on_disk()
            message = refused('', lambda given: done(function, given), {**whole, argument: bad})
            assert on_disk() == before, 'something was written'
            called = CALLED.get((name, argument), argument)
            assert re.search(rf'\b({called})\b', message.split(':')[0]), f'{argument}={kind}: {message}'
    assert {p.name for p in tmp_path.iterdir()} <= {'x'} if 'path' in taken else not [*tmp_path.iterdir()]


# What gets only what its caller has looked at, or has nothing to refuse; base classes, known by what is made of them.
TRUSTED = {
    'files': {'Arrays', 'fingerprint'},
    'optim': {'Arrays', 'Optimizer', 'plain', 'plain_options'},
    'schedule': {'Schedule', 'half_wave'},
    'train': {
        'Task', 'Progress', 'first_not_finite', 'not_finite', 'limit_gradients', 'all_finite', 'part_of', 'remember',
        'has_ended', 'save_checkpoint', 'load_checkpoint', 'read_history', 'json_lines', 'Interruption',
        'best_path', 'remove_leftovers', 'best_checkpoints', 'check_run', 'progress_bar'},
    'practice': {'in_notebook', 'show_picture'},
    'problems': {'Grammar', 'reach_of'},
}
# What has its faults in the rows of TABLE alone: only some of its arguments come from outside.
BY_ROWS = {
    'files': {'path_of'},
    'optim': {'moments'}, 'schedule': set(), 'train': {'batch_gradients', 'step_gradients'}, 'practice': set()}


@pytest.mark.parametrize('module', TRUSTED)
def test_no_public_name_was_forgotten(module):
    loaded = importlib.import_module(f'rnn_nbdev.{module}')
    public = {name for name in loaded.__all__ if callable(getattr(loaded, name))}
    assert public - TABLE.keys() == TRUSTED[module]
    others = {name for name in public - CALLS.keys() - TRUSTED[module] if not name.startswith('check_')}
    assert module not in BY_ROWS or others == BY_ROWS[module], 'not in CALLS'


def test_no_public_name_of_the_explorer_was_forgotten():
    public = {name for name in explorer.__all__ if callable(getattr(explorer, name))}
    assert public - CALLS.keys() == {'LiveCell', 'MovedRun'}


@pytest.mark.skipif(os.name == 'nt', reason='Windows knows no such modes')
@pytest.mark.parametrize('umask, new', [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)], ids=oct)
def test_who_may_read_a_file(umask, new, tmp_path):
    "A new file is as the umask says; one that is written anew keeps its mode; nothing else is left in the folder"
    modes = lambda: {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    before = os.umask(umask)
    try:
        files.write_whole(tmp_path/'x', b'1')
        assert modes() == {'x': new}
        for mode in (0o600, 0o640, 0o666, 0o755):
            (tmp_path/'x').chmod(mode)
            files.write_whole(tmp_path/'x', b'2')
            assert modes() == {'x': mode}
    finally: os.umask(before)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path/'x').mkdir()
    with pytest.raises(IsADirectoryError) as caught: files.write_whole(tmp_path/'x', b'1')
    assert caught.value.filename == str(tmp_path/'x') and [p.name for p in tmp_path.iterdir()] == ['x']


@pytest.mark.parametrize('folder', ['nodir', 'file', 'nodir/deeper'])
def test_a_missing_folder_is_named(tmp_path, folder):
    "And not the hidden file that would have been written beside the target"
    (tmp_path / 'file').write_bytes(b'')
    path = tmp_path / folder / 'model'
    for save in (lambda: files.write_whole(path, b'data'), lambda: files.save_arrays(path, {'a': np.ones(2)}, {}, 'k')):
        with pytest.raises(FileNotFoundError) as caught: save()
        assert caught.value.filename == str(path.parent) and str(path.parent) in str(caught.value)
        assert '.model' not in str(caught.value)
