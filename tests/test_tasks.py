"The estimators: scikit-learn's own checks, every form of data, files, seeds, refusals, and the baseline."

import dataclasses

import numpy as np
import pytest

pytest.importorskip('sklearn')
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from rnn_nbdev import forecast, tasks
from rnn_nbdev.forecast import (
    Forecaster,
    _calibration_distances,
    _check_quantiles,
    _moved_quantiles,
    quantile_loss,
    _quantile_shifts,
    rolling_origin,
    seasonal_naive,
    skill,
    _stretches_at,
)
from rnn_nbdev.tasks import SequenceClassifier, SequenceRegressor, pack, scale_of, _set_aside

# ------------------------------------------------------------------------------------------- scikit-learn's own checks

small = {'units': 8, 'epochs': 25, 'batch_size': 32, 'members': 1, 'learning_rate': 0.02, 'noise': 0.1, 'dropout': 0.0}
larger = {**small, 'units': 16, 'epochs': 30, 'batch_size': 16, 'learning_rate': 0.01}
checked = [SequenceClassifier(**small), SequenceRegressor(**larger),
           Forecaster(horizon=2, season=1, window=3, units=4, steps=3, members=1)]
in_batches = ('batches are drawn at random: a sequence that is there twice is in other batches than one of weight 2; '
              'in one batch of all the two agree, which is tested below')
in_time = 'rows of X are steps in time: what is forecast for one depends on how many came before it'


def not_applicable(estimator) -> dict[str, str]:
    "The checks that ask for what an estimator of this kind can't give, and why"
    if not isinstance(estimator, Forecaster): return {'check_sample_weight_equivalence_on_dense_data': in_batches}
    return {'check_methods_sample_order_invariance': in_time, 'check_methods_subset_invariance': in_time}


@pytest.mark.filterwarnings('ignore')
@parametrize_with_checks(checked, expected_failed_checks=not_applicable)
def test_scikit_learn(estimator, check): check(estimator)


# ----------------------------------------------------------------------------------------------------------- the data

rng = np.random.default_rng(0)
lengths = rng.integers(3, 9, 24)
sequences = [rng.normal(size=(T, 2)) for T in lengths]
names = np.where([x[:, 0].mean() > 0 for x in sequences], 'up', 'down')
quick = SequenceClassifier(units=6, epochs=3, members=2, random_state=0)
measure = SequenceRegressor(units=6, epochs=3, members=2, random_state=0)
both = pytest.mark.parametrize('estimator', [quick, measure], ids=['classifier', 'regressor'])


def targets(estimator) -> np.ndarray:
    "What an estimator of this kind can learn"
    return names if isinstance(estimator, SequenceClassifier) else np.array([x.sum() for x in sequences])


@both
def test_every_form_of_the_same_data_gives_the_same(estimator):
    block = rng.normal(size=(12, 5, 1))
    y = targets(estimator)[:12]
    outputs = [clone(estimator).fit(X, y).predict(X)
               for X in (block, list(block), block[:, :, 0], [x[:, 0] for x in block], block.tolist())]
    for out in outputs[1:]: assert (out == outputs[0]).all()


@both
def test_nested_lists_are_as_good_as_arrays(estimator):
    whole = [x.round() for x in sequences]
    nested = [x.astype(int).tolist() if i % 2 else x.tolist() for i, x in enumerate(whole)]
    y = targets(estimator)
    assert (clone(estimator).fit(nested, y).predict(nested) == clone(estimator).fit(whole, y).predict(whole)).all()


@pytest.mark.parametrize('kind', [SequenceClassifier, SequenceRegressor, Forecaster])
def test_help_says_how_the_data_are_given(kind):
    words = 'fit(None, y)' if kind is Forecaster else 'predict([x])'
    assert words in kind.__doc__


@both
def test_padding_and_neighbours_change_nothing(estimator):
    fitted = clone(estimator).fit(sequences, targets(estimator))
    f = fitted.predict_proba if hasattr(fitted, 'predict_proba') else fitted.predict
    alone = np.concatenate([f([x]) for x in sequences])
    np.testing.assert_allclose(f(sequences), alone, rtol=1e-10)
    np.testing.assert_allclose(f(sequences[::-1])[::-1], alone, rtol=1e-10)


@both
def test_nothing_given_is_written_to(estimator):
    given = [x.copy() for x in sequences]
    for x in given: x.setflags(write=False)
    y = targets(estimator).copy()
    y.setflags(write=False)
    clone(estimator).fit(given, y).predict(given)
    assert all((a == b).all() for a, b in zip(given, sequences))


@both
def test_a_seed_settles_everything_and_leaves_the_global_generator_alone(estimator):
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    a, b = (clone(estimator).fit(sequences, targets(estimator)).parameters_ for _ in range(2))
    assert all((p[name] == q[name]).all() for p, q in zip(a, b) for name in p)
    other = clone(estimator).set_params(random_state=1).fit(sequences, targets(estimator)).parameters_
    assert any((a[0][name] != other[0][name]).any() for name in a[0])
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    from_generator = clone(estimator).set_params(random_state=np.random.default_rng(0))
    assert (from_generator.fit(sequences, targets(estimator)).parameters_[0]['output.W'] == a[0]['output.W']).all()


def test_scales_come_from_the_training_data_alone():
    fitted = clone(quick).fit(sequences, names)
    before = fitted.scale_
    fitted.predict([1e6 * x for x in sequences])
    assert fitted.scale_ is before
    np.testing.assert_allclose(before.mean, np.concatenate(sequences).mean(axis=0))
    assert scale_of(np.full((5, 2), 0.1)).std.tolist() == [1, 1]
    packed, steps = pack(sequences)
    assert packed.dtype == np.float32 and packed.flags.f_contiguous and (steps == lengths).all()


