"Everything but layers and training: whatever makes no sense is refused in one line that names it, before any work."
import inspect
import math
import pydoc

import numpy as np
import pytest
from test_refusals import refused

from rnn_nbdev import data, forecast, tasks, text
from rnn_nbdev.forecast import Forecaster
from rnn_nbdev.init import initialize_lstm
from rnn_nbdev.recurrent import ENGINES, Stream, engine_of, has_numba
from rnn_nbdev.tasks import SequenceClassifier, SequenceRegressor

RNG = np.random.default_rng


# ------------------------------------------------------------------------------------------------------------ streams

def lstm(m: int = 1):
    parameters = initialize_lstm(RNG(0), 3, 5)
    return parameters, {'a': RNG(1).standard_normal((5, m)), 'c': RNG(2).standard_normal((5, m))}


@pytest.mark.parametrize('name', [name for name in ENGINES if name != 'textbook' and (name != 'jit' or has_numba())])
@pytest.mark.parametrize('m', [1, 2])
def test_a_stream_begins_anew(name, m):
    "Whatever it was fed, NaN too; from where it started, which nobody has changed by then, or from where one says"
    parameters, state = lstm(m)
    first = {key: s.copy() for key, s in state.items()}
    with engine_of(name): stream = Stream('lstm', parameters, state)
    x = RNG(3).standard_normal((3, m))
    once = stream.step(x).copy()
    there = stream.state
    twice = stream.step(x).copy()
    for s in state.values(): s[:] = 7
    stream.step(x * np.nan)
    assert np.isnan(stream.step(x)).all()
    stream.reset()
    for key, s in stream.state.items(): np.testing.assert_array_equal(s, first[key])
    np.testing.assert_array_equal(stream.step(x), once)
    stream.reset(there)
    np.testing.assert_array_equal(stream.step(x), twice)
    stream.reset(first)
    for bad in ({'a': first['a']}, {**first, 'c': np.ones((5, m + 1))}, {**first, 'a': None}, 'a', np.ones((5, m))):
        assert refused('', stream.reset, bad).split(':')[0] in ('state', 'a', 'c')
        for key, s in stream.state.items(): np.testing.assert_array_equal(s, first[key])


@pytest.mark.parametrize('name', [name for name in ENGINES if name != 'textbook' and (name != 'jit' or has_numba())])
def test_a_stream_of_nothing(name):
    parameters, state = lstm()
    with engine_of(name):
        for bad in (None, [], 'x', 3): refused('parameters', Stream, 'lstm', bad, state)
        for bad in (None, [], 'x', 3, {}): refused('state', Stream, 'lstm', parameters, bad)
        refused('a', Stream, 'lstm', parameters, {'a': np.ones((5, 0)), 'c': np.ones((5, 0))})
        refused('Wc', Stream, 'lstm', {**parameters, 'Wc': np.ones((5, 3))}, state)
        stream = Stream('lstm', parameters, state)
    for bad in (None, 'x', 3., np.ones(4), np.ones((3, 2)), np.array([['a']] * 3), np.array([[None]] * 3)):
        refused('x_t', stream.step, bad)


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
