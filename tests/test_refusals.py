"""What a function of the door declares, it refuses: tests made from the declarations themselves.

For each name of the door `CALLS` has one call that works. Each declared argument is then replaced by values that the
declaration excludes; each must be refused in one line that begins with its name, before anything is written."""
import inspect
import math
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rnn_nbdev as book
from rnn_nbdev import checks, text

RNG = np.random.default_rng
D, KEPT = RNG(0).standard_normal, tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
HERE = Path(KEPT.name)


def refused(names: str, call, *args, **kwargs) -> str:
    "The message with which a call is refused: one line that begins with one of `names`"
    with pytest.raises((ValueError, TypeError)) as caught: call(*args, **kwargs)
    message = str(caught.value)
    assert '\n' not in message and len(message) < 500, message
    assert re.match(rf'(\w+\.)*({"|".join(names.split())})\b', message), f'{message!r} does not begin with {names}'
    return message


# ------------------------------------------------------------------------------------------------- calls that work

class Task:
    unit = 'point'
    def begin(self, rng): return {'w': np.zeros(2)}, {'k': np.zeros(1)}
    def gradients(self, parameters, carry, rng): return 1.0, {'w': np.ones(2)}, carry, 3
    def validation_loss(self, parameters): return 1.0
    def arrays(self, parameters, carry): yield from parameters.items()


def piece(x, W): return W @ x, (x, W)
def piece_backward(dy, cache): return {'dx': cache[1].T @ dy, 'dW': dy @ cache[0].T}


X, XT, A0, DA, Z = D((3, 2, 4)), D((3, 2)), D((5, 2)), D((5, 2, 4)), D((4, 2, 3))
TARGETS, MASK, CLASSES = np.array([[0, 1, 2], [3, 2, 1]]), np.array([[1, 1, 0], [1, 0, 1]]), np.ones((2, 4), int)
P = {cell: getattr(book, f'initialize_{cell}')(RNG(0), 3, 5, 4) for cell in ('rnn', 'lstm', 'gru')}
CELL = {name: p for name, p in P['lstm'].items() if name not in ('Wy', 'by')}
CALL = {'cell': 'lstm', 'x': X, 'state': {'a': A0, 'c': A0}, 'parameters': CELL}
W, ONE, RATES = {'W': np.ones((2, 3)), 'b': np.ones(2)}, np.ones(3), np.array([.1, .2, .3])
D_W, (V, S) = {f'd{n}': p for n, p in W.items()}, book.initialize_adam(W)
PLAN = {'steps': 4, 'learning_rate': book.constant_rate(0.1)}
START = book.begin(Task(), book.Adam(), 0)
RUN = {'task': Task(), 'optimizer': book.Adam(), 'progress': START, 'plan': book.TrainingPlan(**PLAN)}
VOCABULARY = book.build_vocabulary('hello world ' * 9)
MODEL, TOKENS = book.TextModel(VOCABULARY, 4, 6), VOCABULARY.encode('hello world ' * 9)
WEIGHTS = {'model': MODEL, 'parameters': MODEL.network.init(RNG(0))}
SERIES, SHARES, R3 = np.sin(np.arange(80.)), np.array([.1, .5, .9]), book.Recurrent(3, 3)
LONG = pd.DataFrame({'i': [0, 0, 1], 't': [0, 1, 0], 'y': [1., 2., 3.]})
IN_R3 = {'layer': R3, 'parameters': R3.init(RNG(0), np.float64), 'x': X}
book.save_arrays(HERE/'arrays', {'a': ONE}, {}, 'k')
(HERE/'run').mkdir()
book.fit(**RUN | {'plan': book.TrainingPlan(**PLAN, keep_best=1, eval_every=1)}, folder=HERE/'run', bar=False)
book.save_model(HERE/'model', *WEIGHTS.values())


def of_cell(name: str, states: tuple[str, ...]) -> dict:
    "The functions of a textbook cell"
    f, given = lambda part: getattr(book, f'{name}_{part}'), {'parameters': P[name]}
    loss = {'x': X, **{f'{s}0': A0 for s in states}, **given, 'targets': CLASSES}
    return {
        f'{name}_cell_forward': {'xt': XT, **{f'{s}_prev': A0 for s in states}, **given},
        f'{name}_forward': {'x': X, 'a0': A0, **given}, f'{name}_loss': loss,
        f'{name}_cell_backward': {**{f'd{s}_next': A0 for s in states},
                                  'cache': f('cell_forward')(XT, *[A0 for _ in states], P[name])[-1]},
        f'{name}_backward': {'da': DA, 'caches': f('forward')(X, A0, P[name])[-1]},
        f'{name}_loss_backward': {'dloss': 1., 'cache': f('loss')(**loss)[1]}}


