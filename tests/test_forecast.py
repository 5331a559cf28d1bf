"The forecaster: baseline, weighted sum, quantiles, calibration, origins, times, files, and what is refused."

import numpy as np
import pytest

pytest.importorskip('sklearn')
from sklearn.base import clone
from sklearn.model_selection import TimeSeriesSplit, cross_val_score
from sklearn.preprocessing import StandardScaler

from rnn_nbdev import forecast
from rnn_nbdev.forecast import (Forecaster, _moved_quantiles, _quantile_shifts, quantile_loss, rolling_origin,
                                seasonal_naive, skill)

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
    distances = fitted._distances()
    assert distances.tolist() == list(range(6, 24, 2))
    by_end = {end: clone(brief).fit(hour[:end], series[:end]) for end in (78, 100)}       # the rehearsal, and itself
    for later in (fitted, fitted.extended(hour[100:106], series[100:106]), fitted.extended(hour[100:], series[100:])):
        errors = []
        for d in sorted(distances, key=lambda d: d > later.since_):
            end, origin = 100 if d <= later.since_ else 78, 100 + later.since_ - d
            known = slice(end, origin)
            f = by_end[end].extended(hour[known], series[known]) if origin > end else by_end[end]
            errors.append(series[origin:origin + 6] - f.forecast(hour[origin:origin + 6]).quantiles)
        np.testing.assert_allclose(later._past_errors(), np.stack(errors, axis=1), atol=1e-9)


def test_what_comes_later_changes_nothing():
    "No origin may know what came after it, nor may its correction"
    changed = series.copy()
    changed[100:] = 1e3
    a, b = (rolling_origin(brief, hour, s, first=88, every=6).errors for s in (series, changed))
    assert (a[:2] == b[:2]).all() and (a[-1] != b[-1]).all()
    a, b = (rolling_origin(calibrated, hour, s, first=100, every=6).width for s in (series, changed))
    assert (a[0] == b[0]).all() and (a[-1] != b[-1]).any()


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
    q = np.array([0.25, 0.5])
    loss, _ = quantile_loss(np.zeros((2, 2)), np.array([4.0, -4.0]), q)
    assert np.isclose(loss, np.mean([1, 3, 2, 2]))
    assert quantile_loss(np.zeros((2, 2), np.float32), np.zeros(2, np.float32), q)[0].dtype == np.float32


def trained(**options) -> Forecaster:
    "A forecaster with such options, fitted"
    return clone(brief).set_params(**options).fit(None, series)


