"The training loop: going on to the last bit with every optimizer, schedule and option, and what stops a run."
import contextlib
import json
import os
import re
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest

from rnn_nbdev.files import load_arrays, save_arrays
from rnn_nbdev.layers import Chain, Dense, Recurrent
from rnn_nbdev.networks import Pool, stacked
from rnn_nbdev.optim import SGD, Adam, RMSProp, WeightAverage, averaged_parameters
from rnn_nbdev.schedule import (Patience, constant_rate, cosine_rate, halving_rate, in_turn, one_cycle, step_rate,
                                warm_up)
from rnn_nbdev.train import (_PARTS, TrainingPlan, _has_ended, _Shown, begin, best_checkpoints, fit,
                             load_checkpoint, read_history, train_step, validate)


class Lines:
    "Two outputs from three inputs, noisy; the carry is a state that every batch changes"
    unit = 'point'

    def __init__(self, n=8, dtype=np.float64): self.n, self.dtype = n, dtype

    def batch(self, rng, n):
        x = rng.normal(size=(3, n)).astype(self.dtype)
        return x, (np.arange(6).reshape(2, 3) @ x + rng.normal(size=(2, n))).astype(self.dtype)

    def begin(self, rng):
        W = np.asfortranarray(rng.normal(size=(2, 3)).astype(self.dtype))
        return {'W': W, 'layer.b': np.zeros((2, 1), self.dtype)}, {'state': np.zeros((2, 1), self.dtype)}

    def gradients(self, parameters, carry, rng):
        x, y = self.batch(rng, self.n)
        error = parameters['W'] @ x + parameters['layer.b'] + 0.1 * carry['state'] - y
        grads = {'W': np.asfortranarray(2 / self.n * error @ x.T), 'layer.b': 2 * error.mean(axis=1, keepdims=True)}
        return float((error**2).sum() / self.n), grads, {'state': np.tanh(error[:, :1])}, self.n

    def validation_loss(self, parameters):
        x, y = self.batch(np.random.default_rng(99), 20)
        return float(((parameters['W'] @ x + parameters['layer.b'] - y)**2).sum() / 20)

    def arrays(self, parameters, carry):
        yield from parameters.items()
        yield from carry.items()


PLAN = TrainingPlan(24, constant_rate(0.05), eval_every=3, save_every=5)
OPTIMIZERS = {'SGD': SGD(), 'momentum': SGD(momentum=0.9), 'Nesterov': SGD(momentum=0.9, nesterov=True),
              'RMSProp': RMSProp(), 'Adam': Adam(), 'AdamW': Adam(weight_decay=0.1)}
SCHEDULES = {'constant': constant_rate(0.05), 'halving': halving_rate(0.1, 5), 'stairs': step_rate(0.1, 4, 0.5),
             'cosine': cosine_rate(0.1, 20), 'warm-up': warm_up(7, cosine_rate(0.1, 10)),
             'one cycle': one_cycle(0.1, 24), 'in turn': in_turn(constant_rate(0.1), 9, halving_rate(0.1, 2))}
OPTIONS = {
    'value clipping': {'max_value': 0.5}, 'no clipping': {'max_norm': None}, 'accumulation': {'accumulate': 3},
    'uniform average': {'average': WeightAverage(start=5)}, 'exponential average': {'average': WeightAverage(0.8)},
    'plateau': {'plateau': Patience(0, 0.5)}, 'early stopping': {'stop': Patience(3, 0.9)},
    'the best': {'keep_best': 2},
    'all': {'max_value': 2.0, 'accumulate': 2, 'average': WeightAverage(0.8), 'plateau': Patience(0, 0.5),
            'stop': Patience(3, 0.5), 'keep_best': 2},
}
RUNS = ({name: (o, PLAN) for name, o in OPTIMIZERS.items()}
        | {name: (Adam(), replace(PLAN, learning_rate=s)) for name, s in SCHEDULES.items()}
        | {name: (SGD(momentum=0.5), replace(PLAN, **o)) for name, o in OPTIONS.items()})


