"The estimators: scikit-learn's own checks, every form of data, files, seeds, refusals, and the baseline."

import numpy as np
import pytest

pytest.importorskip('sklearn')
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from rnn_nbdev.forecast import Forecaster, check_quantiles, quantile_loss, rolling_origin, seasonal_naive, skill
from rnn_nbdev.tasks import SequenceClassifier, SequenceRegressor, pack, scale_of

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
    'a table': (lambda: known().predict(np.zeros((3, 4))), r'X\[0\]: got 1 features, expected 2'),
    'epochs': (lambda: clone(quick).set_params(epochs=0).fit(X, y), 'epochs'),
    'noise': (lambda: clone(quick).set_params(noise=-1).fit(X, y), 'noise'),
    'dropout': (lambda: clone(quick).set_params(dropout=1).fit(X, y), 'dropout'),
    'pool': (lambda: clone(quick).set_params(pool='sum').fit(X, y), "pool: got 'sum'"),
    'cell': (lambda: clone(quick).set_params(cell='gruu').fit(X, y), 'cell'),
    'random_state': (lambda: clone(quick).set_params(random_state='0').fit(X, y), 'random_state'),
}


def known() -> SequenceClassifier:
    "A classifier that has learned a little"
    return clone(quick).set_params(epochs=1, members=1).fit(X, y)


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


def test_quantiles_and_their_loss():
    q = check_quantiles([0.25, 0.5])
    loss, _ = quantile_loss(np.zeros((2, 2)), np.array([4.0, -4.0]), q)
    assert np.isclose(loss, np.mean([1, 3, 2, 2]))
    assert quantile_loss(np.zeros((2, 2), np.float32), np.zeros(2, np.float32), q)[0].dtype == np.float32


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
    'no median': (lambda: clone(brief).set_params(quantiles=(0.1, 0.9)).fit(None, series), 'quantiles'),
    'quantiles that fall': (lambda: clone(brief).set_params(quantiles=(0.5, 0.1)).fit(None, series), 'quantiles'),
    'no room for an origin': (lambda: rolling_origin(brief, None, series, first=115), 'first: got 115'),
    'steps': (lambda: clone(brief).set_params(steps=1).fit(None, series).forecast(steps=0), 'steps'),
    'missing covariates': (lambda: clone(brief).set_params(steps=1).fit(hour, series).forecast(steps=2), 'X: got None'),
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


