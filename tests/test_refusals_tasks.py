"Everything but layers and training: whatever makes no sense is refused in one line that names it, before any work."
import importlib
import inspect
import math
import pydoc
import re
from pathlib import Path

import numpy as np
import pytest
from test_refusals import BAD as ANY
from test_refusals import TRUSTED as ELSEWHERE
from test_refusals import done, refused

import rnn_nbdev as book
from rnn_nbdev import data, files, forecast, tasks, text
from rnn_nbdev.forecast import Forecaster
from rnn_nbdev.problems import _REBER
from rnn_nbdev.tasks import SequenceClassifier, SequenceRegressor

RNG = np.random.default_rng


# ------------------------------------------------------------------------------------------------------- estimators

ESTIMATORS = SequenceClassifier, SequenceRegressor, Forecaster


@pytest.mark.parametrize('kind', ESTIMATORS)
def test_an_option_that_there_is_none_of(kind):
    "In the name of the estimator that was asked for, with the names that there are; help knows them, too"
    message = refused(f'{kind.__name__}: got unit, expected some of ', kind, unit=3)
    assert {*message.replace(' ', '').split('someof')[1].split(',')} == {*kind().get_params()}
    assert [*inspect.signature(kind).parameters] == [*inspect.signature(kind.__init__).parameters][1:]
    assert kind(units=5).get_params()['units'] == 5


@pytest.mark.parametrize('kind', ESTIMATORS)
def test_help_of_an_estimator_fits_a_screen(kind):
    for line in pydoc.plain(pydoc.render_doc(kind)).splitlines():
        assert '_SupportsArray' not in line and 'Buffer' not in line, line


@pytest.mark.parametrize('bad', [math.nan, -1, 1.5, True, False, 'x', None, np.ones(2)])
def test_a_calibration_that_is_no_number_of_origins(bad):
    message = refused('calibration: got', Forecaster(calibration=bad).fit, None, np.arange(90.))
    assert '0 for none' in message


@pytest.mark.parametrize('bad', [None, 3, math.nan, object(), 'x', [None], ['x'], [np.ones(3)], [[[1., 2.]]], [],
                                 [np.ones((2, 3)), np.ones((2, 4))], [np.array([['a']])]])
def test_what_cannot_be_packed(bad): refused('sequences', tasks.pack, bad)


MONTHS = np.arange('2020-01', '2022-05', dtype='datetime64[M]')
EVEN = {'hours': np.arange('2024-01-01', '2024-01-03', dtype='datetime64[h]')[:28],
        'days of months': MONTHS.astype('datetime64[D]'), 'months': MONTHS, 'years': np.arange(1700, 1728),
        'fractions': np.arange(28) / 4, 'unsigned': np.arange(28, dtype=np.uint8)}


@pytest.mark.parametrize('name', EVEN)
def test_a_gap_in_time(name, tmp_path):
    "Refused, also between what is known and what comes; months and years may differ, and a file remembers"
    t, y = EVEN[name], np.sin(np.arange(28.))
    f = Forecaster(horizon=2, window=3, units=2, steps=1, members=1)
    for bad in (np.delete(t, 5), np.delete(t, -2), np.delete(t, 1)):
        message = refused('times: got', f.fit, None, y[:27], bad)
        assert 'expected even steps of about' in message and not hasattr(f, 'parameters_')
        refused('times: got', forecast.rolling_origin, f, None, y[:27], 20, times=bad)
    known = f.fit(None, y[:24], t[:24])
    known.save(tmp_path / 'f')
    for f in (known, Forecaster.load(tmp_path / 'f'), known.extended(None, y[24:25], t[24:25])):
        start = 25 if f is not known and f.since_ else 24
        f.extended(None, y[start:], t[start:])
        f.extended(None, y[start:start + 1], t[start:start + 1])
        for bad in (t[start + 1:], t[start + 1:start + 2]): refused('times: got', f.extended, None, y[:len(bad)], bad)
    known.extended(None, y[:4])                                                             # no times, nothing to check


def test_times_in_other_units():
    "Years after days, and days after hours: compared as they are, not cut"
    y, f = np.sin(np.arange(28.)), Forecaster(horizon=2, window=3, units=2, steps=1, members=1)
    f.fit(None, y, EVEN['days of months'])
    f.extended(None, y[:2], np.array(['2022-05', '2022-06'], 'datetime64[M]'))
    refused('times', f.extended, None, y[:2], np.array(['2022-06', '2022-07'], 'datetime64[M]'))
    f.fit(None, y, np.arange(28) / 2)
    f.extended(None, y[:1], [14])
    refused('times', f.extended, None, y[:1], [15])


