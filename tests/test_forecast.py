"The forecaster: baseline, weighted sum, quantiles, calibration, origins, times, files, and what is refused."

import warnings

import numpy as np
import pytest

pytest.importorskip('sklearn')
from sklearn.base import clone
from sklearn.model_selection import TimeSeriesSplit, cross_val_score
from sklearn.preprocessing import StandardScaler

from rnn_nbdev import forecast
from rnn_nbdev.forecast import (Forecaster, _calibrated, _interval_factors, quantile_loss, rolling_origin,
                                seasonal_naive, series_from, skill)

t = np.arange(120)
series = 5 + 3 * np.sin(2 * np.pi * t / 12) + 0.1 * t
hour = np.column_stack([np.sin(2 * np.pi * t / 12), np.cos(2 * np.pi * t / 12)])
brief = Forecaster(horizon=6, season=12, window=12, units=6, linear=0.5, steps=40, members=1, noise=0.02, dropout=0,
                   calibration=0, random_state=0)


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
    distances = fitted.plan_.distances(6)
    assert distances.tolist() == list(range(6, 24, 2))
    by_end = {end: clone(brief).fit(hour[:end], series[:end]) for end in (78, 100)}       # the rehearsal, and itself
    for later in (fitted, fitted.extended(hour[100:106], series[100:106]), fitted.extended(hour[100:], series[100:])):
        errors = []
        for d in sorted(distances, key=lambda d: d > later.since_):
            end, origin = 100 if d <= later.since_ else 78, 100 + later.since_ - d
            known = slice(end, origin)
            f = by_end[end].extended(hour[known], series[known]) if origin > end else by_end[end]
            errors.append(series[origin:origin + 6] - f.forecast(hour[origin:origin + 6]).quantiles)
        quantiles, came = later._past()
        np.testing.assert_allclose(came - quantiles, np.stack(errors, axis=1), atol=1e-9)


def test_what_comes_later_changes_nothing():
    "No origin may know what came after it, nor may its correction"
    changed = series.copy()
    changed[100:] = 1e3
    a, b = (rolling_origin(brief, hour, s, first=88, every=6).errors for s in (series, changed))
    assert (a[:2] == b[:2]).all() and (a[-1] != b[-1]).all()
    a, b = (rolling_origin(calibrated, hour, s, first=100, every=6).width for s in (series, changed))
    assert (a[0] == b[0]).all() and (a[-1] != b[-1]).any()


def test_corrected_intervals_hold_what_they_promise():
    "Lei and others 2018: for exchangeable errors, whatever the quantiles were; an outer interval holds the inner"
    draw, shares, inside = np.random.default_rng(0), np.array([0.05, 0.3, 0.5, 0.7, 0.95]), []
    for _ in range(3000):
        came, guess = draw.standard_cauchy(40), np.array([[-5.0], [2.0], [3.0], [3.4], [3.5]])
        factors = _interval_factors(np.repeat(guess[:, None], 39, axis=1), came[:39, None], shares)
        found = _calibrated(guess, factors)[:, 0]
        assert (np.diff(found) >= 0).all()
        inside.append([found[0] <= came[39] <= found[4], found[1] <= came[39] <= found[3]])
    assert np.abs(np.mean(inside, axis=0) - (0.9, 0.4)).max() < 0.03                     # standard errors 0.006, 0.009
    assert _calibrated(np.array([[1.0], [2.0], [3.0]]), np.array([[5.0]]))[:, 0].tolist() == [-3, 2, 7]


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


def trained_on_two() -> Forecaster:
    "A forecaster of two series that differ in length and size, fitted"
    return clone(brief).set_params(steps=1).fit([series, 1000 * series[:80]])