drawn = {'rng': RNG(0), 'm': 2, 'T': 30}
CALLS = {
    **of_cell('rnn', ('a',)), **of_cell('lstm', ('a', 'c')), **of_cell('gru', ('a',)),
    **{name: {'x': Z} for name in ('sigmoid', 'softmax', 'logsumexp', 'log_softmax')},
    'new_sequence': {'n': 3, 'm': 2, 'T_x': 4},
    'affine_forward': {'a': A0, 'W': D((4, 5)), 'b': D((4, 1))},
    'affine_backward': {'dz': D((4, 2)), 'cache': book.affine_forward(A0, D((4, 5)), D((4, 1)))[1]},
    'cross_entropy': {'z': Z, 'targets': TARGETS, 'mask': MASK},
    'cross_entropy_backward': {'dloss': 1., 'cache': book.cross_entropy(Z, TARGETS)[1]},
    'squared_error': {'y_pred': Z, 'y': Z, 'mask': MASK},
    'squared_error_backward': {'dloss': 1., 'cache': book.squared_error(Z, Z)[1]},
    'quantile_loss': {'y_pred': D((3, 4)), 'y': D(4), 'quantiles': SHARES},
    'quantile_loss_backward': {'dloss': 1., 'cache': book.quantile_loss(D((3, 4)), D(4), SHARES)[1]},
    'glorot': {'rng': RNG(0), 'n_out': 2, 'n_in': 3}, 'orthogonal': {'rng': RNG(0), 'n': 2},
    **{f'initialize_{cell}': {'rng': RNG(0), 'n_x': 2, 'n_a': 3} for cell in ('rnn', 'lstm', 'gru')},
    'check_gradients': {'forward': piece, 'backward': piece_backward, 'inputs': {'x': XT, 'W': D((2, 3))}},
    'check_layer': {'layer': book.Dense(3, 3), 'x': X, 'rng': RNG(0)},
    'gradient_flow': {'cell_backward': book.rnn_cell_backward, 'caches': book.rnn_forward(X, A0, P['rnn'])[-1]},
    # layers, networks, engines
    'Pass': {}, 'Embedding': {'n_tokens': 5, 'n_out': 3}, 'Dense': {'n_in': 5, 'n_out': 3}, 'Pool': {}, 'Dropout': {},
    'Recurrent': {'n_x': 5, 'n_a': 3, 'cell': 'gru'}, 'Bidirectional': {'layer': R3}, 'Residual': {'layer': R3},
    'Chain': {'layers': {'a': R3}},
    'Convolution': {'n_in': 3, 'n_out': 2, 'width': 2},
    'Shortened': {'front': book.Convolution(3, 3, 2), 'above': R3},
    'stacked': {'n_x': 3, 'n_a': 3, 'cell': 'gru'}, 'summary': {'layer': R3},
    'outputs_by_name': IN_R3, 'trace': IN_R3, 'recurrent_forward': CALL,
    'recurrent_backward': {'da': DA, 'dstate': None, 'cache': book.recurrent_forward(**CALL)[2]},
    'Stream': {key: CALL[key] for key in ('cell', 'parameters', 'state')},
    'use_engine': {'name': None}, 'engine_of': {'name': 'numpy'},
    # training
    'initialize_adam': {'parameters': W},
    'update_parameters_with_adam': {'parameters': W, 'grads': D_W, 'v': V, 's': S, 't': 1},
    'Adam': {}, 'SGD': {}, 'RMSProp': {}, 'WeightAverage': {},
    'averaged_parameters': {'state': (mean := book.WeightAverage()).update(W, mean.init(W))},
    'global_norm': {'gradients': W}, 'clip_by_global_norm': {'gradients': W, 'max_norm': 1.},
    'clip_by_value': {'gradients': W, 'max_value': 1.},
    'constant_rate': {'rate': .1}, 'halving_rate': {'rate': .1, 'half_life': 5}, 'step_rate': {'rate': .1, 'every': 5},
    'cosine_rate': {'rate': .1, 'steps': 5}, 'one_cycle': {'rate': .1, 'steps': 50},
    'warm_up': {'steps': 5, 'then': abs}, 'in_turn': {'first': abs, 'steps': 5, 'then': abs}, 'Patience': {},
    'begin': {'task': Task(), 'optimizer': book.Adam(), 'seed': 0}, 'train_step': RUN, 'TrainingPlan': PLAN,
    'Progress': {part: getattr(START, part) for part in START.__dataclass_fields__},
    'validate': {key: RUN[key] for key in ('task', 'progress', 'plan')},
    'fit': RUN | {'folder': HERE/'run', 'bar': False},
    'save_checkpoint': {'path': HERE/'file', 'progress': START, 'settings': {}},
    'load_checkpoint': {'path': HERE/'run'/'checkpoint.safetensors'}, 'best_checkpoints': {'folder': HERE/'run'},
    'read_history': {'path': HERE/'run'/'history.jsonl'},
    'save_arrays': {'path': HERE/'file', 'arrays': {'a': ONE}, 'about': {}, 'kind': 'k'},
    'load_arrays': {'path': HERE/'arrays', 'kind': 'k'},
    'find_learning_rate': {'task': Task(), 'optimizer': book.Adam(), 'steps': 3},
    'suggested_rate': {'rates': RATES, 'losses': ONE}, 'plot_learning_rates': {'rates': RATES, 'losses': ONE},
    'live_history': {}, 'batches_by_length': {'lengths': [1, 2, 3], 'batch_size': 2, 'rng': RNG(0)},
    'padding_share': {'lengths': [1, 2, 3], 'batches': [[0, 1], [2]]},
    # data, problems, text
    'read_text': {'path': Path(__file__)}, 'split_text': {'text': 'abc' * 10}, 'japanese_vowels': {'part': 'train'},
    'temperatures': {},
    'census_names': {}, 'seattle_weather': {}, 'sunspots': {},
    **{name: drawn for name in (
        'adding_problem', 'adding_problem_1997', 'multiplication_problem', 'copying_problem', 'temporal_order_problem',
        'parity_problem')},
    'grammar_problem': {'rng': RNG(0), 'm': 2}, 'grammar_string': {'rng': RNG(0)}, 'grammar_losses': {},
    'grammar_accepts': {'text': 'BTXSE'}, 'read_bytes': {'path': Path(__file__)},
    'build_vocabulary': {'text': 'hello' * 9}, 'Vocabulary': {'characters': VOCABULARY.characters},
    'ByteVocabulary': {},
    'Streams': {'tokens': TOKENS, 'm': 2, 'T': 5}, 'fitting_streams': {'tokens': TOKENS, 'm': 2, 'T': 5},
    'TextModel': {'vocabulary': VOCABULARY},
    'TextTask': {'model': MODEL, 'streams': text.Streams(TOKENS, 2, 5), 'held_out': TOKENS[:20]},
    'surprises': WEIGHTS | {'tokens': TOKENS, 'm': 2, 'T': 4}, 'evaluate': WEIGHTS | {'tokens': TOKENS, 'm': 2, 'T': 4},
    'bits': {'loss': 1.}, 'save_model': {'path': HERE/'file', **WEIGHTS}, 'load_model': {'path': HERE/'model'},
    'choice_probabilities': {'z': D(5)},
    'choose': {'z': D(5), 'temperature': 1., 'top_k': None, 'top_p': None, 'rng': RNG(0)},
    'write': WEIGHTS | {'length': 3, 'prompt': 'hello'}, 'beam_search': WEIGHTS | {'length': 3, 'prompt': 'hello'},
    # estimators and plots
    'pack': {'sequences': [D((4, 2)), D((3, 2))]}, 'seasonal_naive': {'y': SERIES, 'season': 3, 'steps': 2},
    'rolling_origin': {'forecaster': book.Forecaster(2, 6, 3, units=2, steps=1, members=1), 'X': None, 'y': SERIES,
                       'first': 70},
    'series_from': {'frame': LONG, 'id': 'i', 'time': 't', 'y': 'y'}, 'skill': {'error': 1., 'baseline': 2.},
    'color_text': {'text': 'abc', 'values': np.zeros(3)}, 'plot_gates': {'gates': {'f': np.zeros((2, 3))}},
    'plot_curves': {'x': np.arange(3.), 'curves': {'a': np.arange(3.)}, 'xlabel': 'x', 'ylabel': 'y'},
    'plot_gradient_flow': {'norms': {'a': np.arange(1., 4)}}, 'plot_memory': {'x': X},
    'plot_history': {'history': [{'step': 1, 'loss': 1.}]}, 'new_picture': {},
    'draw_unrolled': {'x': X, 'a': DA, 'y_pred': None},
    **{f'draw_{name}_cell': {'cache': getattr(book, f'{name}_cell_forward')(XT, A0, *more, P[name])[-1]}
       for name, more in (('rnn', ()), ('lstm', (A0,)), ('gru', ()))},
    'explore': {'frames': [{}]},
}
# Names of the door that declare nothing, and why
UNDECLARED = {
    'no arguments': 'engine has_numba standard_library',
    'a contract, or a result that the package makes itself': 'Layer Task GradientReport Picture',
    'called at each entry; whatever they are given, NumPy or the comparison says what is wrong':
        'assert_close central_difference complex_step',
    'checked by fit, as scikit-learn asks: test_tasks.py, test_forecast.py':
        'SequenceClassifier SequenceRegressor SequenceLabeler StepRegressor Forecaster',
    'a data frame, of a library that may not be there: test_tasks.py': 'sequences_from',
    'by the command line: test_bench.py': 'run_bench'}