def test_one_file_is_no_files(tmp_path):
    (tmp_path / 'a.txt').write_text('one and two')
    for read in (data.read_text, text.read_bytes):
        assert ' from 1 file,' in repr(read(tmp_path / 'a.txt'))


# ------------------------------------------------------------------------------------------- one argument at a time

def piece(x, W): return W @ x, (x, W)
def piece_backward(dy, cache): return {'dx': cache[1].T @ dy, 'dW': dy @ cache[0].T}


D, HERE = RNG(0).standard_normal, Path(__file__)
X, XT, A0, DA = D((3, 2, 4)), D((3, 2)), D((5, 2)), D((5, 2, 4))
Z, TARGETS, MASK = D((4, 2, 3)), np.array([[0, 1, 2], [3, 2, 1]]), np.array([[1, 1, 0], [1, 0, 1]])
P_Y, CLASSES, STATE = book.softmax(Z), np.ones((2, 4), int), {'a': A0, 'c': A0}
P = {cell: getattr(book, f'initialize_{cell}')(RNG(0), 3, 5, 4) for cell in ('rnn', 'lstm', 'gru')}
CELL = {name: p for name, p in P['lstm'].items() if name not in ('Wy', 'by')}
CALL = {'cell': 'lstm', 'x': X, 'state': STATE, 'parameters': CELL}
CALL_TAKES = {'lengths': 'none', 'reverse': '*', 'training': '*', 'outputs': '*', 'table': 'none', 'drop': 'none'}
FLAG, NUMBER, NONE = '*', 'nan minus bool', 'none'
V = text.build_vocabulary('hello world ' * 9)
MODEL, TOKENS = text.TextModel(V, 4, 6), V.encode('hello world ' * 9)
W = MODEL.network.init(RNG(0))
SEQUENCES, TWO = [D((4, 2)), D((3, 2)), D((5, 2)), D((4, 2))], np.array([0, 1, 0, 1])
NET = tasks._sequence_network(2, 2, 4)
TASK = tasks._SequenceTask(NET, SEQUENCES, TWO, tasks._CLASSES)
SERIES, ONES, SHARES = np.sin(np.arange(80.)), np.ones((80, 1)), np.array([.1, .5, .9])
SCALE = forecast._series_scale(SERIES, ONES[:, :0], 3, 2)
LIVE = book.live_cell()
DRAWN = 'rng', 'm', 'T'


def of_cell(name: str, states: tuple[str, ...], options: dict) -> dict:
    "The functions of a textbook cell"
    f, given = lambda part: getattr(book, f'{name}_{part}'), {'parameters': P[name]}
    step = f('cell_forward')(XT, *[A0 for _ in states], P[name])[-1]
    run = f('forward')(X, A0, P[name])[-1]
    starts = {f'{s}0': A0 for s in states}
    loss = {'x': X, **starts, **given, 'targets': CLASSES}
    back = {'dc': NONE, 'with_dc0': FLAG} if len(states) > 1 else {}
    return {
        f'{name}_cell_forward': ({'xt': XT, **{f'{s}_prev': A0 for s in states}, **given}, options),
        f'{name}_forward': ({'x': X, 'a0': A0, **given}, {**options, 'c0': NONE}),
        f'{name}_cell_backward': ({**{f'd{s}_next': A0 for s in states}, 'cache': step}, {}),
        f'{name}_backward': ({'da': DA, 'caches': run}, back),
        f'{name}_loss': (loss, {**options, 'mask': NONE}),
        f'{name}_loss_backward': ({'dloss': 1., 'cache': f('loss')(**loss)[1]}, {'dloss': NUMBER})}