def test_several_targets_at_once():
    y = np.array([[x.sum(), x[0, 0]] for x in sequences])
    assert clone(measure).fit(sequences, y).predict(sequences).shape == (24, 2)


# ------------------------------------------------------------------------------------------------- weights and stopping

counts = np.random.default_rng(1).integers(0, 4, 24)
in_one_batch = {'epochs': 15, 'batch_size': 1000, 'noise': 0.0, 'dropout': 0.0}


def outputs(estimator, X):
    "What an estimator says, as finely as it can"
    return estimator.predict_proba(X) if hasattr(estimator, 'predict_proba') else estimator.predict(X)


@both
def test_a_whole_weight_is_as_good_as_that_many_repetitions(estimator):
    "Scale, loss, gradients and every step, if all examples are in one batch; weight 0 is as good as absence"
    y, again = targets(estimator), np.repeat(np.arange(24), counts)
    full = clone(estimator).set_params(**in_one_batch)
    weighted = clone(full).fit(sequences, y, sample_weight=counts)
    repeated = clone(full).fit([sequences[i] for i in again], y[again])
    np.testing.assert_allclose(weighted.scale_.mean, repeated.scale_.mean)
    np.testing.assert_allclose(weighted.scale_.std, repeated.scale_.std)
    np.testing.assert_allclose(outputs(weighted, sequences), outputs(repeated, sequences), rtol=1e-3, atol=1e-4)
    plain = clone(full).fit(sequences, y)
    assert np.abs(outputs(weighted, sequences) - outputs(plain, sequences)).max() > 1e-2


@both
def test_equal_weights_change_nothing(estimator):
    y = targets(estimator)
    plain, weighted = (clone(estimator).fit(sequences, y, sample_weight=w) for w in (None, np.full(24, 7.0)))
    np.testing.assert_allclose(outputs(weighted, sequences), outputs(plain, sequences), rtol=1e-4)


def test_class_weight_is_a_weight_for_each_of_the_class():
    full = clone(quick).set_params(**in_one_batch)
    by_class = clone(full).set_params(class_weight={'up': 3.0}).fit(sequences, names)
    by_example = clone(full).fit(sequences, names, np.where(names == 'up', 3.0, 1.0))
    assert (by_class.predict_proba(sequences) == by_example.predict_proba(sequences)).all()
    lighter = np.where(names == 'up', 1 / 3, 1)
    both_ways = clone(full).set_params(class_weight={'up': 3.0}).fit(sequences, names, lighter)
    plain = clone(full).fit(sequences, names)
    np.testing.assert_allclose(both_ways.predict_proba(sequences), plain.predict_proba(sequences), rtol=1e-3)
    balanced = clone(full).set_params(class_weight='balanced').fit(sequences, names)
    share = np.array([np.mean(names == c) for c in ('down', 'up')])
    by_hand = clone(full).fit(sequences, names, sample_weight=np.where(names == 'up', 1 / share[1], 1 / share[0]))
    np.testing.assert_allclose(balanced.predict_proba(sequences), by_hand.predict_proba(sequences), rtol=1e-4)


def test_a_score_counts_by_weight():
    fitted = clone(quick).fit(sequences, names)
    right = fitted.predict(sequences) == names
    w = np.random.default_rng(3).random(24)
    assert np.isclose(fitted.score(sequences, names, w), w[right].sum() / w.sum())


@both
def test_stopping_keeps_the_best_weights(estimator, monkeypatch):
    kept = []

    class Noting(tasks.Watch):
        "Remembers itself"
        def ended(self, parameters):
            if not self.losses: kept.append(self)
            return super().ended(parameters)
    monkeypatch.setattr(tasks, 'Watch', Noting)
    patient = clone(estimator).set_params(members=1, epochs=60, learning_rate=0.1, validation_fraction=0.3, patience=2)
    fitted = patient.fit(sequences, targets(estimator))
    (losses,), watch = fitted.held_out_history_, kept[0]
    assert len(losses) == len(fitted.history_[0]) < 60 and losses[-3] == min(losses) < min(losses[-2:])
    assert watch.held_out.validation_loss(fitted.parameters_[0]) == min(losses) and len(watch.held_out.sequences) == 7


def test_what_is_set_aside_has_every_class_and_never_the_only_one():
    for others in range(5, 12):
        y = np.repeat([0, 1, 2, 3], [30, others, 1, 4])
        aside = _set_aside(y, 0.34, np.random.default_rng(others))
        assert (np.bincount(y[~aside], minlength=4) > 0).all() and 9 <= np.bincount(y[aside])[0] <= 11
    assert _set_aside(np.arange(10.)[None], 0.5, np.random.default_rng(0)).sum() == 5


