"The estimators of sequences: scikit-learn's own checks, every form of data, weights, stopping, files, seeds, refusals."

import dataclasses
import inspect
import math
import pydoc
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('sklearn')
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from rnn_nbdev import tasks
from rnn_nbdev.forecast import Forecaster
from rnn_nbdev.tasks import (
    SequenceClassifier, SequenceLabeler, SequenceRegressor, StepRegressor, _validation_part, pack, scale_of,
    sequences_from,
)

pytestmark = pytest.mark.filterwarnings('ignore:the training loss')     # most of these learn for an epoch or three

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
    block, whole = rng.normal(size=(12, 5, 1)), [x.round() for x in sequences]
    nested = [x.astype(int).tolist() if i % 2 else x.tolist() for i, x in enumerate(whole)]
    for forms in ((block, list(block), block[:, :, 0], [x[:, 0] for x in block], block.tolist()), (whole, nested)):
        first, *others = (clone(estimator).fit(X, targets(estimator)[:len(X)]).predict(X) for X in forms)
        for out in others: assert (out == first).all()


@both
def test_numbers_of_every_type_are_taken_as_floating_point_ones(estimator):
    whole = [x.round() for x in sequences]
    mixed = [x.astype(kind) for x, kind in zip(whole, ['>i2', int, '>f4', object, np.float16, np.int8] * 4)]
    (first, same) = (clone(estimator).fit(X, targets(estimator)).predict(X) for X in (whole, mixed))
    assert (first == same).all()
    column = np.fromiter(whole, object, len(whole))
    assert (clone(estimator).fit(column, targets(estimator)).predict(column) == first).all()


def test_time_in_the_last_axis_is_suspected():
    with pytest.warns(UserWarning, match=r'X: 12 sequences of 1 step with 30 features each; .* X.transpose'):
        clone(quick).fit(rng.normal(size=(12, 1, 30)), names[:12])


def test_a_class_that_fit_did_not_see_counts_as_wrong():
    fitted, y = clone(quick).fit(sequences, names), np.array([*names], object)
    y[0] = 'sideways'
    assert fitted.score(sequences, y) == np.mean(fitted.predict(sequences) == y)


def frames(library, **columns):
    "One long frame, rows in disorder: sequences b, a, c, d of five steps"
    draw, order = np.random.default_rng(0), np.random.default_rng(1).permutation(20)
    data = {'who': np.repeat([*'bacd'], 5), 'when': np.tile(np.arange(5), 4), 'v': draw.normal(size=20),
            'w': draw.integers(0, 5, 20), **columns}
    return data, library.DataFrame({name: column[order].tolist() for name, column in data.items()})


@pytest.mark.parametrize('library', ['pandas', 'polars'])
def test_a_long_frame_is_cut_into_sequences(library):
    data, frame = frames(pytest.importorskip(library))
    cut = sequences_from(frame, 'who', 'when')
    assert cut.ids == [*'abcd'] and type(cut[0]) is type(frame)
    assert (np.asarray(cut[1]) == np.stack([data['v'], data['w']], axis=1)[:5]).all()
    fitted = clone(quick).fit(cut, [0, 1, 0, 1])
    plain = clone(quick).fit([np.asarray(x) for x in cut], [0, 1, 0, 1])
    assert (fitted.predict_proba(cut) == plain.predict_proba([np.asarray(x) for x in cut])).all()
    assert (fitted.predict_proba([x[['w', 'v']] for x in cut]) == fitted.predict_proba(cut)).all()
    refusal(fitted.predict, [x[['w']] for x in cut])
    assert refusal(sequences_from, frames(pytest.importorskip(library), when=np.zeros(20))[1], 'who', 'when') == (
        'when: got 0.0 twice for who a, expected each time once')
    assert refusal(sequences_from, frame, 'whom', 'when').startswith("id: got 'whom', expected one of ")
    assert 'columns' in refusal(sequences_from, frames(pytest.importorskip(library), s=data['who'])[1], 'who', 'when')


