"""How `Forecaster` does on public series, beside its own weighted sum alone and statsforecast's models.

    python tools/compare_forecasts.py FOLDER_OF_SKTIME_DATA

The series come with the wheels of sktime (the folder sktime/datasets/data) and statsmodels; statsforecast is the other
side. None of the three is needed by the package. From four origins a series, half a horizon apart, each model is fitted
anew: mean absolute error in units of the seasonal-naive forecast's on the known part (MASE), and the fraction of the
truth inside the 80% interval.
"""
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from statsforecast.models import AutoETS, AutoTheta

from rnn_nbdev import Forecaster


def public_series(folder: Path) -> dict[str, tuple[np.ndarray, int, int]]:
    "Values, season and horizon of each series"
    read = lambda name: pd.read_csv(folder / name)
    data, us = sm.datasets, read('Uschange/Uschange.csv')
    macro = data.macrodata.load_pandas().data
    sea = data.elnino.load_pandas().data.drop(columns='YEAR').to_numpy().ravel()
    co2 = data.co2.load_pandas().data.co2.resample('MS').mean().interpolate()
    found = {
        'airline': (read('Airline/Airline.csv').Passengers, 12, 12), 'lynx': (read('Lynx/Lynx.csv').iloc[:, 1], 1, 6),
        'shampoo': (read('ShampooSales/ShampooSales.csv').Sales, 1, 6),
        'prescriptions': (read('PBS_dataset/PBS_dataset.csv').Scripts, 12, 12),
        'unemployment': (us.Unemployment, 4, 8), 'consumption': (us.Consumption, 4, 8),
        'seat belts': (read('seatbelts/seatbelts.csv').KSI, 12, 12), 'CO2': (co2[-240:], 12, 12),
        'Nile': (data.nile.load_pandas().data.volume, 1, 6), 'El Niño': (sea[~np.isnan(sea)][-300:], 12, 12),
        'sunspots': (data.sunspots.load_pandas().data.SUNACTIVITY, 11, 11), 'GDP': (macro.realgdp, 4, 8),
        'prices': (macro.cpi, 4, 8), 'treasury bills': (macro.tbilrate, 4, 8)}
    return {name: (np.asarray(y, float), season, horizon) for name, (y, season, horizon) in found.items()}


def forecasts(y: np.ndarray, season: int, h: int, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    "Median, lower and upper end of the interval, by model"
    fitted = Forecaster(horizon=h, season=season, random_state=seed).fit(y)
    found = fitted.forecast()
    by = {'Forecaster': (found.median, *found.interval)}
    fitted.linear_ = 1.0
    by['weighted sum'] = (fitted.predict(), *found.interval)
    for name, model in (('AutoETS', AutoETS), ('AutoTheta', AutoTheta)):
        f = model(season_length=season).forecast(y=y, h=h, level=[80])
        by[name] = f['mean'], f['lo-80'], f['hi-80']
    return by


def main(folder: str, seeds: int = 3) -> None:
    rows: dict[str, list] = {}
    for name, (y, season, h) in public_series(Path(folder)).items():
        scores: dict[str, list] = {}
        for seed in range(seeds):
            for k in range(4):
                origin = len(y) - h - k * max(1, h // 2)
                known, came = y[:origin], y[origin:origin + h]
                naive = np.abs(known[season:] - known[:-season]).mean()
                for model, (median, low, high) in forecasts(known, season, h, seed).items():
                    hit = np.mean((low <= came) & (came <= high))
                    scores.setdefault(model, []).append((np.abs(median - came).mean() / naive, hit))
        means = {model: np.mean(found, axis=0) for model, found in scores.items()}
        print(f'{name:16}', *(f'{model} {e:.3f} {hit:.2f}  ' for model, (e, hit) in means.items()), flush=True)
        for model, mean in means.items(): rows.setdefault(model, []).append(mean)
    for model, found in rows.items():
        e, hit = np.array(found).T
        print(f'{model:16} MASE {np.exp(np.log(e).mean()):.3f}, coverage {hit.mean():.3f}, lowest {hit.min():.2f}')


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    main(sys.argv[1])