def same(a, b):
    "Whether two runs stand at the same place, bit for bit, memory order included"
    assert (a.step, a.seen) == (b.step, b.seen) and a.rng.bit_generator.state == b.rng.bit_generator.state
    for part in _PARTS:
        first, second = getattr(a, part), getattr(b, part)
        assert first.keys() == second.keys(), part
        for n in first:
            assert first[n].dtype == second[n].dtype and first[n].strides == second[n].strides, (part, n)
            assert first[n].tobytes() == second[n].tobytes(), (part, n)


def files(folder):
    "All that a run left but its speed"
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != 'speed.jsonl'}


def run(task, optimizer, plan, folder, progress=None, **how):
    folder.mkdir(exist_ok=True)
    return fit(task, optimizer, progress or begin(task, optimizer, seed=3), plan, folder, bar=False, **how)[0]


def test_columns_stay_columns(tmp_path):
    "The test below would say nothing of the memory order if every array lay in rows"
    done = run(Lines(), Adam(), PLAN, tmp_path/'run')
    assert done.parameters['W'].flags.f_contiguous and done.optimizer['v.W'].flags.f_contiguous
    back, _ = load_checkpoint(tmp_path/'run'/'checkpoint.safetensors')
    same(back, done)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('name', RUNS)
def test_half_and_half_is_one_bit_for_bit(name, dtype, tmp_path):
    optimizer, plan = RUNS[name]
    task = Lines(dtype=dtype)
    whole = run(task, optimizer, plan, tmp_path/'whole')
    run(task, optimizer, replace(plan, steps=12), tmp_path/'halves')
    half, _ = load_checkpoint(tmp_path/'halves'/'checkpoint.safetensors')
    same(run(task, optimizer, plan, tmp_path/'halves', half), whole)
    assert files(tmp_path/'whole') == files(tmp_path/'halves')
    assert {a.dtype for a in whole.parameters.values()} == {np.dtype(dtype)}
    assert {a.dtype for n, a in (*whole.optimizer.items(), *whole.average.items()) if n != 't'} <= {np.dtype(dtype)}


def test_the_options_do_something(tmp_path):
    "The test above would say nothing of an option that is not looked at"
    plain = run(Lines(), SGD(momentum=0.5), PLAN, tmp_path/'plain')
    for name, options in OPTIONS.items():
        other = run(Lines(), SGD(momentum=0.5), replace(PLAN, **options), tmp_path/name)
        different = not np.array_equal(other.parameters['W'], plain.parameters['W'])
        assert different == (name not in ('uniform average', 'exponential average', 'the best')), name
        assert bool(other.average) == ('average' in options) and bool(other.watch) == bool(
            {'plateau', 'stop', 'keep_best'} & options.keys())
    stopped = load_checkpoint(tmp_path/'early stopping'/'checkpoint.safetensors')[0]
    assert 12 < stopped.step < PLAN.steps and _has_ended(replace(PLAN, **OPTIONS['early stopping']), stopped)