@both
def test_padding_and_neighbours_change_nothing(estimator):
    fitted = clone(estimator).fit(sequences, targets(estimator))
    f = fitted.predict_proba if hasattr(fitted, 'predict_proba') else fitted.predict
    alone = np.concatenate([f([x]) for x in sequences])
    np.testing.assert_allclose(f(sequences), alone, rtol=1e-10)
    np.testing.assert_allclose(f(sequences[::-1])[::-1], alone, rtol=1e-10)


@both
def test_nothing_given_is_written_to(estimator):
    *given, y = (a.copy() for a in (*sequences, targets(estimator)))
    for a in (*given, y): a.setflags(write=False)
    clone(estimator).fit(given, y).predict(given)


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

    class Noting(tasks._EarlyStopping):
        "Remembers itself"
        def ended(self, parameters):
            if not self.losses: kept.append(self)
            return super().ended(parameters)
    monkeypatch.setattr(tasks, '_EarlyStopping', Noting)
    patient = clone(estimator).set_params(members=1, epochs=60, learning_rate=0.1, validation_fraction=0.3, patience=2)
    fitted = patient.fit(sequences, targets(estimator))
    (losses,), stopping = fitted.held_out_history_, kept[0]
    assert len(losses) == len(fitted.history_[0]) < 60 and losses[-3] == min(losses) < min(losses[-2:])
    assert stopping.task.validation_loss(fitted.parameters_[0]) == min(losses) and len(stopping.task.sequences) == 7


def test_what_is_set_aside_has_every_class_and_never_the_only_one():
    for others in range(5, 12):
        y = np.repeat([0, 1, 2, 3], [30, others, 1, 4])
        aside = _validation_part(y, 0.34, np.random.default_rng(others))
        assert (np.bincount(y[~aside], minlength=4) > 0).all() and 9 <= np.bincount(y[aside])[0] <= 11
    assert _validation_part(np.arange(10.)[None], 0.5, np.random.default_rng(0)).sum() == 5