# Names that look at their argument themselves, or hand it on to one that declares it: what each refuses
BY_HAND = {'use_engine': ('name', 'torch', 3), 'engine_of': ('name', None, 'torch'),
           'census_names': ('kinds', None, ['x']),
           'load_checkpoint': ('path', None, 3.5), 'plot_learning_rates': ('losses', None, np.ones((2, 2)))}


# ------------------------------------------------------------------------------------------- what is no valid value

ANYTHING = (None, 'x', object(), np.ones((1, 2, 3, 4)), math.nan, -1, True)


def wrong(spec) -> list:
    "Values that a declaration excludes, told from its data alone"
    match spec:
        case checks.Optional(): return [value for value in wrong(spec.spec) if value is not None]
        case checks.Floats(): return [None, 'abc', {'x': 1}, object()]
        case checks.Shape():
            ones = (1,) * len(spec.terms)
            more = [] if spec.rest else [np.ones((*ones, 1))]
            return [None, 'abc', [1.0], 1.0, object(), np.ones(ones).astype(str), *more]
        case checks.Shapes(): return [None, 'abc', 1.0, []] + [{}] * any(not other for _, other, *_ in spec.parts)
        case checks.Cache(): return [None, 'abc', (), [], 1.0]
        case checks.Number():
            step = 1 if isinstance(spec, checks.Integer) else 0.125
            ends = [spec.least - step] if spec.least > -math.inf else []
            ends += [spec.above] if spec.above is not None else []
            ends += [spec.below] if spec.below < math.inf or spec.most != math.inf else []
            ends += [spec.most + step] if spec.most not in (None, math.inf) else []
            return [None, 'x', object(), np.ones((1, 2, 3, 4)), math.nan, True, 1j, *ends] + [0.5] * (step == 1)
        case checks.Word(): return [None, 'no such word', object(), 3.5]
        case checks.Kind(): return [value for value in ANYTHING if not isinstance(value, spec.kind)]
        case checks.Methods(): return [None, 'x', object(), 3.5, type('Some', (), {})]
    return [object()]          # a declaration of a chapter's own: whatever it accepts, not this