@pytest.mark.parametrize('lowest, last', [(0, 0.05), (0.01, 0.002)])
def test_the_rate_falls_each_time_that_patience_runs_out(lowest, last, tmp_path):
    "To the floor, and no rate is raised to it"
    given = [0.05] * 20 + [last] * 4
    run(Lines(), SGD(), replace(PLAN, plateau=Patience(0, 0.99), plateau_factor=0.3, plateau_lowest=lowest,
                                learning_rate=given.__getitem__), tmp_path/'run')
    rates = [e['learning_rate'] for e in read_history(tmp_path/'run'/'history.jsonl') if 'loss' in e]
    times = [max(0, step // 3 - 1) for step in range(24)]       # the first validation sets the mark
    np.testing.assert_allclose(rates, [max(r * 0.3**n, min(r, lowest)) for r, n in zip(given, times)], rtol=1e-12)


@pytest.mark.parametrize('at, kind', [(1, 'loss'), (7, 'loss'), (9, 'loss'), (9, 'validation_loss'), (10, 'loss')])
def test_a_callback_that_ends_the_run_ends_it_like_ctrl_c(at, kind, tmp_path):
    "The step is finished, validated if that is due, and saved; taken up again, it is as if it had not stopped"
    plan = replace(PLAN, **OPTIONS['all'])
    whole = run(Lines(), Adam(), plan, tmp_path/'whole')
    def stop(progress, entry):
        if progress.step == at and kind in entry: raise KeyboardInterrupt
    (tmp_path/'halves').mkdir()
    half, interrupted = fit(Lines(), Adam(), begin(Lines(), Adam(), 3), plan, tmp_path/'halves', bar=False,
                            callbacks=(stop,))
    assert interrupted and half.step == at
    saved, _ = load_checkpoint(tmp_path/'halves'/'checkpoint.safetensors')
    same(saved, half)
    same(run(Lines(), Adam(), plan, tmp_path/'halves', saved), whole)
    assert files(tmp_path/'whole') == files(tmp_path/'halves')


def test_a_second_ctrl_c_goes_through_a_callback(tmp_path):
    seen = []
    def twice(progress, entry):
        seen.append(progress.step)
        for _ in range(2): signal.raise_signal(signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt): run(Lines(), Adam(), PLAN, tmp_path/'run', callbacks=(twice,))
    assert seen == [1] and signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path/'run'/'checkpoint.safetensors').exists()


def test_what_a_killed_writer_left_is_removed(tmp_path):
    run(Lines(), Adam(), replace(PLAN, steps=3), tmp_path/'run')
    names = {path.name for path in (tmp_path/'run').iterdir()}
    mine = tmp_path/'run'/'.notes.txt'
    mine.write_text('of somebody else')
    for name in names: (tmp_path/'run'/f'.{name}.0a1b2c3d').write_bytes(b'half of it')
    progress, _ = load_checkpoint(tmp_path/'run'/'checkpoint.safetensors')
    run(Lines(), Adam(), PLAN, tmp_path/'run', progress)
    assert {path.name for path in (tmp_path/'run').iterdir()} == names | {mine.name}


def test_a_bar_in_a_bar_makes_room(tmp_path, capsys, monkeypatch):
    "Beside no other it stays; inside another one it is gone when it is done, and the outer one is where it was"
    tqdm = pytest.importorskip('tqdm').tqdm
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    shown = _Shown(Lines(), begin(Lines(), SGD(), 0), PLAN, True)
    with shown: assert shown.tqdm.leave and shown.tqdm.pos == 0
    with tqdm(range(2)) as outer:
        for k in outer:
            with _Shown(Lines(), begin(Lines(), SGD(), 0), PLAN, True) as inner:
                assert not inner.tqdm.leave and abs(inner.tqdm.pos) == 1 and outer.pos == 0, k
    capsys.readouterr()


def test_without_a_terminal_each_validation_is_a_line(tmp_path, capsys):
    (tmp_path/'run').mkdir()
    plan = replace(PLAN, average=WeightAverage())
    fit(Lines(), SGD(), begin(Lines(), SGD(), 0), plan, tmp_path/'run')
    lines = capsys.readouterr().err.splitlines()
    losses = [e['averaged_validation_loss'] for e in read_history(tmp_path/'run'/'history.jsonl') if 'loss' not in e]
    words = [rf'step {3 * k} of 24: loss [\d.]+, validation loss {loss:.3f}, [\d,]+ points/s'
             for k, loss in enumerate(losses, 1)]
    assert len(lines) == 8 and all(re.fullmatch(*pair) for pair in zip(words, lines)), lines


def test_in_a_terminal_the_bar_shows_the_validation_loss(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    (tmp_path/'run').mkdir()
    fit(Lines(), SGD(), begin(Lines(), SGD(), 0), replace(PLAN, steps=4), tmp_path/'run')
    loss = read_history(tmp_path/'run'/'history.jsonl')[3]['validation_loss']
    said = capsys.readouterr().err
    assert f'validation loss {loss:.3f}' in said and '\r' in said and 'step 3 of' not in said


HISTORY = '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 1.5, "gradient_norm": null}\n'

@pytest.mark.parametrize('line', [
    '{"step": 2, "lo', '{}', '{"step": "2"}', '{"step": 2, "loss": "1"}', '{"step": 2, "loss": NaN}', '[2]', '', '2',
    '{"step": -1}', '{"step": true}', '{"step": 2, "loss": [1]}', '[' * 100_000, '\0' * 20, '\ufffd'])
def test_damage_in_a_history_is_refused_and_the_file_is_kept(line, tmp_path):
    folder = tmp_path/'run'
    run(Lines(), Adam(), replace(PLAN, steps=3), folder)
    (folder/'history.jsonl').write_text(HISTORY + line + '\n' + HISTORY)
    before, (progress, _) = (folder/'history.jsonl').read_bytes(), load_checkpoint(folder/'checkpoint.safetensors')
    for use in (lambda: read_history(folder/'history.jsonl'), lambda: run(Lines(), Adam(), PLAN, folder, progress)):
        with pytest.raises(ValueError, match=r'history\.jsonl, line 3: got .*, expected a step and numbers') as caught:
            use()
        assert '\n' not in str(caught.value) and len(str(caught.value)) < 400
    assert (folder/'history.jsonl').read_bytes() == before


@pytest.mark.parametrize('last, whole', [('{"step": 3, "loss": 1', False), ('{"step": 3, "loss": 1}', True)])
def test_a_last_line_may_be_cut_short(last, whole, tmp_path):
    (tmp_path/'x').write_text(HISTORY + last)
    assert [e['step'] for e in read_history(tmp_path/'x')] == [1, 2] + [3] * whole


def test_only_what_the_run_wrote_is_removed(tmp_path):
    folder, plan = tmp_path/'run', replace(PLAN, keep_best=1)
    progress = run(Lines(), Adam(), plan, folder)
    best = int(best_checkpoints(folder)[0][1].stem.removeprefix('best-'))
    orphan = next(e['step'] for e in read_history(folder/'history.jsonl') if 'loss' not in e and e['step'] != best)
    (folder/f'best-{orphan:06}.safetensors').write_bytes(b'written just before a kill')
    mine = ['best-mine.safetensors', 'best-999999.safetensors', '.history.jsonl.backup', '.mine.safetensors.0a1b2c3d']
    for name in mine: (folder/name).write_text('of somebody else')
    run(Lines(), Adam(), replace(plan, steps=27), folder, progress)
    assert {*mine} <= {path.name for path in folder.iterdir()} and not (folder/f'best-{orphan:06}.safetensors').exists()


@pytest.mark.parametrize('first, second', [('SIGTERM', 'SIGTERM'), ('SIGTERM', 'SIGINT'), ('SIGINT', 'SIGTERM')])
def test_sigterm_saves_as_ctrl_c_does_and_a_second_signal_ends_at_once(first, second, tmp_path, capfd):
    before = signal.getsignal(signal.SIGTERM)
    for name, signals in (('one', [first]), ('two', [first, second])):
        def send(progress, entry, signals=signals):
            if progress.step == 7 and 'loss' in entry: [os.kill(os.getpid(), getattr(signal, s)) for s in signals]
        (tmp_path/name).mkdir()
        ends = contextlib.nullcontext() if name == 'one' else pytest.raises(KeyboardInterrupt)
        with ends:
            progress, interrupted = fit(Lines(), Adam(), begin(Lines(), Adam(), 0), PLAN, tmp_path/name, bar=False,
                                        callbacks=(send,))
            assert interrupted and progress.step == 7
        step = load_checkpoint(tmp_path/name/'checkpoint.safetensors')[0].step
        assert step == {'one': 7, 'two': 5}[name] and signal.getsignal(signal.SIGTERM) == before
    assert 'stopping after this step' in capfd.readouterr().err


def test_averaged_weights_decide_what_is_best(tmp_path):
    plan = replace(PLAN, average=WeightAverage(), keep_best=1, learning_rate=constant_rate(0.2), eval_every=1)
    run(Lines(n=2), SGD(), plan, tmp_path/'run')
    entries = [e for e in read_history(tmp_path/'run'/'history.jsonl') if 'validation_loss' in e]
    lowest = {name: min(entries, key=lambda e: e[name])['step']
              for name in ('validation_loss', 'averaged_validation_loss')}
    assert lowest['validation_loss'] != lowest['averaged_validation_loss']
    (_, path), = best_checkpoints(tmp_path/'run')
    assert load_checkpoint(path)[0].step == lowest['averaged_validation_loss']


class Odd(Lines):
    "Gives what it was made with, whatever it is asked"
    def __init__(self, given, **changed):
        super().__init__()
        self.given, self.changed = given, changed
    def begin(self, rng): return self.given if self.given != 'usual' else super().begin(rng)
    def gradients(self, *given):
        names, usual = ('loss', 'gradients', 'carry', 'units'), super().gradients(*given)
        return tuple(self.changed.get(n, v) for n, v in zip(names, usual, strict=True)) if self.changed else self.given
    def validation_loss(self, parameters): return self.given


class Forgets(Lines):
    "Every other batch has another gradient"
    batches = 0
    def gradients(self, *given):
        self.batches += 1
        loss, grads, *rest = super().gradients(*given)
        return loss, {n: g for n, g in grads.items() if self.batches % 2 or n == 'W'}, *rest


START = begin(Lines(), Adam(), 0)


def step_of(task, **changed): return train_step(task, Adam(), START, replace(PLAN, **changed))


@pytest.mark.parametrize('words, make', [
    *(('task: got ', lambda bad=bad: begin(Odd(bad), Adam(), 0)) for bad in (None, 5, ({},))),
    ('carry: got NoneType', lambda: begin(Odd(({'W': np.ones(2)}, None)), Adam(), 0)),
    ('optimizer: got the class Adam, expected an object of it', lambda: begin(Lines(), Adam, 0)),
    *(('task: got ', lambda bad=bad: step_of(Odd(bad))) for bad in (None, (1.0, {}), 3)),
    *(('loss: got ', lambda bad=bad: step_of(Odd('usual', loss=bad))) for bad in (None, 'x', np.ones(3), 1j)),
    *(('units: got ', lambda bad=bad: step_of(Odd('usual', units=bad))) for bad in (0, -2, 1.5, None)),
    ('gradients: got []', lambda: step_of(Odd('usual', gradients={}))),
    ('gradients: got NoneType', lambda: step_of(Odd('usual', gradients=None))),
    ("gradients: got the name 'v'", lambda: step_of(Odd('usual', gradients={**START.parameters, 'v': np.ones(2)}))),
    ("gradients['W']: got shape (2,)", lambda: step_of(Odd('usual', gradients={**START.parameters, 'W': np.ones(2)}))),
    ("gradients: got ['W'], expected ['W', 'layer.b'], as from", lambda: step_of(Forgets(), accumulate=2)),
    *(('learning_rate: got ', lambda bad=bad: step_of(Lines(), learning_rate=lambda step: bad))
      for bad in (None, -1.0, np.nan, np.inf, 'x')),
    *(('validation_loss: got ', lambda bad=bad: validate(Odd(bad), START, PLAN))
      for bad in (None, 'x', np.ones(3), [1]))])
def test_what_a_task_gives_is_examined(words, make):
    with pytest.raises((ValueError, TypeError)) as caught: make()
    assert str(caught.value).startswith(words), caught.value


@pytest.mark.parametrize('changed', [
    {'folder': 'no such folder'}, {'progress': begin(Lines(), SGD(), 0)}, {'optimizer': SGD}, {'callbacks': (3,)},
    {'callbacks': print}, {'settings': {'a': np.ones(2)}}, {'settings': {'a': np.nan}}], ids=min)
def test_a_run_that_would_fail_later_is_refused_before_anything_is_written(changed, tmp_path):
    given = {'task': Lines(), 'optimizer': Adam(), 'progress': START, 'plan': PLAN, 'folder': tmp_path, 'bar': False}
    with pytest.raises((ValueError, TypeError), match=f'^{min(changed)}: got .*expected '): fit(**{**given, **changed})
    assert not [*tmp_path.iterdir()]


def test_a_rate_of_numpy_leaves_float32_as_it_is(tmp_path):
    plan = replace(PLAN, learning_rate=lambda step: np.float64(0.05))
    done = run(Lines(dtype=np.float32), Adam(), plan, tmp_path/'run')
    assert {a.dtype for a in done.parameters.values()} == {np.dtype('float32')}


class Killed(Exception): pass


def taken_up(plan, folder):
    "Everything that the last checkpoint lists is there, and in the end it is the run that was never killed"
    checkpoint = folder/'killed'/'checkpoint.safetensors'
    progress = load_checkpoint(checkpoint)[0] if checkpoint.exists() else None
    if progress: assert all(load_checkpoint(p)[0].step <= progress.step for _, p in best_checkpoints(folder/'killed'))
    whole = run(Lines(), Adam(), plan, folder/'whole')
    same(run(Lines(), Adam(), plan, folder/'killed', progress), whole)
    assert files(folder/'whole') == files(folder/'killed')


@pytest.mark.parametrize('moment', range(1, 31))
def test_killed_at_any_moment_and_taken_up_again(moment, tmp_path):
    plan = replace(PLAN, **OPTIONS['all'], steps=20)
    calls = iter(range(1, 1000))
    def kill(progress, entry):
        if next(calls) == moment: raise Killed
    with contextlib.suppress(Killed): run(Lines(), Adam(), plan, tmp_path/'killed', callbacks=(kill,))
    (tmp_path/'killed'/'.checkpoint.safetensors.0a1b2c3d').write_bytes(b'half of it')
    taken_up(plan, tmp_path)


@pytest.mark.parametrize('what', ['best', 'checkpoint'])
@pytest.mark.parametrize('count', [1, 2, 3, 5])
def test_killed_while_a_checkpoint_is_written(what, count, tmp_path, monkeypatch):
    plan = replace(PLAN, **OPTIONS['all'], steps=20)
    import rnn_nbdev.train as train
    calls = iter(range(1, 1000))
    def failing(path, *rest):
        if path.name.startswith(what) and next(calls) == count: raise Killed
        save_arrays(path, *rest)
    with monkeypatch.context() as patched:
        patched.setattr(train, 'save_arrays', failing)
        with pytest.raises(Killed): run(Lines(), Adam(), plan, tmp_path/'killed')
    taken_up(plan, tmp_path)


def test_the_best_are_the_best(tmp_path):
    plan = replace(PLAN, keep_best=3, learning_rate=constant_rate(0.3), eval_every=1)
    run(Lines(n=2), SGD(), plan, tmp_path/'run')
    history = read_history(tmp_path/'run'/'history.jsonl')
    losses = {e['step']: e['validation_loss'] for e in history if 'validation_loss' in e}
    best = best_checkpoints(tmp_path/'run')
    assert [loss for loss, _ in best] == sorted(losses.values())[:3]
    for loss, path in best:
        progress, _ = load_checkpoint(path)
        assert losses[progress.step] == loss == Lines(n=2).validation_loss(progress.parameters)
    assert len([*(tmp_path/'run').glob('best-*')]) == 3


def test_averaged_weights_are_kept_beside_the_raw_ones(tmp_path):
    plan = replace(PLAN, average=WeightAverage(start=10), keep_best=1)
    done = run(Lines(), SGD(), plan, tmp_path/'run')
    raw = run(Lines(), SGD(), PLAN, tmp_path/'raw')
    assert np.array_equal(done.parameters['W'], raw.parameters['W'])
    last = read_history(tmp_path/'run'/'history.jsonl')[-1]
    assert last['averaged_validation_loss'] == Lines().validation_loss(averaged_parameters(done.average))
    assert last['averaged_validation_loss'] != last['validation_loss'] == Lines().validation_loss(raw.parameters)
    arrays, _ = load_arrays(tmp_path/'run'/'checkpoint.safetensors', 'rnn_nbdev checkpoint 1')
    assert {'parameters/W', 'average/mean.W', 'average/mean.layer.b', 'average/t'} <= arrays.keys()


@pytest.mark.parametrize('k', [2, 5])
def test_accumulated_batches_are_one_large_one(k):
    class Stateless(Lines):
        "Every batch is the next part of the same data"
        data = Lines().batch(np.random.default_rng(0), 12 * 5)
        def gradients(self, parameters, carry, rng):
            start = int(carry.get('at', 0))
            x, y = (a[:, start:start + self.n] for a in self.data)
            error = parameters['W'] @ x + parameters['layer.b'] - y
            grads = {'W': 2 / self.n * error @ x.T, 'layer.b': 2 * error.mean(axis=1, keepdims=True)}
            return float((error**2).sum() / self.n), grads, {'at': np.array(start + self.n)}, self.n
    one, e = train_step(Stateless(12), SGD(), begin(Stateless(), SGD(), 0), replace(PLAN, accumulate=k))
    two, f = train_step(Stateless(12 * k), SGD(), begin(Stateless(), SGD(), 0), PLAN)
    assert one.seen == two.seen == 12 * k and one.carry == two.carry
    assert np.isclose(e['loss'], f['loss'], rtol=1e-12)
    for n, p in one.parameters.items(): np.testing.assert_allclose(p, two.parameters[n], rtol=1e-12)


class Bad(Lines):
    "One kind of number goes wrong at the fourth step"
    def __init__(self, where): super().__init__(); self.where, self.steps = where, 0

    def gradients(self, parameters, carry, rng):
        self.steps += 1
        loss, grads, carry, n = super().gradients(parameters, carry, rng)
        if self.steps == 4:
            if self.where == 'loss': loss = np.inf
            else: grads['layer.b'] = grads['layer.b'] * {'nan': np.nan, 'inf': np.inf, 'huge': 1e200}.get(self.where, 1)
        return loss, grads, carry, n

    def validation_loss(self, parameters): return np.nan if self.where == 'held out' and self.steps == 4 else 1.0


@pytest.mark.parametrize('where, optimizer, words', [
    ('loss', SGD(), 'the loss is not finite; first bad array: none, it is the loss itself'),
    *((bad, SGD(), r'the gradient is not finite; first bad array: gradient of layer.b \(2, 1\): 2 of 2')
      for bad in ('nan', 'inf')),
    ('huge', SGD(1e200), r'the result of the update is not finite; first bad array: layer.b \(2, 1\)'),
    ('huge', Adam(), r'the result of the update is not finite; first bad array: optimizer state s.layer.b \(2, 1\)'),
    ('held out', SGD(), 'the validation loss is not finite'),
])
def test_a_number_that_is_not_finite_stops_the_run_before_anything_is_saved(where, optimizer, words, tmp_path):
    plan = replace(PLAN, max_norm=None, eval_every=1, save_every=1, keep_best=1,
                   learning_rate=constant_rate(1e200 if optimizer == SGD(1e200) else 0.01))
    if optimizer == SGD(1e200): plan = replace(plan, learning_rate=lambda step: 1e200 if step == 3 else 0.01)
    with pytest.raises(FloatingPointError, match='^step 4: ' + words):
        run(Bad(where), optimizer, plan, tmp_path/'run')
    assert load_checkpoint(tmp_path/'run'/'checkpoint.safetensors')[0].step == 3
    for path in (tmp_path/'run').glob('*.safetensors'):
        assert all(np.isfinite(a).all() for a in load_checkpoint(path)[0].parameters.values())


@pytest.mark.parametrize('limits', [{'max_norm': 1.0}, {'max_norm': None, 'max_value': 1.0}])
def test_an_infinite_gradient_is_survived_by_clipping_and_its_history_is_json(limits, tmp_path):
    run(Bad('inf'), SGD(), replace(PLAN, **limits), tmp_path/'run')
    def refuse(word): raise ValueError(word)
    lines = (tmp_path/'run'/'history.jsonl').read_text().splitlines()
    entries = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [e['step'] for e in entries if 'loss' in e and e['gradient_norm'] is None] == [4]


def test_nothing_that_came_in_is_written_to():
    plan = replace(PLAN, **OPTIONS['all'])
    progress, _ = train_step(Lines(), Adam(), begin(Lines(), Adam(), 0), plan)
    before = {part: {n: a.copy() for n, a in getattr(progress, part).items()} for part in _PARTS}
    train_step(Lines(), Adam(), progress, plan)
    for part in _PARTS:
        for n, a in getattr(progress, part).items(): assert np.array_equal(a, before[part][n]), (part, n)


def text_task():
    from rnn_nbdev.text import Streams, TextModel, TextTask, build_vocabulary
    text = 'the cat sat on the mat and looked at the rat. ' * 6
    tokens = (vocabulary := build_vocabulary(text)).encode(text)
    return TextTask(TextModel(vocabulary, 4, 6, 'lstm', layers=2, dropout=0.25), Streams(tokens, 2, 9), tokens[:30])


def sequence_task():
    tasks = pytest.importorskip('rnn_nbdev.tasks', reason='scikit-learn is not installed', exc_type=ImportError)
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(T, 2)).astype(np.float32) for T in rng.integers(2, 9, 22)]
    network = Chain({'deep': stacked(2, 3, 'gru', 2, 2, dropout=0.3, recurrent_dropout=0.3), 'pool': Pool('mean'),
                     'output': Dense(6, 3)})
    return tasks._SequenceTask(network, sequences, rng.integers(3, size=22), tasks._CLASSES, 5, noise=0.1)