# name -> the arguments of a call that works, and what of BAD each takes, too; '*' where nobody looks, -kind: not tried
CALLS = {
    **of_cell('rnn', ('a',), {}), **of_cell('lstm', ('a', 'c'), {}), **of_cell('gru', ('a',), {'reset_after': FLAG}),
    'sigmoid': ({'x': Z}, {'x': 'array nan minus bool empty'}), 'softmax': ({'x': Z}, {'x': 'array'}),
    'logsumexp': ({'x': Z}, {'x': 'array'}), 'log_softmax': ({'x': Z}, {'x': 'array'}),
    'new_sequence': ({'n': 3, 'm': 2, 'T_x': 4}, {'dtype': '*'}),
    'check_gradients': (
        {'forward': piece, 'backward': piece_backward, 'inputs': {'x': XT, 'W': D((2, 3))}},
        {'complex_tolerance': NONE, 'max_entries': NONE, 'rng': NONE}),
    'cross_entropy': ({'z': Z, 'targets': TARGETS, 'mask': MASK}, {'mask': NONE}),
    'cross_entropy_from_probabilities': ({'y_pred': P_Y, 'targets': TARGETS, 'mask': MASK}, {'mask': NONE}),
    'scores_gradient': ({'y_pred': P_Y, 'targets': TARGETS, 'mask': MASK}, {'mask': NONE}),
    'squared_error': ({'y_pred': Z, 'y': Z, 'mask': MASK}, {'mask': NONE}),
    'cross_entropy_backward': ({'dloss': 1., 'cache': book.cross_entropy(Z, TARGETS)[1]}, {'dloss': NUMBER}),
    'cross_entropy_from_probabilities_backward': (
        {'dloss': 1., 'cache': book.cross_entropy_from_probabilities(P_Y, TARGETS)[1]}, {'dloss': NUMBER}),
    'squared_error_backward': ({'dloss': 1., 'cache': book.squared_error(Z, Z)[1]}, {'dloss': NUMBER}),
    'glorot': ({'rng': RNG(0), 'n_out': 2, 'n_in': 3}, {}), 'orthogonal': ({'rng': RNG(0), 'n': 2}, {}),
    'initialize_rnn': ({'rng': RNG(0), 'n_x': 2, 'n_a': 3}, {'n_y': NONE}),
    'initialize_lstm': ({'rng': RNG(0), 'n_x': 2, 'n_a': 3}, {'n_y': NONE, 'forget_bias': 'minus bool'}),
    'initialize_gru': ({'rng': RNG(0), 'n_x': 2, 'n_a': 3}, {'n_y': NONE, 'reset_after': FLAG}),
    'affine_forward': ({'a': A0, 'W': D((4, 5)), 'b': D((4, 1))}, {}),
    'affine_backward': ({'dz': D((4, 2)), 'cache': book.affine_forward(A0, D((4, 5)), D((4, 1)))[1]}, {}),
    'output_loss': ({'a': D((5, 2, 3)), 'W': D((4, 5)), 'b': D((4, 1)), 'targets': TARGETS}, {'mask': NONE}),
    'check_engine': ({'name': 'numpy'}, {'source': '*'}), 'use_engine': ({'name': None}, {'name': NONE}),
    **{f'{engine}_forward': (CALL, CALL_TAKES) for engine in ('recurrent', 'numpy', 'textbook')},
    'recurrent_backward': (
        {'da': DA, 'dstate': STATE, 'cache': book.recurrent_forward(**CALL)[2]},
        {'da': NONE, 'dstate': NONE, 'inputs': FLAG}),
    'Stream': ({'cell': 'lstm', 'parameters': CELL, 'state': STATE}, {}),
    # pictures
    'color_text': ({'text': 'abc', 'values': np.zeros(3)}, {}),
    'plot_gates': ({'gates': {'f': P_Y[0]}}, {'labels': NONE, 'title': '*'}),
    'plot_curves': (
        {'x': np.arange(3.), 'curves': {'a': np.arange(3.)}, 'xlabel': 'x', 'ylabel': 'y'},
        {'xlabel': '*', 'ylabel': '*', 'title': '*', 'logx': FLAG, 'logy': FLAG, 'marks': NONE}),
    'plot_gradient_flow': ({'norms': {'a': np.arange(1., 4)}}, {}),
    'plot_history': ({'history': [{'step': 1, 'loss': 1.}]}, {'title': '*', 'unit': 'text'}),
    'memory_order': ({'x': X}, {'x': 'array'}), 'plot_memory': ({'x': X}, {}),
    'draw_unrolled': ({'x': X, 'a': DA, 'y_pred': None}, {'y_pred': NONE, 'a0': NONE}),
    **{f'draw_{name}_cell': ({'cache': getattr(book, f'{name}_cell_forward')(XT, A0, *more, P[name])[-1]}, {})
       for name, more in (('rnn', ()), ('lstm', (A0,)), ('gru', ()))},
    'value_colors': ({'values': np.ones(3)}, {'gate': FLAG, 'values': 'array nan minus bool empty'}),
    'new_picture': ({}, {'width': 'bool', 'height': 'bool'}),
    'live_cell': ({}, {'parameters': NONE, 'x': NONE, 'a0': NONE, 'c0': NONE}),
    'run_moved': ({'live': LIVE}, {'moves': NONE, 'pushed': FLAG}), 'all_moves': ({'live': LIVE}, {'moves': NONE}),
    # data
    'read_text': ({'path': HERE}, {'pattern': 'text'}), 'read_bytes': ({'path': HERE}, {'pattern': 'text'}),
    'read_files': ({'paths': [HERE]}, {'paths': 'empty'}), 'split_text': ({'text': 'abc' * 10}, {}),
    'data_set': ({'name': 'sunspots'}, {}), 'read_data_set': ({'name': 'sunspots'}, {'folder': NONE}),
    'japanese_vowels': ({'part': 'train'}, {}), 'temperatures': ({}, {}), 'census_names': ({}, {}),
    **{name: (dict(zip(DRAWN, (RNG(0), 2, 30), strict=True)), {}) for name in (
        'adding_problem', 'adding_problem_1997', 'multiplication_problem', 'copying_problem', 'temporal_order_problem',
        'parity_problem')},
    'grammar_problem': ({'rng': RNG(0), 'm': 2}, {}), 'grammar_string': ({'rng': RNG(0)}, {}),
    'grammar_losses': ({}, {}), 'grammar_accepts': ({'text': 'BTXSE'}, {'text': 'text'}),
    'embed': ({'grammar': _REBER}, {}),
    'one_hot_sequence': ({'symbols': TARGETS, 'n': 4}, {}),
    # text
    'build_vocabulary': ({'text': 'hello' * 9}, {'text': 'text'}), 'Vocabulary': ({'characters': V.characters}, {}),
    'ByteVocabulary': ({}, {}), 'Streams': ({'tokens': TOKENS, 'm': 2, 'T': 5}, {}),
    'fitting_streams': ({'tokens': TOKENS, 'm': 2, 'T': 5}, {}), 'TextModel': ({'vocabulary': V}, {}),
    'check_weights': ({'model': MODEL, 'parameters': W}, {}),
    'TextTask': (
        {'model': MODEL, 'streams': text.Streams(TOKENS, 2, 5), 'held_out': TOKENS[:20]}, {'held_out': 'empty'}),
    'surprises': ({'model': MODEL, 'parameters': W, 'tokens': TOKENS, 'm': 2, 'T': 4}, {'temperature': '-array'}),
    'evaluate': (
        {'model': MODEL, 'parameters': W, 'tokens': TOKENS, 'm': 2, 'T': 4}, {'most': NONE, 'temperature': '-array'}),
    'bits': ({'loss': 1.}, {'loss': NUMBER}),
    'choice_probabilities': (
        {'z': D(5)}, {'top_k': NONE, 'top_p': 'none -array', 'temperature': '-array'}),
    'choose': (
        {'z': D(5), 'temperature': 1., 'top_k': None, 'top_p': None, 'rng': RNG(0)},
        {'top_k': NONE, 'top_p': 'none -array', 'temperature': '-array'}),
    'write': (
        {'model': MODEL, 'parameters': W, 'length': 3, 'prompt': 'hello'},
        {'rng': NONE, 'top_k': NONE, 'top_p': 'none -array', 'temperature': '-array', 'stop': '-empty'}),
    'beam_search': (
        {'model': MODEL, 'parameters': W, 'length': 3, 'prompt': 'hello'}, {'alpha': '-array', 'stop': '-empty'}),
    # tasks
    'pack': ({'sequences': SEQUENCES}, {'dtype': '*'}),
    'scale_of': ({'steps': D((5, 2))}, {'weights': '*'}),
    'sequence_network': ({'n_x': 2, 'n_y': 3}, {}),
    'SequenceTask': (
        {'network': NET, 'sequences': SEQUENCES, 'targets': TWO, 'loss': tasks._CLASSES},
        {'weights': NONE, 'targets': 'array', 'noise': 'bool -bool'}),
    'scores_of': ({'network': NET, 'parameters': NET.init(RNG(0)), 'sequences': SEQUENCES}, {}),
    'weighted_loss': ({'loss': tasks._CLASSES, 'z': D((4, 2)), 'targets': TWO[:2]}, {'weights': NONE}),
    'up_and_down': ({'rate': 1., 'steps': 5}, {'rate': '-array'}),
    'train_network': (
        {'task': TASK, 'epochs': 1, 'learning_rate': .1, 'weight_decay': 0., 'seed': 0},
        {'report': NONE, 'watch': NONE, 'learning_rate': '-array', 'weight_decay': '-array', 'seed': '-array'}),
    'set_aside': ({'targets': TWO, 'fraction': .5, 'rng': RNG(0)}, {}),
    'split_task': ({'task': TASK, 'fraction': .5, 'rng': RNG(0)}, {}),
    'as_sequences': ({'X': SEQUENCES}, {'n_x': NONE}), 'Watch': ({'held_out': TASK, 'patience': 2}, {}),
    'seasonal_naive': ({'y': SERIES, 'season': 3, 'steps': 2}, {}),
    'weighted_sum': ({'y': SERIES, 'X': ONES, 'season': 3, 'window': 2}, {}),
    'lags_of': ({'season': 3, 'window': 2}, {}), 'ridge': ({'A': D((9, 2)), 'b': D(9)}, {}),
    'quantile_loss': ({'y_pred': D((3, 4)), 'y': D(4), 'quantiles': SHARES}, {}),
    'quantile_loss_backward': (
        {'dloss': 1., 'cache': forecast.quantile_loss(D((3, 4)), D(4), SHARES)[1]}, {'dloss': NUMBER}),
    'naive_errors': ({'y': SERIES, 'season': 3, 'horizon': 2}, {}),
    'series_scale': ({'y': SERIES, 'X': ONES, 'season': 3, 'horizon': 2}, {}),
    'stretch': ({'y': np.ones((5, 1)), 'X': np.ones((4, 1, 0)), 'season': 3, 'scale': SCALE}, {'dtype': '*'}),
    'stretches_at': (
        {'y': SERIES, 'X': ONES, 'known': np.array([20]), 'season': 3, 'window': 2, 'horizon': 2}, {}),
    'skill': ({'error': 1., 'baseline': 2.}, {}),
    'quantile_ranks': ({'shares': SHARES, 'n': 20}, {'shares': 'array empty'}),
    'quantile_shifts': ({'errors': D((3, 20, 2)), 'shares': SHARES}, {}),
    'moved_quantiles': ({'quantiles': D((3, 4)), 'shifts': D((3, 2)), 'shares': SHARES}, {}),
    'rolling_origin': (
        {'forecaster': Forecaster(2, window=3, units=2, steps=1, members=1), 'X': None, 'y': SERIES, 'first': 70},
        {'X': NONE, 'times': NONE, 'refit': FLAG}),
    'check_times': ({'times': np.arange(5), 'T': 5}, {'times': NONE, 'T': '*', 'after': '*', 'step': '*'}),
}
# What an argument is called where it has another name: that of the command line, or of what it becomes
CALLED = {'engine': 'name', 'run': 'path', 'text': 'path tokens', 'held_out': 'share', 'data set': 'name',
          'data set sunspots': 'folder', 'vocabulary': 'characters', 'batch': 'm', 'stretch': 'T', 'tokens': 'held_out',
          'scores': 'z', 'n_a': 'units', 'n_out': 'n_y', 'mask': 'weights', 'rate': 'learning_rate', 'steps': 'X',
          'validation_fraction': 'fraction targets', 'targets': 'sequences', 'x': 'table'}