def declared() -> list[tuple[str, str]]:
    "(name of the door, argument) for all that is declared"
    return [(name, argument) for name in CALLS for argument in getattr(getattr(book, name), '__fits__', {})]


def finished(function, given: dict):
    "The whole of a call, to the end of an iterator"
    result = function(**given)
    return [*result] if inspect.isgenerator(result) else result


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('name, argument', declared(), ids=str)
def test_what_a_declaration_excludes_is_refused(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function = getattr(book, name)
    asked = inspect.signature(function).parameters
    spec, free = function.__fits__[argument], asked[argument].default is None
    assert wrong(spec), 'nothing is excluded'
    on_disk = lambda: {path: path.read_bytes() for path in HERE.rglob('*') if path.is_file()}
    before, names = on_disk(), argument
    if isinstance(spec, checks.Shapes): names += ' ' + ' '.join(key for key, *_ in spec.parts)
    for bad in wrong(spec):
        if bad is None and free: continue
        refused(names, finished, function, {**CALLS[name], argument: bad})
        assert on_disk() == before and not [*tmp_path.iterdir()], 'something was written'


@pytest.mark.parametrize('name', BY_HAND)
def test_what_is_looked_at_by_hand_is_refused_too(name):
    argument, *values = BY_HAND[name]
    def entered(**given):
        result = getattr(book, name)(**given)
        if hasattr(result, '__enter__'): result.__enter__()
    for bad in values: refused(f'{argument} engine', entered, **{**CALLS[name], argument: bad})


@pytest.mark.parametrize('name', CALLS)
def test_the_call_itself_works(name, tmp_path, monkeypatch):
    "What is refused above is refused because of one argument"
    monkeypatch.chdir(tmp_path)
    finished(getattr(book, name), CALLS[name])


def test_every_name_of_the_door_declares_what_it_accepts():
    reasons = ' '.join(UNDECLARED.values()).split()
    assert {*book.__all__} == {*CALLS} | {*reasons}
    silent = {name for name in CALLS if not hasattr(getattr(book, name), '__fits__')
              and inspect.signature(getattr(book, name)).parameters}
    assert silent == {*BY_HAND}