def test_weighted_batches_add_up_to_the_whole():
    "A round in batches of unequal weight has the loss and the gradients of all at once"
    w = counts / counts.mean()
    network = tasks._sequence_network(2, 2, units=3)
    up = (names == 'up').astype(int)
    whole = tasks._SequenceTask(network, sequences, up, tasks._CLASSES, batch_size=24, weights=w)
    draw = np.random.default_rng(0)
    p, _ = whole.begin(draw)
    kept = dataclasses.replace(whole.part(w > 0), batch_size=5)
    sums, carry = [0.0, np.zeros((2, 6))], kept.new_epoch(draw)
    for _ in range(-(-len(kept.sequences) // 5)):
        loss, gradients, carry, m = kept.gradients(p, carry, draw)
        sums[0] += m * loss
        sums[1] = sums[1] + m * gradients['output.W']
    loss, gradients, _, m = whole.gradients(p, whole.new_epoch(draw), draw)
    np.testing.assert_allclose([sums[0], *sums[1].ravel()], [m * loss, *(m * gradients['output.W']).ravel()], rtol=1e-3)
    assert np.isclose(whole.validation_loss(p), loss, rtol=1e-4)


def shapes_among_noise(m=24, T=300) -> tuple[list, np.ndarray]:
    "Long curves with a bump up or down, each at another place"
    draw, y = np.random.default_rng(5), np.arange(m) % 2
    bump = np.exp(-np.linspace(-3, 3, 60)**2)
    X = [0.2 * draw.normal(size=(T, 1)) for _ in y]
    for x, up in zip(X, y):
        at = draw.integers(0, T - 60)
        x[at:at + 60, 0] += (2 * up - 1) * bump
    return X, y


def test_the_defaults_learn_from_few_long_sequences_and_end_when_nothing_is_left_to_learn():
    X, y = shapes_among_noise()
    X_test, y_test = shapes_among_noise(200)
    fitted = SequenceClassifier(members=1, random_state=0).fit(X, y)
    assert fitted.score(X_test, y_test) > 0.95 and fitted.stride_ == 8
    assert 50 <= len(fitted.history_[0]) < 300 and np.mean(fitted.history_[0][-2:]) < 0.02     # of 500


@pytest.mark.filterwarnings('error')
@both
def test_a_network_that_has_learned_nothing_is_reported(estimator):
    y = targets(estimator)
    idle = clone(estimator).set_params(learning_rate=1e-9)
    with pytest.warns(ConvergenceWarning, match='the training loss, .*, has hardly left'): idle.fit(sequences, y)
    clone(estimator).set_params(epochs=60, noise=0.0, dropout=0.0, learning_rate=0.02).fit(sequences, y)


@both
def test_members_in_processes_are_the_same_to_the_bit(estimator):
    one, two = (clone(estimator).set_params(n_jobs=n).fit(sequences, targets(estimator)) for n in (None, 2))
    assert (outputs(one, sequences) == outputs(two, sequences)).all() and one.history_ == two.history_


def test_verbose_prints_each_epoch(capsys):
    clone(quick).set_params(verbose=True, members=1).fit(sequences, names)
    assert re.fullmatch(r'(epoch \d of 3: loss 0\.\d{4}\n){3}', capsys.readouterr().out)


# -------------------------------------------------------------------------------------------- an output at every step

at_each = {'units': 8, 'epochs': 20, 'members': 2, 'learning_rate': 0.02, 'noise': 0.0, 'random_state': 0}
signs = [np.where(x[:, 0] > 0, 'up', 'down') for x in sequences]
sums = [np.cumsum(x, axis=0) for x in sequences]


@pytest.mark.parametrize('layers', [1, 2])
def test_a_class_or_values_at_every_step_also_one_step_at_a_time(layers, tmp_path):
    for kind, y, least in ((SequenceLabeler, signs, 0.9), (StepRegressor, sums, 0.4)):
        fitted = kind(**at_each, layers=layers, directions=1).fit(sequences, y)
        whole, stream = fitted.predict(sequences), fitted.stream()
        assert fitted.score(sequences, y) > least and [len(one) for one in whole] == lengths.tolist()
        for x, one in zip(sequences[:3], whole):
            live = np.array([stream.step(x_t) for x_t in x])
            assert (live == one).all() if kind is SequenceLabeler else np.allclose(live, one, rtol=1e-9, atol=1e-12)
            stream.reset()
        fitted.save(tmp_path/'s')
        again = kind.load(tmp_path/'s').predict(sequences)
        assert all((a == b).all() for a, b in zip(again, whole))


def test_padding_takes_no_part_in_the_loss_at_every_step():
    task = tasks._StepTask(tasks.SequenceLabeler(**at_each)._network(1, 2, 1), sequences[:2],
                           [np.arange(len(x)) % 2 for x in sequences[:2]], tasks._CLASSES)
    p, carry = task.begin(np.random.default_rng(0))
    network = tasks.Chain({name: layer for name, layer in task.network.layers.items() if name != 'dropout'})
    loss, _, _, _ = dataclasses.replace(task, network=network).gradients(p, carry, np.random.default_rng(0))
    assert np.isclose(loss, task.validation_loss(p), rtol=1e-5)


def test_what_does_not_fit_at_every_step_is_refused():
    both_ways = SequenceLabeler(**{**at_each, 'epochs': 1}).fit(sequences, signs)
    assert refusal(both_ways.stream).startswith('directions: got 2, expected 1')
    assert refusal(both_ways.fit, sequences, signs[:-1]) == 'y: got 23 arrays, expected 24, one a sequence'
    assert refusal(both_ways.fit, sequences, [one[1:] for one in signs]).startswith('y[0]: got shape')
    assert refusal(both_ways.fit, sequences, ['a'] * 24).startswith('y[0]: got shape ()')


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

@pytest.mark.parametrize('classes', [['a', 'ü'], [3, 7], [True, False], [1.0, 3.0]], ids=str)
def test_a_classifier_comes_back_from_its_file(classes, tmp_path):
    y = np.array(classes)[(names == 'up').astype(int)]
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
    'an empty sequence': (lambda: quick.fit([*X[:-1], X[-1][:0]], y), r'X\[23\]: got shape \(0, 2\)'),
    'other features': (lambda: quick.fit([*X[:-1], X[-1][:, :1]], y), r'X\[23\]: got 1 features, expected 2'),
    'three axes': (lambda: quick.fit([x[None] for x in X], y), r'X\[0\]: got shape'),
    'too few targets': (lambda: quick.fit(X, y[:-1]), 'y: got 23 targets, expected 24'),
    'one class': (lambda: quick.fit(X, ['a'] * 24), 'y: got one class'),
    'numbers as classes': (lambda: quick.fit(X, np.linspace(0, 1, 24)), 'Unknown label type'),
    'features not fitted': (lambda: known().predict([x[:, :1] for x in X]), r'X\[0\]: got 1 features, expected 2'),
    'a table': (lambda: known().predict(np.zeros((3, 4))), r'X: got a table of shape \(3, 4\), expected a list of seq'),
    'one sequence without its list': (lambda: known().predict(X[0]), r'expected a list of seq.*; \[x\] for one'),
    'one sequence of one feature': (lambda: known(1).predict(X[0][:, :1]), r'expected a list of seq'),
    'one sequence as a nested list': (lambda: known(1).score([[1.0], [2.0]], y[:2]), r'expected a list of seq'),
    'nested lists, features missing': (lambda: quick.fit([x.tolist() for x in X[:-1]] + [[[1, 2], [3]]], y),
                                       r'X\[23\]: got lists of unequal lengths, expected \(steps, features\)'),
    'a list of text': (lambda: quick.fit(['abc', 'de'], ['a', 'b']), r'X\[0\]: got text, expected an array \(steps, f'),
    'weights too few': (lambda: quick.fit(X, y, np.ones(23)), r'sample_weight: got shape \(23,\), expected \(24,\)'),
    'weights in a table': (lambda: quick.fit(X, y, np.ones((24, 1))), 'sample_weight: got shape'),
    'weights below 0': (lambda: measure.fit(X, targets(measure), -np.ones(24)), 'sample_weight: got -1'),
    'weights NaN': (lambda: quick.fit(X, y, np.full(24, np.nan)), 'sample_weight'),
    'weights as text': (lambda: quick.fit(X, y, ['heavy'] * 24), 'heavy'),
    'no weight at all': (lambda: quick.fit(X, y, np.zeros(24)), 'sample_weight: got zeros alone'),
    'one class that counts': (lambda: quick.fit(X, y, np.where(names == 'up', 1, 0)), 'y: got one class'),
    'scores too few': (lambda: known().score(X, y[:-1]), 'y: got 23 targets, expected 24'),
    'weights of scores too few': (lambda: known().score(X, y, np.ones(3)), 'sample_weight: got shape'),
    'no sequences to predict': (lambda: known().predict([]), 'X: got no sequences'),
    'nothing, told as such': (lambda: quick.fit(None, y), '^X: got NoneType, expected a list'),
    'weight of no class': (lambda: optioned(class_weight={'left': 2}), "got the class 'left'"),
    'class weight below 0': (lambda: optioned(class_weight={'up': -2}), 'class_weight: got -2'),
    'masked table': (lambda: quick.fit(np.ma.masked_less(np.ones((24, 3)), 2), y), 'X: got masked entries'),
    **{f'{option} {bad}': (lambda option=option, bad=bad: optioned(**{option: bad}), f'^{option}: got')
       for option, bad in (
           ('epochs', 0), ('noise', -1), ('noise', np.inf), ('dropout', 1), ('units', 2.5), ('members', 0),
           ('patience', 0), ('learning_rate', 0), ('validation_fraction', 0.01), ('validation_fraction', 0.9),
           ('class_weight', 3))},
    'lists of unequal lengths': (lambda: quick.fit([[1.0, 2.0], [1.0]], ['a', 'b']), 'X: got lists of unequal lengths'),
    'some arrays and some text': (lambda: quick.fit([X[0], 'up'], ['a', 'b']), r'X\[1\]: got text'),
    'text in an array of objects': (lambda: quick.fit([X[0].astype(object), np.array([['1', 2]], object)], ['a', 'b']),
                                    r"X\[1\]: got the text '1', expected real numbers"),
    'missing values of a nullable type': (lambda: quick.fit([np.array([[None, 2.0]])], ['a']), r'X\[0\]: got NaN'),
    'targets in a table': (lambda: quick.fit(X, np.zeros((24, 2))), '1d array'),
    'text to measure': (lambda: measure.fit(X, ['long'] * 24), 'string|numeric|convert'),
    'text and numbers as classes': (lambda: quick.fit(X, [1, 'a'] * 12), 'y: got text beside other values'),
    'masked block': (lambda: quick.fit(np.ma.masked_less(np.ones((24, 3, 1)), 2), y), r'X\[0\]: got masked entries'),
    'masked targets': (lambda: measure.fit(X, np.ma.masked_greater(targets(measure), 0)), 'y: got masked entries'),
    'masked entries': (lambda: quick.fit([*X[:-1], np.ma.masked_greater(X[-1], 0)], y), r'X\[23\]: got masked entries'),
}


def optioned(**options) -> SequenceClassifier:
    "A classifier with such options, fitted"
    return clone(quick).set_params(**options).fit(X, y)


def known(features=2) -> SequenceClassifier:
    "A classifier that has learned a little"
    return clone(quick).set_params(epochs=1, members=1).fit([x[:, :features] for x in X], y)


@pytest.mark.parametrize('name', refusals)
def test_what_does_not_fit_is_refused(name):
    call, words = refusals[name]
    with pytest.raises((ValueError, TypeError), match=words): call()


def test_unfitted_use_is_refused():
    for call in (SequenceClassifier().predict, SequenceRegressor().predict, SequenceClassifier().predict_proba):
        with pytest.raises(NotFittedError): call(X)
    with pytest.raises(NotFittedError): Forecaster().predict()


def test_a_fit_that_fails_leaves_nothing_half_learned():
    again = known()
    with pytest.raises(ValueError, match='one class'): again.fit(X, ['a'] * 24)
    with pytest.raises(NotFittedError): again.predict(X)


# ---------------------------------------------------------------------------------- what the estimators have in common

SHORT = {'epochs': 1, 'members': 1, 'units': 2}
draw = np.random.default_rng(0).standard_normal
GOOD = {SequenceClassifier: (SHORT, draw((6, 4, 2)), np.array([0, 1] * 3)),
        SequenceRegressor: (SHORT, draw((6, 4, 2)), draw(6)),
        Forecaster: ({'horizon': 2, 'window': 3, 'units': 2, 'steps': 1, 'members': 1}, draw((40, 1)), draw(40))}
BAD = {'none': None, 'text': 'x', 'thing': object(), 'array': np.ones((1, 2, 3, 4)), 'nan': math.nan, 'minus': -1,
       'bool': True, 'empty': np.zeros(0)}
every = pytest.mark.parametrize('kind', GOOD)


def refusal(call, *args, **kwargs) -> str:
    "The one line with which a call is refused"
    with pytest.raises((ValueError, TypeError)) as caught: call(*args, **kwargs)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


@every
def test_an_option_that_there_is_none_of(kind):
    "In the name of the estimator that was asked for, with the names that there are; help knows them, too"
    message = refusal(kind, unit=3)
    assert message.startswith(f'{kind.__name__}: got unit, expected some of ')
    assert {*message.replace(' ', '').split('someof')[1].split(',')} == {*kind().get_params()}
    assert [*inspect.signature(kind).parameters] == [*inspect.signature(kind.__init__).parameters][1:]
    assert kind(units=5).get_params()['units'] == 5


@every
def test_help_of_an_estimator_fits_a_screen(kind):
    assert ('fit(X, y).predict(X_ahead)' if kind is Forecaster else 'predict([x])') in kind.__doc__
    for line in pydoc.plain(pydoc.render_doc(kind)).splitlines():
        assert '_SupportsArray' not in line and 'Buffer' not in line, line


@every
def test_one_option_at_a_time(kind):
    "Refused by fit, before any work, whatever the option; and what was fitted before is no longer there"
    options, X, y = GOOD[kind]
    undeclared = kind().get_params().keys() - kind._declared
    assert undeclared <= {'quantiles', 'class_weight', 'random_state', 'verbose'}
    free = {'random_state': ('none', 'bool'), 'class_weight': ('none',), 'verbose': BAD,      # True is the integer 1
            'epochs': ('none',), 'n_jobs': ('none', 'minus'), 'differences': ('bool',),
            **{name: ('none',) for name in ('window', 'steps', 'linear', 'calibration', 'calibration_every')}}
    for option in kind().get_params():
        for how, bad in BAD.items():
            if how in free.get(option, ()): continue
            wrong = kind(**options)
            if how == 'nan': wrong.fit(X, y)
            wrong.set_params(**{option: bad})
            assert re.search(rf'\b{option}\b', refusal(wrong.fit, X, y).split(':')[0]), (option, how)
            assert not hasattr(wrong, 'parameters_') and not [name for name in vars(wrong) if name.endswith('_')]


@every
def test_options_may_be_of_numpy(kind):
    "As in a grid that is an array"
    options, X, y = GOOD[kind]
    numpys = {name: np.array([value])[0] for name, value in {**options, 'cell': 'lstm', 'noise': 0.5}.items()}
    plain = {name: value.item() for name, value in numpys.items()}
    np.testing.assert_array_equal(*(kind(**o, random_state=0).fit(X, y).predict(X[:2]) for o in (numpys, plain)))


@every
def test_fit_and_load_leave_the_same_behind(kind, tmp_path):
    "All fitted attributes, and nothing of an earlier fit"
    options, X, y = GOOD[kind]
    fitted = kind(**options).fit(X, y)
    fitted.save(tmp_path/'e')
    assert vars(kind.load(tmp_path/'e')).keys() == vars(fitted).keys() == vars(fitted.fit(X, y)).keys()
    assert vars(fitted).keys() > vars(clone(fitted)).keys() == fitted.get_params().keys()


@every
def test_data_that_no_estimator_takes(kind):
    options, X, y = GOOD[kind]
    fitted = kind(**options).fit(X, y)
    for how, bad in {**BAD, 'dictionary': {'a': X}, 'missing': np.where(X > 1, np.nan, X), 'text in it': X.astype(str),
                     'complex': X * 1j, 'iterator': iter(X), 'infinite': X + np.inf}.items():
        if kind is Forecaster and how == 'none': continue                              # no covariates
        for call in (lambda bad=bad: kind(**options).fit(bad, y), lambda bad=bad: fitted.predict(bad),
                     lambda bad=bad: fitted.score(bad, y[:2])):
            with pytest.raises((TypeError, ValueError)) as caught: call()
            assert re.search(r'\bX\b|[Cc]omplex|2D array|^steps: got -1', str(caught.value)), (how, str(caught.value))
    for how, bad in {'nothing': None, 'short': y[1:], 'empty': y[:0], 'missing': np.where(y == y[0], np.nan, y),
                     'mixed': ['a', *y[1:].tolist()], 'complex': y * 1j}.items():
        message = refusal(kind(**options).fit, X, bad)
        assert re.search(r'\by\b', message) or (how == 'short' and message.startswith('X: got 40 rows')), (how, message)
    for bad in BAD.values():
        with pytest.raises((TypeError, ValueError)): kind(**options).fit(X, bad)


@every
@pytest.mark.parametrize('bad', [None, 3, object(), b'x', math.nan])
def test_what_is_no_path(kind, bad):
    options, X, y = GOOD[kind]
    for call in (kind(**options).fit(X, y).save, kind.load): assert refusal(call, bad).startswith('path: got')


@pytest.mark.parametrize('bad', [None, 3, math.nan, object(), 'x', [None], ['x'], [np.ones(3)], [[[1., 2.]]], [],
                                 [np.ones((2, 3)), np.ones((2, 4))], [np.array([['a']])]])
def test_what_cannot_be_packed(bad): assert refusal(pack, bad).startswith('sequences')


def test_without_scikit_learn_the_module_loads_and_says_what_is_missing():
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