def test_weighted_batches_add_up_to_the_whole():
    "A round in batches of unequal weight has the loss and the gradients of all at once"
    w = counts / counts.mean()
    network = tasks._sequence_network(2, 2, units=3)
    whole = tasks._SequenceTask(network, sequences, (names == 'up').astype(int), tasks._CLASSES, batch_size=24, weights=w)
    draw = np.random.default_rng(0)
    p, _ = whole.begin(draw)
    kept = dataclasses.replace(tasks._part_of_task(whole, w > 0), batch_size=5)
    sums, carry = [0.0, np.zeros((2, 6))], kept.new_round(draw)
    for _ in range(-(-len(kept.sequences) // 5)):
        loss, gradients, carry, m = kept.gradients(p, carry, draw)
        sums[0] += m * loss
        sums[1] = sums[1] + m * gradients['output.W']
    loss, gradients, _, m = whole.gradients(p, whole.new_round(draw), draw)
    np.testing.assert_allclose([sums[0], *sums[1].ravel()], [m * loss, *(m * gradients['output.W']).ravel()], rtol=1e-3)
    assert np.isclose(whole.validation_loss(p), loss, rtol=1e-4)


# ---------------------------------------------------------------------------------------------------------- composition

def test_pipeline_cross_validation_and_grid_search_in_processes():
    pipeline = make_pipeline(FunctionTransformer(), clone(quick).set_params(epochs=1, members=1))
    assert len(cross_val_score(pipeline, sequences, names, cv=2)) == 2
    table = rng.normal(size=(20, 6))
    scaled = make_pipeline(StandardScaler(), clone(quick).set_params(epochs=1, members=1))
    assert scaled.fit(table, names[:20]).predict(table).shape == (20,)
    search = GridSearchCV(clone(quick).set_params(epochs=1, members=1), {'units': [2, 3]}, cv=2, n_jobs=2)
    assert search.fit(sequences, names).best_params_['units'] in (2, 3)


# ---------------------------------------------------------------------------------------------------------------- files

labels = pytest.mark.parametrize('classes', [['a', 'ü'], [3, 7], [True, False], [0.5, 1.5]], ids=str)


@labels
def test_a_classifier_comes_back_from_its_file(classes, tmp_path):
    y = np.array(classes)[(names == 'up').astype(int)]
    if y.dtype.kind == 'f': y = y * 2
    fitted = clone(quick).fit(sequences, y)
    fitted.save(tmp_path/'c')
    again = SequenceClassifier.load(tmp_path/'c')
    assert (again.predict_proba(sequences) == fitted.predict_proba(sequences)).all()
    assert again.classes_.dtype == fitted.classes_.dtype and again.get_params() == fitted.get_params()
    assert again.score(sequences, y) == fitted.score(sequences, y)


def test_class_weights_come_back_whatever_the_classes_are_called(tmp_path):
    up = (names == 'up').astype(int)
    fitted = clone(quick).set_params(class_weight={np.int64(1): np.float64(2)}).fit(sequences, up)
    fitted.save(tmp_path/'c')
    again = SequenceClassifier.load(tmp_path/'c')
    assert again.class_weight == {1: 2.0}
    assert (again.fit(sequences, up).predict_proba(sequences) == fitted.predict_proba(sequences)).all()


def test_a_regressor_comes_back_and_a_wrong_file_is_refused(tmp_path):
    fitted = clone(measure).set_params(random_state=np.random.default_rng(0)).fit(sequences, targets(measure))
    fitted.save(str(tmp_path/'r'))
    again = SequenceRegressor.load(str(tmp_path/'r'))
    assert (again.predict(sequences) == fitted.predict(sequences)).all() and again.random_state is None
    with pytest.raises(ValueError, match='kind'): SequenceClassifier.load(tmp_path/'r')
    (tmp_path/'r').write_bytes((tmp_path/'r').read_bytes()[:-1])
    with pytest.raises(ValueError, match='damaged'): SequenceRegressor.load(tmp_path/'r')
    with pytest.raises(NotFittedError): SequenceRegressor().save(tmp_path/'n')
    assert not (tmp_path/'n').exists()


# ------------------------------------------------------------------------------------------------------------- refusals

def holed(x: np.ndarray, value: float = np.nan) -> np.ndarray:
    "`x` with one entry that is not finite"
    x = x.copy()
    x[-1] = value
    return x


X, y = sequences, names
refusals = {
    'no sequences': (lambda: quick.fit([], []), 'X: got no sequences'),
    'NaN': (lambda: quick.fit([*X[:-1], holed(X[-1])], y), r'X\[23\]: got NaN'),
    'infinity': (lambda: quick.fit([*X[:-1], holed(X[-1], np.inf)], y), r'X\[23\]: got NaN or infinity'),
    'an empty sequence': (lambda: quick.fit([*X[:-1], X[-1][:0]], y), r'X\[23\]: got shape \(0, 2\)'),
    'other features': (lambda: quick.fit([*X[:-1], X[-1][:, :1]], y), r'X\[23\]: got 1 features, expected 2'),
    'mixed types': (lambda: quick.fit([*X[:-1], np.float32(X[-1])], y), r'X\[23\]: got float32 beside float64'),
    'text': (lambda: quick.fit([x.astype(str) for x in X], y), r'X\[0\]: got <U'),
    'complex': (lambda: quick.fit([x + 1j for x in X], y), r'X\[0\]: got complex'),
    'three axes': (lambda: quick.fit([x[None] for x in X], y), r'X\[0\]: got shape'),
    'too few targets': (lambda: quick.fit(X, y[:-1]), 'y: got 23 targets, expected 24'),
    'no targets': (lambda: quick.fit(X, None), 'y: got None'),
    'NaN in the targets': (lambda: measure.fit(X, holed(targets(measure))), 'NaN'),
    'one class': (lambda: quick.fit(X, ['a'] * 24), 'y: got one class'),
    'numbers as classes': (lambda: quick.fit(X, np.linspace(0, 1, 24)), 'Unknown label type'),
    'features not fitted': (lambda: known().predict([x[:, :1] for x in X]), r'X\[0\]: got 1 features, expected 2'),
    'a class never seen': (lambda: known().score(X[:2], ['up', 'sideways']), "y: got the class 'sideways'"),
    'a table': (lambda: known().predict(np.zeros((3, 4))), r'X: got a table of shape \(3, 4\), expected a list of seq'),
    'one sequence without its list': (lambda: known().predict(X[0]), r'expected a list of seq.*; \[x\] for one'),
    'one sequence of one feature': (lambda: of_one_feature().predict(X[0][:, :1]), r'expected a list of seq'),
    'one sequence as a nested list': (lambda: of_one_feature().score([[1.0], [2.0]], y[:2]), r'expected a list of seq'),
    'nested lists, features missing': (lambda: quick.fit([x.tolist() for x in X[:-1]] + [[[1, 2], [3]]], y),
                                       r'X\[23\]: got lists of unequal lengths, expected \(steps, features\)'),
    'a list of text': (lambda: quick.fit(['abc', 'de'], ['a', 'b']), r'X\[0\]: got text, expected an array \(steps, f'),
    'epochs': (lambda: optioned(epochs=0), 'epochs'),
    'noise': (lambda: optioned(noise=-1), 'noise'),
    'dropout': (lambda: optioned(dropout=1), 'dropout'),
    'pool': (lambda: optioned(pool='sum'), "pool: got 'sum'"),
    'cell': (lambda: optioned(cell='gruu'), 'cell'),
    'random_state': (lambda: optioned(random_state='0'), 'random_state'),
    'units': (lambda: optioned(units=2.5), 'units: got 2.5'),
    'members': (lambda: optioned(members=0), 'members: got 0'),
    'noise that is none': (lambda: optioned(noise='loud'), "noise: got 'loud'"),
    'noise without end': (lambda: optioned(noise=np.inf), 'noise: got inf'),
    'learning rate': (lambda: optioned(learning_rate=0), 'learning_rate: got 0'),
    'weights too few': (lambda: quick.fit(X, y, np.ones(23)), r'sample_weight: got shape \(23,\), expected \(24,\)'),
    'weights in a table': (lambda: quick.fit(X, y, np.ones((24, 1))), 'sample_weight: got shape'),
    'weights below 0': (lambda: measure.fit(X, targets(measure), -np.ones(24)), 'sample_weight: got -1'),
    'weights NaN': (lambda: quick.fit(X, y, np.full(24, np.nan)), 'sample_weight'),
    'weights as text': (lambda: quick.fit(X, y, ['heavy'] * 24), 'heavy'),
    'no weight at all': (lambda: quick.fit(X, y, np.zeros(24)), 'sample_weight: got zeros alone'),
    'one class that counts': (lambda: quick.fit(X, y, np.where(names == 'up', 1, 0)), 'y: got one class'),
    'weight of no class': (lambda: optioned(class_weight={'left': 2}), "got the class 'left'"),
    'class weight below 0': (lambda: optioned(class_weight={'up': -2}), 'class_weight: got -2'),
    'class weight of no kind': (lambda: optioned(class_weight=3), 'class_weight: got 3'),
    'nothing set aside': (lambda: optioned(validation_fraction=0.01), 'validation_fraction'),
    'too much set aside': (lambda: optioned(validation_fraction=0.9), 'validation_fraction'),
    'patience': (lambda: optioned(patience=0), 'patience: got 0'),
    'scores too few': (lambda: known().score(X, y[:-1]), 'y: got 23 targets, expected 24'),
    'weights of scores too few': (lambda: known().score(X, y, np.ones(3)), 'sample_weight: got shape'),
    'no sequences to predict': (lambda: known().predict([]), 'X: got no sequences'),
    'no sequences to score': (lambda: known().score([], []), 'X: got no sequences'),
    'a number': (lambda: quick.fit(3.0, y), 'array'),
    'text alone': (lambda: quick.fit('up', y), 'array'),
    'nothing': (lambda: quick.fit(None, y), 'array'),
    'nothing, told as such': (lambda: quick.fit(None, y), '^X: got NoneType, expected a list'),
    'an iterator': (lambda: quick.fit(iter(X), y), '^X: got list_iterator, expected a list'),
    **{f'{name} of None': (lambda name=name: optioned(**{name: None}), f'^{name}: got None')
       for name in ('units', 'layers', 'epochs', 'batch_size', 'members', 'patience', 'directions')},
    'four axes': (lambda: quick.fit(np.zeros((24, 3, 2, 1)), y), 'dim|axes|shape'),
    'lists of unequal lengths': (lambda: quick.fit([[1.0, 2.0], [1.0]], ['a', 'b']), 'X: got lists of unequal lengths'),
    'some arrays and some text': (lambda: quick.fit([X[0], 'up'], ['a', 'b']), r'X\[1\]: got text'),
    'truth values and numbers': (lambda: quick.fit([X[0] > 0, X[1]], ['a', 'b']), r'X\[1\]: got float64 beside bool'),
    'targets in a table': (lambda: quick.fit(X, np.zeros((24, 2))), '1d array'),
    'text to measure': (lambda: measure.fit(X, ['long'] * 24), 'string|numeric|convert'),
    'text and numbers as classes': (lambda: quick.fit(X, [1, 'a'] * 12), 'y: got text beside other values'),
    'masked table': (lambda: quick.fit(np.ma.masked_less(np.ones((24, 3)), 2), y), 'X: got masked entries'),
    'masked block': (lambda: quick.fit(np.ma.masked_less(np.ones((24, 3, 1)), 2), y), r'X\[0\]: got masked entries'),
    'masked targets': (lambda: measure.fit(X, np.ma.masked_greater(targets(measure), 0)), 'y: got masked entries'),
    'masked entries': (lambda: quick.fit([*X[:-1], np.ma.masked_greater(X[-1], 0)], y), r'X\[23\]: got masked entries'),
}
refusals |= {
    'sequence: three axes': (lambda: tasks._as_sequence(np.zeros((2, 2, 2)), 'x'), r'x: got shape \(2, 2, 2\)'),
    'sequence: nothing': (lambda: tasks._as_sequence(None, 'x'), 'x: got object'),
    'sequence: times': (lambda: tasks._as_sequence(np.array(['2020-01-01'], 'M8[D]'), 'x'), 'x: got datetime64'),
    'sequences: features': (lambda: tasks._as_sequences([np.zeros((2, 3))], 2), r'X\[0\]: got 3 features, expected 2'),
    'scale: text': (lambda: scale_of(np.array([['a']])), 'steps: got <U1'),
    'scale: none': (lambda: scale_of(np.zeros((0, 2))), r'steps: got shape \(0, 2\)'),
    'scale: one axis': (lambda: scale_of(np.zeros(3)), r'steps: got shape \(3,\)'),
    'scale: NaN': (lambda: scale_of(np.full((2, 2), np.nan)), 'steps: got NaN'),
    'pack: none': (lambda: pack([]), 'sequences: got none'),
    'pack: features': (lambda: pack([np.zeros((2, 1)), np.zeros((2, 2))]), 'sequences: got shapes'),
    'pack: one axis': (lambda: pack([np.zeros(2)]), 'sequences: got shapes'),
    'scores: none': (lambda: tasks._scores_of(known().network_, known().parameters_[0], []), 'sequences: got none'),
    'network: sizes': (lambda: tasks._sequence_network(0, 2), 'n_x|input'),
    'network: pool': (lambda: tasks._sequence_network(2, 2, pool='sum'), "got 'sum'"),
    'network: pool by its name': (lambda: tasks._sequence_network(2, 2, pool='sum'), '^pool: got'),
    'network: layers': (lambda: tasks._sequence_network(2, 2, layers=None), 'layers: got None'),
    'network: directions': (lambda: tasks._sequence_network(2, 2, directions=3), 'directions'),
    'task: network': (lambda: sequence_task(network=None), 'network: got NoneType'),
    'task: loss': (lambda: sequence_task(loss=None), 'loss: got NoneType, expected a Loss'),
    'task: targets': (lambda: sequence_task(targets=np.zeros(3, int)), r'targets: got shape \(3,\), expected \(24,\)'),
    'task: batch': (lambda: sequence_task(batch_size=0), 'batch_size: got 0'),
    'rate': (lambda: tasks._up_and_down(-1.0, 5), 'rate: got -1'),
    'rate: steps': (lambda: tasks._up_and_down(1.0, 0), 'steps: got 0'),
    'generator': (lambda: tasks.generator_of(-1), 'random_state: got -1'),
    'generator: a share': (lambda: tasks.generator_of(0.5), 'random_state: got 0.5'),
    'watch': (lambda: tasks.Watch(None, 0), 'patience: got 0'),
    'set aside': (lambda: _set_aside(np.zeros(4), 0.7, np.random.default_rng(0)), 'validation_fraction: got 0.7'),
    'loss: classes': (lambda: tasks._weighted_loss(tasks._CLASSES, np.zeros((2, 3)), np.array([0, 1, 2])), 'targets'),
    'loss: weights': (lambda: tasks._weighted_loss(tasks._VALUES, np.zeros((1, 3)), np.zeros((1, 3)), np.ones(2)),
                      'mask'),
}


def sequence_task(**given) -> tasks._SequenceTask:
    "A task of sequences, some of whose fields are given"
    network = tasks._sequence_network(2, 2, units=3)
    plain = {'network': network, 'sequences': X, 'targets': np.zeros(24, int), 'loss': tasks._CLASSES}
    return tasks._SequenceTask(**{**plain, **given})


def optioned(**options) -> SequenceClassifier:
    "A classifier with such options, fitted"
    return clone(quick).set_params(**options).fit(X, y)


def known() -> SequenceClassifier:
    "A classifier that has learned a little"
    return clone(quick).set_params(epochs=1, members=1).fit(X, y)


def of_one_feature() -> SequenceClassifier:
    "A classifier that has learned a little, from sequences of a single feature"
    return clone(quick).set_params(epochs=1, members=1).fit([x[:, :1] for x in X], y)


@pytest.mark.parametrize('name', refusals)
def test_what_does_not_fit_is_refused(name):
    call, words = refusals[name]
    with pytest.raises((ValueError, TypeError), match=words): call()


def test_unfitted_use_is_refused():
    for estimator in (SequenceClassifier(), SequenceRegressor()):
        with pytest.raises(NotFittedError): estimator.predict(X)
    with pytest.raises(NotFittedError): SequenceClassifier().predict_proba(X)
    with pytest.raises(NotFittedError): Forecaster().predict()


def test_a_fit_that_fails_leaves_nothing_half_learned():
    again = known()
    with pytest.raises(ValueError, match='one class'): again.fit(X, ['a'] * 24)
    with pytest.raises(NotFittedError): again.predict(X)


# ----------------------------------------------------------------------------------------------------------- forecasts

t = np.arange(120)
series = 5 + 3 * np.sin(2 * np.pi * t / 12) + 0.1 * t
hour = np.column_stack([np.sin(2 * np.pi * t / 12), np.cos(2 * np.pi * t / 12)])
brief = Forecaster(horizon=6, season=12, window=12, units=6, steps=40, members=1, noise=0.02, dropout=0, random_state=0)


def test_the_baseline_repeats_the_last_season():
    assert seasonal_naive(np.arange(10), 4, 7).tolist() == [6, 7, 8, 9, 6, 7, 8]
    f = clone(brief).fit(None, series[:100]).forecast(steps=20)
    assert (f.naive == np.resize(series[88:100], 20)).all() and f.quantiles.shape == (3, 20)
    assert (np.diff(f.quantiles, axis=0) >= 0).all() and '90%' in str(f)
    assert skill(1, 2) == 0.5 and skill(0, 0) == 0


@pytest.mark.parametrize('seed, noise', [(0, 1), (1, 3), (2, 6), (3, 10), (4, 10), (5, 20)])
def test_a_weighted_sum_is_ridge_regression_on_the_past(seed, noise):
    "Against scikit-learn's, with the penalty that its own generalized cross-validation would choose"
    from sklearn.linear_model import Ridge
    noisy = series + np.random.default_rng(seed).normal(size=120) * noise
    lags = forecast._lags_of(12, 5)
    assert lags.tolist() == [1, 2, 3, 4, 5, 12] and forecast._lags_of(3, 5).tolist() == [1, 2, 3, 4, 5]
    rows = np.array([[*(noisy[i - lag] for lag in lags), *hour[i]] for i in range(12, 40)])
    scaled, found = StandardScaler().fit(rows), []
    for penalty in forecast._PENALTIES:
        by = Ridge(penalty).fit(scaled.transform(rows), noisy[12:40])
        Z = scaled.transform(rows)
        hat = Z @ np.linalg.solve(Z.T @ Z + penalty * np.eye(8), Z.T) + 1 / 28
        off = noisy[12:40] - by.predict(Z)
        found.append((np.mean(off**2) / (1 - np.trace(hat) / 28)**2, by))
    best = min(found, key=lambda pair: pair[0])[1]
    fitted = forecast._weighted_sum(noisy[:40], hour[:40], 12, 5)
    np.testing.assert_allclose(fitted.weights, best.coef_ / scaled.scale_, rtol=1e-8)
    known, said = list(noisy[:40]), []
    for row in hour[40:44]:
        terms = [*(known[-lag] for lag in lags), *row]
        said.append(best.predict(scaled.transform([terms]))[0])
        known.append(said[-1])
    np.testing.assert_allclose(fitted.ahead(noisy[23:40, None], hour[40:44, None])[:, 0], said, rtol=1e-8)


def test_the_share_of_the_weighted_sum():
    "0 leaves the network alone, 1 gives the sum's median; quantiles move together, no further beyond the horizon"
    of = {share: clone(brief).set_params(linear=share).fit(None, series[:100]).forecast(steps=9)
          for share in (0, 0.5, 1)}
    said = forecast._weighted_sum(series[:100], np.zeros((100, 0)), 12, 12)
    said = said.ahead(series[76:100, None], np.zeros((6, 1, 0)))[:, 0]
    np.testing.assert_allclose(of[1].median[:6], said)
    np.testing.assert_allclose(of[0.5].quantiles, (of[0].quantiles + of[1].quantiles) / 2)
    moved = of[1].quantiles - of[0].quantiles
    np.testing.assert_allclose(moved, moved[:1].repeat(3, axis=0))
    np.testing.assert_allclose(moved[:, 6:], moved[:, 5:6].repeat(3, axis=1))


def test_a_network_alone_does_not_see_the_level():
    "The same changes from another level give the same forecast, that much higher"
    fitted = clone(brief).set_params(linear=0).fit(None, series[:100])
    low, high = (fitted.extended(None, series[76:100] + level).forecast() for level in (0, 1000))
    np.testing.assert_allclose(high.quantiles, low.quantiles + 1000, rtol=1e-6)


def test_a_series_too_short_for_its_weights_is_forecast_all_the_same():
    for y in (series[:30], np.full(30, 3.0), 1e100 * series[:30]):
        found = clone(brief).set_params(steps=2).fit(None, y).forecast()
        assert np.isfinite(found.quantiles).all()
    assert np.allclose(clone(brief).set_params(steps=2, linear=1).fit(None, np.full(30, 3.0)).predict(), 3)


def test_a_trend_is_learned_that_the_baseline_misses():
    found = rolling_origin(clone(brief).set_params(steps=150), hour, series, first=90, every=6)
    assert found.skill() > 0.5 and found.errors.shape == (5, 6) and 'seasonal-naive' in str(found)


def test_what_comes_later_changes_nothing():
    "No origin may know what came after it"
    changed = series.copy()
    changed[100:] = 1e3
    a, b = (rolling_origin(brief, hour, s, first=88, every=6) for s in (series, changed))
    assert (a.errors[0] == b.errors[0]).all() and (a.errors[1] == b.errors[1]).all()
    assert (a.errors[-1] != b.errors[-1]).all()


def test_more_of_the_series_is_the_same_in_one_piece_or_two():
    fitted = clone(brief).fit(hour[:90], series[:90])
    once = fitted.extended(hour[90:100], series[90:100])
    twice = fitted.extended(hour[90:93], series[90:93]).extended(hour[93:100], series[93:100])
    assert (once.predict(hour[100:106]) == twice.predict(hour[100:106])).all()
    assert (fitted.predict(hour[90:96]) != once.predict(hour[100:106])).any()


def test_a_forecaster_in_cross_validation_and_in_a_file(tmp_path):
    scores = cross_val_score(clone(brief).set_params(steps=3), hour, series, cv=TimeSeriesSplit(2, test_size=6))
    assert np.isfinite(scores).all()
    days = np.arange('2024-01-01', '2024-04-30', dtype='datetime64[D]')[:100]
    fitted = clone(brief).set_params(steps=3).fit(hour[:100], series[:100], days)
    fitted.save(tmp_path/'f')
    again = Forecaster.load(tmp_path/'f')
    assert (again.predict(hour[100:]) == fitted.predict(hour[100:])).all() and again.get_params() == fitted.get_params()
    for estimator in (fitted, again):
        with pytest.raises(ValueError, match='times: got 2024-01-02'): estimator.extended(hour[:1], [1.0], days[1:2])


calibrated = clone(brief).set_params(calibration=9, calibration_every=2)


def test_correction_moves_the_intervals_and_nothing_else():
    plain, corrected = (clone(f).fit(hour[:110], series[:110]).forecast(hour[110:]) for f in (brief, calibrated))
    assert (plain.median == corrected.median).all() and (plain.naive == corrected.naive).all()
    assert (plain.quantiles[[0, 2]] != corrected.quantiles[[0, 2]]).any()
    assert (np.diff(corrected.quantiles, axis=0) >= 0).all()


def test_the_correction_is_the_past_errors_of_networks_that_had_not_seen_them():
    "Each origin's errors are those of a forecaster that ended there"
    fitted = clone(calibrated).fit(hour[:100], series[:100])
    distances = _calibration_distances(fitted.get_params())
    assert distances.tolist() == list(range(6, 24, 2))
    by_end = {end: clone(brief).fit(hour[:end], series[:end]) for end in (78, 100)}       # the rehearsal, and itself
    for later in (fitted, fitted.extended(hour[100:106], series[100:106]), fitted.extended(hour[100:], series[100:])):
        errors = []
        for d in sorted(distances, key=lambda d: d > later.since_):
            end, origin = 100 if d <= later.since_ else 78, 100 + later.since_ - d
            known = slice(end, origin)
            f = by_end[end].extended(hour[known], series[known]) if origin > end else by_end[end]
            errors.append(series[origin:origin + 6] - f.forecast(hour[origin:origin + 6]).quantiles)
        np.testing.assert_allclose(forecast._past_errors(later), np.stack(errors, axis=1), atol=1e-9)


def test_the_future_has_no_part_in_a_correction():
    changed = series.copy()
    changed[100:] = 1e3
    a, b = (rolling_origin(calibrated, hour, s, first=100, every=6) for s in (series, changed))
    assert (a.width[0] == b.width[0]).all() and (a.width[-1] != b.width[-1]).any()


def test_corrected_intervals_hold_what_they_promise():
    "Romano, Patterson and Candès 2019: for exchangeable errors, whatever the quantiles were"
    draw, shares, inside = np.random.default_rng(0), np.array([0.05, 0.5, 0.95]), []
    for _ in range(3000):
        came, guess = draw.standard_cauchy(40), np.array([[-5.0], [3.0], [3.5]])
        shifts = _quantile_shifts((came[None, :39] - guess)[:, :, None], shares)
        low, _, high = (guess + shifts)[:, 0]
        inside.append(low <= came[39] <= high)
    assert abs(np.mean(inside) - 0.9) < 0.02                                             # standard error 0.0055
    moved = _moved_quantiles(np.array([[1.0], [2.0], [3.0]]), np.array([[5.0], [0.0], [-5.0]]), shares)
    assert moved[:, 0].tolist() == [2, 2, 2]


def test_a_forecaster_with_its_correction_comes_back_from_its_file(tmp_path):
    fitted = clone(calibrated).set_params(steps=3, quantiles=np.array([0.1, 0.5, 0.9])).fit(hour[:100], series[:100])
    fitted = fitted.extended(hour[100:104], series[100:104])
    fitted.save(tmp_path/'f')
    again = Forecaster.load(tmp_path/'f')
    assert (again.forecast(hour[104:]).quantiles == fitted.forecast(hour[104:]).quantiles).all()
    later = [f.extended(hour[104:112], series[104:112]).forecast(hour[112:]).quantiles for f in (fitted, again)]
    assert (later[0] == later[1]).all()


def test_a_forecaster_stops_in_time():
    stopped = clone(brief).set_params(steps=400, learning_rate=0.05, validation_fraction=0.2, patience=1)
    fitted = stopped.fit(None, np.random.default_rng(0).normal(size=120))
    assert len(fitted.history_[0]) < 400 and len(fitted.held_out_history_[0]) == len(fitted.history_[0]) // 20


def test_quantiles_and_their_loss():
    q = _check_quantiles([0.25, 0.5])
    loss, _ = quantile_loss(np.zeros((2, 2)), np.array([4.0, -4.0]), q)
    assert np.isclose(loss, np.mean([1, 3, 2, 2]))
    assert quantile_loss(np.zeros((2, 2), np.float32), np.zeros(2, np.float32), q)[0].dtype == np.float32


def trained(**options) -> Forecaster:
    "A forecaster with such options, fitted"
    return clone(brief).set_params(**options).fit(None, series)


forecasts_refused = {
    'unsorted time': (lambda: brief.fit(None, series, t[::-1]), 'times: got 118 after 119'),
    'time twice': (lambda: brief.fit(None, series, np.zeros(120)), 'times'),
    'time of another length': (lambda: brief.fit(None, series, t[:-1]), 'times: got shape'),
    'time as text': (lambda: brief.fit(None, series, t.astype(str)), 'times: got <U'),
    'NaN': (lambda: brief.fit(None, holed(series)), 'NaN'),
    'NaN in covariates': (lambda: brief.fit(holed(hour), series), 'NaN'),
    'too short': (lambda: brief.fit(None, series[:29]), 'season . window . horizon: 30'),
    'rows': (lambda: brief.fit(hour[:-1], series), 'X: got 119 rows, expected 120'),
    'two columns': (lambda: brief.fit(None, hour), 'y'),
    'no median': (lambda: trained(quantiles=(0.1, 0.9)), 'quantiles'),
    'quantiles that fall': (lambda: trained(quantiles=(0.5, 0.1)), 'quantiles'),
    'no room for an origin': (lambda: rolling_origin(brief, None, series, first=115), 'first: got 115'),
    'steps': (lambda: trained(steps=1).forecast(steps=0), 'steps'),
    'missing covariates': (lambda: clone(brief).set_params(steps=1).fit(hour, series).forecast(steps=2), 'X: got None'),
    'infinity': (lambda: brief.fit(None, holed(series, np.inf)), 'infinity'),
    'nothing': (lambda: brief.fit(None, None), 'y: got None'),
    'no steps': (lambda: brief.fit(None, []), 'y: got no steps'),
    'text': (lambda: brief.fit(None, ['warm'] * 120), 'y: got <U4, expected real numbers'),
    'time spans': (lambda: brief.fit(None, np.arange(120).astype('m8[D]')), 'y: got timedelta64'),
    'how many steps': (lambda: clone(brief).set_params(steps=1).fit(hour, series).predict(), r'\(steps, 2\)'),
    'complex': (lambda: brief.fit(None, series + 1j), 'complex|Complex|y:'),
    'covariates as text': (lambda: brief.fit(hour.astype(str).astype(object) + 'x', series), 'convert|string'),
    'covariates of one axis': (lambda: brief.fit(hour[:, 0], series), '2D array'),
    'no time at all': (lambda: brief.fit(None, series, np.full(120, np.datetime64('NaT', 'D'))), 'times: got NaT'),
    'horizon': (lambda: trained(horizon=0), 'horizon: got 0'),
    'horizon beyond the data': (lambda: trained(horizon=110), 'got n_samples = 120'),
    'season': (lambda: trained(season=1.5), 'season: got 1.5'),
    'quantile of 1': (lambda: trained(quantiles=(0.5, 1.0)), 'quantiles: got'),
    'quantiles as text': (lambda: trained(quantiles=('low', 'high')), 'quantiles: got'),
    'too few to correct by': (lambda: trained(calibration=8), 'got 8 origins.* 9 or more'),
    'half an origin': (lambda: trained(calibration=9.5), 'calibration: got 9.5'),
    'below no origins': (lambda: trained(calibration=-1), 'calibration: got -1'),
    'no room for the calibration': (lambda: trained(calibration=90), 'for the calib'),
    'no room to stop in time': (lambda: clone(brief).set_params(validation_fraction=0.5).fit(None, series[:40]),
                                'validation_fraction: got 0.5'),
    'masked series': (lambda: brief.fit(None, np.ma.masked_greater(series, 8)), 'y: got masked entries'),
    'masked covariates': (lambda: brief.fit(np.ma.masked_greater(hour, 0.5), series), 'X: got masked entries'),
    'another kind of time': (lambda: clone(brief).set_params(steps=1).fit(None, series, t).extended(
        None, [1.0], np.array(['2024-01-01'], 'M8[D]')), r'times: got datetime64\[D\] after int64'),
    'share below 0': (lambda: trained(linear=-0.1), 'linear: got -0.1'),
    'share above 1': (lambda: trained(linear=1.1), 'linear: got 1.1'),
    'share that is none': (lambda: trained(linear='half'), "linear: got 'half'"),
    'sum: too short': (lambda: forecast._weighted_sum(series[:12], hour[:12], 12, 5), 'y: got 12 steps'),
    'sum: rows': (lambda: forecast._weighted_sum(series, hour[:-1], 12, 5), 'X: got 119 rows'),
    'no forecaster': (lambda: rolling_origin(measure, None, series, first=100), 'forecaster: got SequenceRegressor'),
    'an origin at nothing': (lambda: rolling_origin(brief, None, series, first=0), 'first: got 0'),
    'covariates of a roll': (lambda: rolling_origin(brief, hour[:-1], series, first=100), 'X: got 119 rows'),
    'time of a roll': (lambda: rolling_origin(brief, None, series, first=100, times=t[::-1]), 'times: got 118 after'),
    'nothing new': (lambda: trained(steps=1).extended(None, []), 'y: got no steps'),
    'new NaN': (lambda: trained(steps=1).extended(None, [np.nan]), 'NaN'),
    'a score of nothing': (lambda: trained(steps=1).score(None, []), 'y: got no steps'),
    'naive: season': (lambda: seasonal_naive([1, 2], 3, 1), 'y: got 2 steps, expected at least a season: 3'),
    'naive: text': (lambda: seasonal_naive(['a', 'b'], 1, 1), 'y: got <U1'),
    'naive: a number': (lambda: seasonal_naive(3.0, 1, 1), r'y: got shape \(\)'),
    'naive: steps': (lambda: seasonal_naive([1, 2], 1, 0), 'steps: got 0'),
    'naive errors': (lambda: forecast._naive_errors(np.zeros(3), 3, 1), 'y: got 3 steps, expected more than a season'),
    'loss: shape': (lambda: quantile_loss(np.zeros((2, 3)), np.zeros(3), [0.5]), r'y_pred: got shape \(2, 3\)'),
    'loss: text': (lambda: quantile_loss(np.zeros((1, 3)), ['a'] * 3, [0.5]), 'y: '),
    'stretches: origin': (lambda: _stretches_at(series, hour, np.array([118]), 12, 12, 6), 'known: got 118 to 118'),
    'stretches: too early': (lambda: _stretches_at(series, hour, np.array([23]), 12, 12, 6), 'known: got 23 to 23'),
    'stretches: rows': (lambda: _stretches_at(series, hour[:-1], np.array([50]), 12, 12, 6), 'X: got 119 rows'),
    'stretch: window': (lambda: forecast._stretch(np.zeros((3, 1)), np.zeros((5, 1, 0)), 3, None), 'X: got shape'),
    'shifts: shape': (lambda: _quantile_shifts(np.zeros((2, 20, 3)), np.array([0.1, 0.5, 0.9])), 'errors: got shape'),
    'shifts: few': (lambda: _quantile_shifts(np.zeros((3, 8, 3)), np.array([0.1, 0.5, 0.9])), 'errors: got 8 origins'),
    'moved: shapes': (lambda: _moved_quantiles(np.zeros((3, 2)), np.zeros((2, 2)), np.array([0.5])), 'quantiles: got 3'),
    'skill below 0': (lambda: skill(-1.0, 2.0), 'error: got -1'),
    'skill of nothing': (lambda: skill(1.0, float('nan')), 'baseline: got nan'),
}


@pytest.mark.parametrize('name', forecasts_refused)
def test_what_does_not_fit_a_forecast_is_refused(name):
    call, words = forecasts_refused[name]
    with pytest.raises((ValueError, TypeError), match=words): call()


def test_without_scikit_learn_the_module_loads_and_says_what_is_missing():
    import subprocess
    import sys
    program = '''
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.startswith('sklearn') else find(name, *rest)
from rnn_nbdev.forecast import Forecaster
from rnn_nbdev.tasks import SequenceClassifier
for kind in (SequenceClassifier, Forecaster):
    try: kind(units=3)
    except ImportError as error: print(error)
assert 'sklearn' not in sys.modules
'''
    out = subprocess.run([sys.executable, '-c', program], check=True, capture_output=True, text=True).stdout
    assert out.count('pip install rnn_nbdev[tasks]') == 2


