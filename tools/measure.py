"""How cost grows with the sizes, and what the first moments cost; run by hand on an idle machine.

    measure.py growth [FOLDER]    time of a training step against T, m and n_a, memory against T: slopes, and figures
    measure.py cold               importing the package, and the first compiled call on a machine and of a process
"""
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rnn_nbdev.bench import _Case, _choose, _installed, _measure_all
from rnn_nbdev.viz import plot_curves

SIZES = {'T': (16, 32, 64, 128, 256, 512), 'm': (1, 4, 16, 64, 256), 'n_a': (32, 64, 128, 256, 512, 1024)}
BASE = _Case('train', 'lstm', 64, 128, 32, 64)

# The most memory that a call holds beyond what was there before: large arrays are used again from call to call, so it
# is the first call of a new process that is looked at, once all that has to be loaded or compiled is.
PEAK = """
import tracemalloc
from rnn_nbdev.bench import _Case, _numbers_of
from rnn_nbdev.recurrent import engine_of, recurrent_backward, recurrent_forward

def run(T, training=True, outputs=True):
    x, state, parameters, da = _numbers_of(_Case('train', 'lstm', 64, 128, 32, T))
    tracemalloc.start()
    a, _, cache = recurrent_forward('lstm', x, state, parameters, training=training, outputs=outputs)
    if training: recurrent_backward(da, None, cache, inputs=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak

with engine_of({engine!r}): run(1), print(run({T}{options}))
"""
KINDS = {'training': '', 'inference': ', training=False', 'inference, final state': ', training=False, outputs=False'}

FIRST_CALL = """
import time
from rnn_nbdev.bench import _Case, _our_job
from rnn_nbdev.recurrent import engine_of
start = time.perf_counter()
with engine_of('jit'): _our_job(_Case('train', 'lstm', 8, 16, 4, 5)).run()
print(time.perf_counter() - start)
"""


def elsewhere(code: str, **environment: str) -> float:
    "The number that some statements print in a new process"
    ran = subprocess.run([sys.executable, '-c', code], check=True, env={**os.environ, **environment},
                         capture_output=True, text=True)
    return float(ran.stdout.split()[-1])


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    "The slope on two logarithmic axes, fitted to the upper half of the points, two at least"
    k = min(len(x) // 2, len(x) - 2)
    return float(np.polyfit(np.log(x[k:]), np.log(y[k:]), 1)[0])


def show(folder: Path, name: str, sizes: Sequence[int], curves: dict[str, list[float]], along: str, unit: str) -> None:
    "Curves on logarithmic axes, with their slopes"
    named = {f'{what}: slope {slope(sizes, y):.2f}': np.array(y) for what, y in curves.items()}
    plot_curves(np.array(sizes), named, along, unit, logx=True, logy=True).save(folder/f'{name}.png')
    print(f'{unit} against {along}:', *named, sep='\n    ')


def growth(folder: Path) -> None:
    """Time and memory against the sizes. Steps follow one another, so time is as T: slope 1. Against m the slope starts
    near 0, as one row leaves most of the machine idle, and comes to 1; against n_a it goes from below 1 to 2."""
    folder.mkdir(parents=True, exist_ok=True)
    names = _choose([name for name in ('jit', 'numpy', 'torch') if name in _installed()])
    for along, sizes in SIZES.items():
        cases = [BASE._replace(**{along: size}) for size in sizes]
        rows = _measure_all(cases, names, 3, say=lambda line: None)['cases']
        times = {name: [1e3 * row['implementations'][name]['median'] for row in rows] for name in names}
        show(folder, f'time-{along}', sizes, times, along, 'ms a training step')
    for engine in (name for name in names if name != 'torch'):
        memory = {kind: [elsewhere(PEAK.format(engine=engine, T=T, options=options)) / 2**20 for T in SIZES['T']]
                  for kind, options in KINDS.items()}
        show(folder, f'memory-{engine}', SIZES['T'], memory, 'T', f'MiB at most, {engine}')
    print(f'figures in {folder}')


def cold() -> None:
    "Each in new processes, three times"
    median: Callable[[Callable[[], float]], float] = lambda f: statistics.median(f() for _ in range(3))
    timed = 'import time, numpy; start = time.perf_counter(); import {}; print(time.perf_counter() - start)'
    for package in ('rnn_nbdev', *({'torch'} & {*_installed()})):
        print(f'{median(lambda: elsewhere(timed.format(package))):8.2f} s  import {package}, after numpy')  # noqa: B023
    if 'jit' not in _installed(): return
    with tempfile.TemporaryDirectory() as cache:
        print(f'{elsewhere(FIRST_CALL, NUMBA_CACHE_DIR=cache):8.2f} s  first compiled call on a machine')
        again = median(lambda: elsewhere(FIRST_CALL, NUMBA_CACHE_DIR=cache))
        print(f'{again:8.2f} s  first compiled call of a process')


if __name__ == '__main__':
    what, *rest = [*sys.argv[1:], '']
    if what == 'growth': growth(Path(rest[0] or 'growth'))
    elif what == 'cold': cold()
    else: sys.exit(__doc__)