forecasts_refused = {
    'unsorted time': (lambda: brief.fit(None, series, t[::-1]), 'times: got 118 after 119'),
    'time of another length': (lambda: brief.fit(None, series, t[:-1]), 'times: got shape'),
    'time as text': (lambda: brief.fit(None, series, t.astype(str)), 'times: got <U'),
    'no series': (lambda: brief.fit([]), 'y: got'),
    'another number of series': (lambda: trained_on_two().extended([series[:3]]), 'expected one for each of 2 series'),
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
    'too few to correct by': (lambda: trained(calibration=3), 'got 3 origins.* 4 or more'),
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
        ('horizon', 0), ('season', 1.5), ('season', ()), ('season', (12, 0)), ('calibration', 9.5),
        ('calibration', -1), ('linear', -0.1), ('linear', 1.1),
        *(('quantiles', q) for q in ((0.1, 0.9), (0.5, 0.1), (0.5, 1.0), (0.5, 0.9), ('low', 'high'))))},
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
    f = Forecaster(horizon=2, window=3, units=2, steps=1, members=1, calibration=0)
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
    y, f = np.sin(np.arange(28.)), Forecaster(horizon=2, window=3, units=2, steps=1, members=1, calibration=0)
    f.fit(None, y, EVEN['days of months'])
    f.extended(None, y[:2], np.array(['2022-05', '2022-06'], 'datetime64[M]'))
    refusal(f.extended, None, y[:2], np.array(['2022-06', '2022-07'], 'datetime64[M]'))
    f.fit(None, y, np.arange(28) / 2)
    f.extended(None, y[:1], [14])
    refusal(f.extended, None, y[:1], [15])


def test_what_is_left_open_the_data_decide():
    "Fewer origins and steps for a short series, none where there is no room; the blend is found at the past origins"
    f = Forecaster(season=12, units=4, members=1, random_state=0)
    plans = [f._plan([T]) for T in (40, 70, 100, 2000)]
    assert [plan.calibration for plan in plans] == [0, 17, 20, 20] and [plan.every for plan in plans] == [1, 1, 1, 12]
    assert [plan.steps for plan in plans] == [60, 60, 60, 500] and [plan.window for plan in plans] == [5, 15, 24, 24]
    assert f.set_params(calibration=0)._plan([100]).calibration == 0
    chaos = [0.3]
    for _ in range(149): chaos.append(4 * chaos[-1] * (1 - chaos[-1]))              # which no weighted sum can predict
    found = [Forecaster(horizon=1, window=4, units=8, members=1, steps=steps, noise=0, dropout=0, random_state=0).fit(y)
             for steps, y in ((1, np.cumsum(series)), (150, chaos))]
    assert found[0].linear_ > 0.7 and found[1].linear_ == found[1].rehearsal_.linear_ < 0.3


def test_fit_and_predict_as_everybody_expects_them():
    f = clone(brief).set_params(steps=3)
    found = f.fit(series[:100]).predict(4)
    assert (found == clone(f).fit(None, series[:100]).forecast(steps=4).median).all()
    assert (f.forecast(np.int64(4)).median == found).all()
    assert f.score(series[100:106]) == f.score(None, series[100:106])
    assert (f.extended(series[100:]).predict() == f.extended(None, series[100:]).predict()).all()


@pytest.mark.parametrize('noise', [0, 1e-17])
def test_what_repeats_itself_exactly_is_forecast_to_go_on(noise):
    for y, season in ((np.full(90, 0.1), 1), (np.tile([0.1, 0.7, 0.3], 30) * (1 + noise), 3)):
        f = Forecaster(horizon=6, season=season, units=2, steps=2, members=1, random_state=0).fit(y).forecast()
        np.testing.assert_allclose(f.quantiles, np.repeat(np.resize(y[-season:], 6)[None], 3, axis=0), rtol=1e-12)


def test_a_season_that_is_left_out_is_named():
    y = series + np.random.default_rng(0).normal(size=120)
    quick = clone(brief).set_params(steps=1, season=1)
    with pytest.warns(UserWarning, match='season: got 1.* every 12 steps'): quick.fit(y)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        noise = np.random.default_rng(1).normal(size=120)
        for calm in (noise, noise.cumsum(), 0.5 * t): quick.fit(calm)


def test_two_seasons():
    "A day of 6 steps and a week of 42: nearer to the truth than with either alone"
    draw, T = np.random.default_rng(0), 42 * 8
    week = np.tile(np.where(np.arange(42) < 30, 3.0, -3.0), 8)
    y = 10 + week * np.tile([0, 1, 2, 3, 2, 1.0], 56) + 0.3 * draw.normal(size=T)
    error = {}
    for season in (6, 42, (6, 42), [42, 6]):
        f = Forecaster(horizon=6, season=season, window=12, units=8, steps=60, members=1, calibration=0, random_state=0)
        f.fit(y[:T - 42])
        error[str(season)] = np.mean([np.abs(f.extended(y[T - 42:o]).predict() - y[o:o + 6]).mean() if o > T - 42 else 0
                                      for o in range(T - 36, T - 5, 6)])
    assert error['(6, 42)'] == error['[42, 6]'] < min(error['6'], error['42'])