BAD = {**ANY, 'empty': np.zeros(0)}


def blamed(message: str, argument: str, others: list[str], kind: str) -> bool:
    "Whether a message names the argument; of two that don't fit each other either may be at fault"
    start = message.split(':')[0]
    named = lambda name: re.search(rf'\b{name}\b', start) is not None
    return named(argument) or argument in CALLED.get(start, '').split() or (
        kind not in ('none', 'text', 'thing') and any(map(named, others)))


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('name', CALLS)
def test_one_argument_at_a_time(name, tmp_path, monkeypatch):
    "None, text, an object, arrays of another shape or none, NaN, -1, True: refused by name, before any work, or taken"
    monkeypatch.chdir(tmp_path)
    function, (given, taken) = getattr(book, name), CALLS[name]
    asked = {k: p for k, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD}
    whole = {key: p.default for key, p in asked.items() if p.default is not p.empty} | given
    assert whole.keys() == asked.keys()
    done(function, whole)
    for argument in whole:
        if taken.get(argument) == '*': continue
        for kind, bad in BAD.items():
            if f'-{kind}' in taken.get(argument, '').split(): continue
            if kind in taken.get(argument, '').split(): done(function, {**whole, argument: bad}); continue
            try: message = refused('', lambda **more: done(function, more), **{**whole, argument: bad})
            except FileNotFoundError: continue
            assert blamed(message, argument, [*whole], kind), f'{argument}={kind}: {message}'
    assert not [*tmp_path.iterdir()], 'something was written'