def series_task():
    forecast = pytest.importorskip('rnn_nbdev.forecast', reason='scikit-learn is not installed', exc_type=ImportError)
    y, X = np.sin(np.arange(80.)) + np.arange(80.) / 20, np.zeros((80, 0))
    network = Chain({'deep': Recurrent(3, 5, 'lstm', dropout=0.2), 'output': Dense(5, 3)})
    scale = forecast._series_scale(y, X, 6, 3)
    return forecast._SeriesTask(network, y, X, scale, (6,), 12, 3, np.array([0.1, 0.5, 0.9]), 8, 0.1)


REAL = {'text': text_task, 'sequences': sequence_task, 'series': series_task}


@pytest.mark.parametrize('name', REAL)
def test_real_tasks_go_on_bit_for_bit(name, tmp_path):
    "Text, sequences and series, with dropout of both kinds and noise, over the end of a pass through the data"
    options = {**OPTIONS['all'], 'steps': 14, 'stop': None, 'eval_every': 4}
    task, plan = REAL[name](), replace(PLAN, **options)
    whole = run(task, Adam(), plan, tmp_path/'whole')
    for steps in (3, 8, 14):
        checkpoint = tmp_path/'pieces'/'checkpoint.safetensors'
        progress = load_checkpoint(checkpoint)[0] if checkpoint.exists() else None
        last = run(REAL[name](), Adam(), replace(plan, steps=steps), tmp_path/'pieces', progress)
    same(last, whole)
    assert files(tmp_path/'whole') == files(tmp_path/'pieces')