def test_many_series_share_a_network(tmp_path):
    "Each is forecast as by itself with these weights, whatever its scale; names and files are kept"
    several = {'a': series[:100], 'b': 1000 * series[:90] + 7, 'c': series[5:100][::-1].copy()}
    f = clone(brief).set_params(steps=5, linear=None, calibration=None)
    fitted = f.fit(several)
    found = fitted.predict(4)
    assert [*found] == ['a', 'b', 'c'] and {len(v) for v in found.values()} == {4}
    again = clone(f).fit([*several.values()])
    for name, of_list in zip(found, again.predict(4)): assert (found[name] == of_list).all()
    scaled = clone(f).fit({**several, 'a': 50 * several['a']})
    np.testing.assert_allclose(scaled.predict(4)['a'], 50 * found['a'], rtol=1e-4)
    later = fitted.extended({name: y[:3] for name, y in several.items()})
    assert later.each_['b'].since_ == 3 and np.isfinite(later.score({name: y[:6] for name, y in several.items()}))
    later.save(tmp_path / 'f')
    back = Forecaster.load(tmp_path / 'f')
    for name, one in later.forecast(8).items(): assert (one.quantiles == back.forecast(8)[name].quantiles).all()
    with_covariates = clone(f).fit([hour[:100], hour[:90]], [series[:100], series[:90]])
    assert [len(v) for v in with_covariates.predict([hour[100:103], hour[90:95]])] == [3, 5]


def test_a_series_brings_its_own_dates():
    "Newest first is turned round, a gap is filled in and told, dates of every kind are even"
    pd = pytest.importorskip('pandas')
    f = clone(brief).set_params(steps=2)
    days = pd.date_range('2024-01-01', periods=100)
    for index in (days, days.tz_localize('Europe/Berlin'), days.to_period('D'), days.date, pd.RangeIndex(100),
                  pd.bdate_range('2024-01-01', periods=100), pd.date_range('2024-01-31', periods=100, freq='ME')):
        y = pd.Series(series[:100], index)
        straight = f.fit(y).predict(3)
        assert (f.fit(y[::-1]).predict(3) == straight).all()
        assert (f.fit(hour[:100][::-1], y[::-1]).last_X_ == hour[76:100]).all()
    with pytest.warns(UserWarning, match='2 steps are missing, the first after 2024-02-14'):
        holed = f.fit(pd.Series(series[:100], days).drop(days[45:47])).predict(3)
    np.testing.assert_allclose(holed, straight, atol=0.5)
    refusal(f.fit, hour[:98], pd.Series(series[:100], days).drop(days[45:47]))
    hours = pd.date_range('2024-03-30', periods=100, freq='h', tz='Europe/Berlin')                     # clocks change
    assert f.fit(series[:100], times=[*hours]).time_step_ == np.timedelta64(1, 'h')
    refusal(f.fit, None, series[:99], hours.delete(40))


@pytest.mark.parametrize('library', ['pandas', 'polars'])
def test_the_series_of_a_long_frame(library):
    "Rows in any order, a series at a time or not; equal times are refused when they are fitted"
    pd = pytest.importorskip(library)
    days = np.arange('2024-01-01', '2024-03-01', dtype='datetime64[D]')
    rows = np.random.default_rng(0).permutation(100)
    columns = {'shop': np.repeat(['b', 'a'], 50)[rows], 'day': np.tile(days[:50], 2)[rows], 'sold': series[:100][rows]}
    y, times = series_from(pd.DataFrame(columns), 'shop', 'day', 'sold')
    assert (y['b'] == series[:50]).all() and (y['a'] == series[50:100]).all() and (times['a'] == days[:50]).all()
    f = clone(brief).set_params(steps=1)
    assert (f.fit(None, y, times).predict()['a'] == f.fit([y['a'], y['b']]).predict()[0]).all()
    refusal(f.fit, None, *series_from(pd.DataFrame({**columns, 'shop': ['a'] * 100}), 'shop', 'day', 'sold'))
    with pytest.raises(ValueError, match=r'time: got .*no such column'):
        series_from(pd.DataFrame(columns), 'shop', 'time', 'y')