# ------------------------------------------------------------------------------------- options and data of estimators

SHORT = {'epochs': 1, 'members': 1, 'units': 2}
GOOD = {'SequenceClassifier': (SequenceClassifier, SHORT, D((6, 4, 2)), np.array([0, 1] * 3)),
        'SequenceRegressor': (SequenceRegressor, SHORT, D((6, 4, 2)), D(6)),
        'Forecaster': (Forecaster, {'horizon': 2, 'window': 3, 'units': 2, 'steps': 1, 'members': 1}, D((40, 1)),
                       D(40))}


@pytest.mark.parametrize('name', GOOD)
def test_one_option_at_a_time(name):
    "Refused by fit, before any work, whatever the option; and what was fitted before is no longer there"
    kind, options, X, y = GOOD[name]
    free = {'random_state': 'none', 'verbose': '*', 'class_weight': 'none', 'quantiles': '-nan',
            'noise': '-array', 'weight_decay': '-array', 'learning_rate': '-array', 'dropout': '-array'}
    estimator = kind(**options).fit(X, y)
    for option in estimator.get_params():
        taken = free.get(option, '').split()
        for how, bad in BAD.items():
            if '*' in taken or f'-{how}' in taken or how in taken: continue
            if option == 'random_state' and how == 'bool': continue                   # True is the whole number 1
            wrong = kind(**{**options, option: bad})
            assert re.search(rf'\b{option}\b', refused('', wrong.fit, X, y).split(':')[0]), (option, how)
            assert not hasattr(wrong, 'parameters_')