@pytest.mark.parametrize('name', REAL)
def test_a_weight_that_is_not_a_number_is_found_in_its_layer(name):
    "In a network of several layers: the step, the layer and the array, in the order of computation"
    task = REAL[name]()
    progress = begin(task, Adam(), 0)
    for spoiled in (list(progress.parameters)[len(progress.parameters) // 2], list(progress.parameters)[-1]):
        bad = progress.parameters[spoiled].copy(order='K')
        bad[0, 0] = np.nan
        given = replace(progress, parameters={**progress.parameters, spoiled: bad})
        with pytest.raises(FloatingPointError) as caught: train_step(task, Adam(), given, PLAN)
        message = str(caught.value)
        assert message.startswith('step 1: the loss is not finite; first bad array: ')
        assert spoiled in message and f'1 of {bad.size} entries' in message


def test_a_weight_of_the_loop_that_is_not_finite_is_named():
    "A NaN in the weights, an infinity in the optimizer's state: each by its own name"
    progress = begin(Lines(), Adam(), 0)
    spoil = lambda arrays, name, value: {**arrays, name: np.full_like(arrays[name], value)}
    given = replace(progress, parameters=spoil(progress.parameters, 'layer.b', np.nan))
    with pytest.raises(FloatingPointError, match=r'^step 1: the loss is not finite; first bad array: layer.b \(2, 1\)'):
        train_step(Lines(), Adam(), given, PLAN)
    given = replace(progress, optimizer=spoil(progress.optimizer, 's.W', np.inf))
    with pytest.raises(FloatingPointError, match=r'^step 1: the result of the update .*optimizer state s.W \(2, 3\)'):
        train_step(Lines(), Adam(), given, PLAN)