forecasts_refused = {
    'unsorted time': (lambda: brief.fit(None, series, t[::-1]), 'times: got 118 after 119'),
    'time of another length': (lambda: brief.fit(None, series, t[:-1]), 'times: got shape'),
    'time as text': (lambda: brief.fit(None, series, t.astype(str)), 'times: got <U'),
    'too short': (lambda: brief.fit(None, series[:29]), 'season . window . horizon: 30'),
    'rows': (lambda: brief.fit(hour[:-1], series), 'X: got 119 rows, expected 120'),
    'two columns': (lambda: brief.fit(None, hour), 'y'),
    'no room for an origin': (lambda: rolling_origin(brief, None, series, first=115), 'first: got 115'),
    'steps': (lambda: trained(steps=1).forecast(steps=0), 'steps'),
    'missing covariates': (lambda: clone(brief).set_params(steps=1).fit(hour, series).forecast(steps=2), 'X: got None'),
    'no steps': (lambda: brief.fit(None, []), 'y: got no steps'),
    'how many steps': (lambda: clone(brief).set_params(steps=1).fit(hour, series).predict(), r'\(steps, 2\)'),
    'no time at all': (lambda: brief.fit(None, series, np.full(120, np.datetime64('NaT', 'D'))), 'times: got NaT'),
    'horizon beyond the data': (lambda: trained(horizon=110), 'got n_samples = 120'),
    'too few to correct by': (lambda: trained(calibration=8), 'got 8 origins.* 9 or more'),
    'no room for the calibration': (lambda: trained(calibration=90), 'for the calib'),
    'no room to stop in time': (lambda: clone(brief).set_params(validation_fraction=0.5).fit(None, series[:40]),
                                'validation_fraction: got 0.5'),
    'masked series': (lambda: brief.fit(None, np.ma.masked_greater(series, 8)), 'y: got masked entries'),
    'masked covariates': (lambda: brief.fit(np.ma.masked_greater(hour, 0.5), series), 'X: got masked entries'),
    'another kind of time': (lambda: clone(brief).set_params(steps=1).fit(None, series, t).extended(
        None, [1.0], np.array(['2024-01-01'], 'M8[D]')), r'times: got datetime64\[D\] after int64'),
    'covariates of a roll': (lambda: rolling_origin(brief, hour[:-1], series, first=100), 'X: got 119 rows'),
    'time of a roll': (lambda: rolling_origin(brief, None, series, first=100, times=t[::-1]), 'times: got 118 after'),
    'nothing new': (lambda: trained(steps=1).extended(None, []), 'y: got no steps'),
    'new NaN': (lambda: trained(steps=1).extended(None, [np.nan]), 'NaN'),
    'a score of nothing': (lambda: trained(steps=1).score(None, []), 'y: got no steps'),
    'time twice': (lambda: brief.fit(None, series, np.zeros(120)), 'times'),
    'time spans': (lambda: brief.fit(None, np.arange(120).astype('m8[D]')), 'y: got timedelta64'),
    'covariates of one axis': (lambda: brief.fit(hour[:, 0], series), '2D array'),
    'naive: a number': (lambda: seasonal_naive(3.0, 1, 1), r'y: got shape \(\)'),
    'loss: shape': (lambda: quantile_loss(np.zeros((2, 3)), np.zeros(3), [0.5]), r'y_pred: got shape \(2, 3\)'),
    **{f'{option} {bad}': (lambda option=option, bad=bad: trained(**{option: bad}), f'{option}: got')
       for option, bad in (
        ('horizon', 0), ('season', 1.5), ('calibration', 9.5), ('calibration', -1), ('linear', -0.1), ('linear', 1.1),
        *(('quantiles', q) for q in ((0.1, 0.9), (0.5, 0.1), (0.5, 1.0), ('low', 'high'))))},
    'naive: season': (lambda: seasonal_naive([1, 2], 3, 1), 'y: got 2 steps, expected at least a season: 3'),
}


@pytest.mark.parametrize('name', forecasts_refused)
def test_what_does_not_fit_a_forecast_is_refused(name):
    call, words = forecasts_refused[name]
    with pytest.raises((ValueError, TypeError), match=words): call()


def refusal(call, *args, **kwargs) -> str:
    "The one line with which times are refused"
    with pytest.raises((ValueError, TypeError), match=r'^times: got') as caught: call(*args, **kwargs)
    assert '\n' not in str(caught.value)
    return str(caught.value)


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
        message = refusal(f.fit, None, y[:27], bad)
        assert 'expected even steps of about' in message and not hasattr(f, 'parameters_')
        refusal(rolling_origin, f, None, y[:27], 20, times=bad)
    known = f.fit(None, y[:24], t[:24])
    known.save(tmp_path / 'f')
    for f in (known, Forecaster.load(tmp_path / 'f'), known.extended(None, y[24:25], t[24:25])):
        start = 25 if f is not known and f.since_ else 24
        f.extended(None, y[start:], t[start:])
        f.extended(None, y[start:start + 1], t[start:start + 1])
        for bad in (t[start + 1:], t[start + 1:start + 2]): refusal(f.extended, None, y[:len(bad)], bad)
    known.extended(None, y[:4])                                                             # no times, nothing to check


def test_times_in_other_units():
    "Years after days, and days after hours: compared as they are, not cut"
    y, f = np.sin(np.arange(28.)), Forecaster(horizon=2, window=3, units=2, steps=1, members=1)
    f.fit(None, y, EVEN['days of months'])
    f.extended(None, y[:2], np.array(['2022-05', '2022-06'], 'datetime64[M]'))
    refusal(f.extended, None, y[:2], np.array(['2022-06', '2022-07'], 'datetime64[M]'))
    f.fit(None, y, np.arange(28) / 2)
    f.extended(None, y[:1], [14])
    refusal(f.extended, None, y[:1], [15])