@pytest.mark.parametrize('name', GOOD)
def test_data_that_no_estimator_takes(name):
    kind, options, X, y = GOOD[name]
    fitted = kind(**options).fit(X, y)
    few = X[:2]
    for how, bad in {**BAD, 'dictionary': {'a': X}, 'missing': np.where(X > 1, np.nan, X), 'text in it': X.astype(str),
                     'complex': X * 1j, 'iterator': iter(X), 'infinite': X + np.inf}.items():
        if kind is Forecaster and how == 'none': continue                              # no covariates
        for call in (lambda bad=bad: kind(**options).fit(bad, y), lambda bad=bad: fitted.predict(bad),
                     lambda bad=bad: fitted.score(bad, y[:2])):
            with pytest.raises((TypeError, ValueError)) as caught: call()
            assert re.search(r'\bX\b|[Cc]omplex|2D array', str(caught.value)), (how, str(caught.value))
    for how, bad in {'nothing': None, 'short': y[1:], 'empty': y[:0], 'missing': np.where(y == y[0], np.nan, y),
                     'mixed': ['a', *y[1:].tolist()], 'complex': y * 1j}.items():
        message = refused('', kind(**options).fit, X, bad)
        assert re.search(r'\by\b', message) or (how == 'short' and message.startswith('X: got 40 rows')), (how, message)
    for bad in BAD.values():
        with pytest.raises((TypeError, ValueError)): kind(**options).fit(X, bad)
    np.testing.assert_array_equal(fitted.predict(few), fitted.predict(few.copy()))


@pytest.mark.parametrize('bad', [None, 3, object(), b'x', math.nan])
def test_what_is_no_path(bad):
    fitted = Forecaster(horizon=2, window=3, units=2, steps=1, members=1).fit(None, SERIES)
    for call in (lambda: files.write_whole(bad, b''), lambda: files.load_arrays(bad, 'k'), lambda: fitted.save(bad),
                 lambda: Forecaster.load(bad), lambda: text.save_model(bad, MODEL, W)):
        refused('path: got', call)
    refused('run: got', text.load_model, bad)


# ------------------------------------------------------------------------------------------- nothing was forgotten

# Not in CALLS, and why. Of whole chapters: what is inside gets what the one door has looked at.
INSIDE = {'kernels': 'check_call, stream_call', 'jit': 'check_call, stream_call', 'fused': 'worth_compiled',
          'bench': 'rnn_bench: test_bench.py', 'cli': 'the commands, as processes: test_cli.py'}
TRUSTED = {
    # formulas of arrays: NumPy says what is wrong; what an error says of a value
    'numerics': 'as_floating floating_dtype in_short log_softmax_backward logsumexp_backward sigmoid_backward '
                'softmax_backward tanh_backward whole_as',
    # the parts of check_gradients; assert_close raises AssertionError, whatever comes
    'gradcheck': 'GradientReport GradientRow assert_close central_difference complex_step differentiable error_of '
                 'find_gradient leaves named_gradients pick_entries relative_error replaced resolution run_piece',
    'losses': 'target_weights', 'init': 'output_layer stacked_weights',     # by the losses; by initialize_...
    # the strokes of a drawing: by the pictures that are in CALLS
    'viz': 'ColoredText GATE_COLORS Picture Place Point STATE_COLORS clashes contrast draw_area draw_box draw_fork '
           'draw_node draw_strip draw_text draw_wire drawn_values new_board redraw_strip same_values value_text '
           'visible',
    # the parts of the passes that are in CALLS
    'rnn': 'as_columns output_loss_backward output_shapes rnn_shapes',
    'lstm': 'gradient_flow stacked_backward stacked_shapes',
    'gru': 'candidate_after_backward candidate_before_backward gru_shapes',
    # no arguments; engine_of by check_engine; the output layer of a network, by its layers
    'recurrent': 'engine engine_of has_numba load_jit one_blas_thread passes',
    # by the output layer of a network and by its loss, in both of which a's own layer has been; by an optimizer
    'outputs': 'back_by_scores fused_for load_fused loss_backward loss_forward output_backward output_forward',
    # of a live cell that live_cell has made; explore hands all that it gets to live_cell and all_moves
    'explorer': 'LiveCell LiveDiagram MovedRun diagram_values explore explore_frame explore_frames inside_values '
                'live_pictures move_words pixels_of push_left push_words quick_png',
    # no arguments; records; a file's contents by read_files: test_data.py
    'data': 'DataSet Text as_path counted_files decode mixed_order seattle_weather standard_library '
            'standard_library_files sunspots',
    # by the task; files above
    'text': 'Bytes code_points described load_model named_arrays new_pass next_carry save_model state_in '
            'stretch_gradients',
    # the parts of write and beam_search, which look at everything before the first token
    'decoding': 'Hypothesis allowed begun best_of continued decoded grow next_scores prompt_tokens until write_tokens',
    # the estimators have tests of their own, above; the rest are their parts
    'tasks': 'Batch Batches Loss Member NetworkTask Saved Scale SequenceClassifier SequenceEstimator SequenceOptions '
             'SequenceRegressor as_list as_sequence class_weights classifier_task forget from_lists generator_of '
             'learn_sequences list_depth load_estimator option_from options_known part_of_task parts_of plain_option '
             'product_of regressor_task restore_sequences save_estimator sequence_record sequence_task take_weights '
             'that_count train_member training_steps',
    'forecast': 'Forecast ForecastFile ForecastOptions Forecaster KnownSeries RollingOrigin SeriesScale SeriesTask '
                'Stretches WeightedSum as_series calibration_distances changes_of compared corrected_quantiles '
                'errors_at forecast_network forecast_record in_words learn_series past_errors quantiles_ahead '
                'rehearsed restore_forecast split_series sum_terms toward_sum train_forecast train_series usual_step'}


@pytest.mark.parametrize('module', TRUSTED)
def test_no_public_name_was_forgotten(module):
    loaded = importlib.import_module(f'rnn_nbdev.{module}')
    public = {name for name in loaded.__all__ if callable(getattr(loaded, name)) and not name.startswith('check_')}
    assert public - CALLS.keys() == {*TRUSTED[module].split()}


def test_no_chapter_was_forgotten():
    chapters = {path.stem for path in Path(book.__file__).parent.glob('*.py') if not path.stem.startswith('_')}
    assert chapters == TRUSTED.keys() | INSIDE.keys() | ELSEWHERE.keys()
    assert not TRUSTED.keys() & ELSEWHERE.keys()
