"""The benchmark's machinery: that what is counted and compared is right. How fast anything is, is never asserted."""
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnn_nbdev import bench
from rnn_nbdev.bench import _Case

ENVIRONMENT = {**os.environ, 'OPENBLAS_NUM_THREADS': '1', 'COLUMNS': '200'}
TINY = [_Case(task, cell, 3, 4, 1 if task == 'stream' else 2, 5) for task in bench._TASKS[:3] for cell in bench._EVERY]


def run_command(*args, cwd):
    script = Path(sys.executable).parent/'rnn_bench'
    assert script.exists(), f'rnn_bench is not installed beside {sys.executable}'
    return subprocess.run([str(script), *map(str, args)], cwd=cwd, capture_output=True, text=True, encoding='utf-8',
                          timeout=120, env=ENVIRONMENT)


# -------------------------------------------------------------------------------------------------------- what is done

def test_operations_are_those_of_the_products():
    "Counted once more, product by product"
    n_x, n_a, m, T = 3, 5, 7, 11
    for cell, gates in {'rnn': 1, 'lstm': 4, 'gru_after': 3}.items():
        forward = sum(2 * n_a * (n_a + n_x) * m for _ in range(T) for _ in range(gates))
        assert bench._operations(_Case('infer', cell, n_x, n_a, m, T)) == forward
        assert bench._operations(_Case('stream', cell, n_x, n_a, m, T)) == forward
        assert bench._operations(_Case('train', cell, n_x, n_a, m, T)) == 3 * forward
    assert bench._operations(_Case('product', 'matrix', 2, 3, 5, 1)) == 2 * 2 * 3 * 5
    assert bench._operations(bench._TEXT) == 0


def test_every_size_is_measured_where_it_should_be():
    cases = bench._cases_of()
    lstm = [case for case in cases if case.cell == 'lstm']
    for task in ('train', 'infer'): assert [c[2:] for c in lstm if c.task == task] == list(bench._SIZES)
    for cell in ('rnn', 'gru_after'): assert sum(c.cell == cell and c.task == 'train' for c in cases) == 3
    assert all(case.m == 1 for case in cases if case.task == 'stream')
    assert cases[0] == bench._PRODUCT and cases[-1] == bench._TEXT
    one = _Case('train', 'rnn', 2, 3, 4, 5)
    assert bench._cases_of(sizes=[one[2:]], cells=['rnn'], tasks=['train'])[1:] == [one]
    assert len(bench._cases_of(quick=True)) < len(cases)


@pytest.mark.parametrize('framework', bench._ORDERS)
@pytest.mark.parametrize('cell', bench._CELLS.values())
def test_weights_come_back_from_every_order(framework, cell):
    _, _, parameters, _ = bench._numbers_of(_Case('train', cell, 2, 3, 1, 1))
    assert all(p.any() for p in parameters.values()), 'a bias of zero would hide a mistake'
    order = bench._ORDERS[framework][cell]
    again = bench._from_order(cell, bench._to_order(cell, parameters, order), order)
    assert again.keys() == parameters.keys()
    for name, p in parameters.items(): assert np.array_equal(again[name], p), name


def test_all_implementations_that_are_installed_agree(tmp_path):
    "Each in its own process, on every task and cell that it can do"
    names = bench._choose()
    with bench._processes(names, [1]) as processes:
        for case in TINY:
            expected = None
            for name in (name for name in names if bench._can(name, case)):
                got, difference = bench._prepare(case, processes[name], tmp_path, expected)
                assert difference <= 1e-5, (name, case)
                expected = expected or got


# ------------------------------------------------------------------------------------------------- what is not timed

class Pretended:
    "A process that gives whatever it was told to, and keeps a list of which were asked to work"
    threads = 1

    def __init__(self, name, log, seconds=0.01, **results):
        self.name, self.log, self.seconds, self.results = name, log, seconds, results

    def ask(self, **question):
        if 'case' in question:
            if not self.results: raise RuntimeError('cannot')
            return np.savez(question['file'], **self.results)
        self.log.append(self.name)
        return self.seconds


def test_an_implementation_that_differs_is_excluded_and_named(tmp_path):
    log, a = [], np.ones((2, 3))
    wrong = a.copy()
    wrong[1, 1] += 2e-4
    given = {'jit': {'a': a}, 'numpy': {'a': a * (1 + 1e-6)}, 'textbook': {'a': wrong}, 'torch': {},
             'onnxruntime': {'a': a[:1]}, 'jax': {'b': a}}
    processes = {name: [Pretended(name, log, **results)] for name, results in given.items()}
    row = bench._measure_case(_Case('infer', 'lstm', 1, 1, 1, 1), processes, 3, tmp_path)
    nan = bench._largest_difference({'a': a * np.nan}, {'a': a})[0]
    assert np.isnan(nan) and not nan <= 1e-4
    timed = {name for name, c in row['implementations'].items() if 'median' in c}
    assert timed == set(log) == {'jit', 'numpy'}
    said = {name: c['error'] for name, c in row['implementations'].items() if name not in timed}
    assert said['torch'] == 'cannot' and 'differs by 2.0e-04' in said['textbook'] and 'shape' in said['onnxruntime']
    assert 'expected' in said['jax']
    result = {'cases': [row]}
    assert len(bench._excluded(result)) == 4
    assert bench._time_entry(row, 'torch') == 'excluded' and bench._ratio_of(row, 'torch', 'jit') is None


def test_rounds_are_interleaved_and_slow_ones_end_sooner():
    log = []
    ready = {name: (Pretended(name, log, each), 1, each) for name, each in {'a': 0.1, 'b': 5.0, 'c': 0.2}.items()}
    times = bench._take_turns(ready, 5)
    assert log == ['a', 'b', 'c'] * 3 + ['a', 'c'] * 2
    assert {name: len(t) for name, t in times.items()} == {'a': 5, 'b': 3, 'c': 5}


def test_each_works_at_its_best_number_of_threads():
    log = []
    slow, fast = Pretended('slow', log, 0.2), Pretended('fast', log, 0.001)
    process, calls, each = bench._best_process([slow, fast], seconds=0.05)
    assert process is fast and calls == 50 and each == 0.001


def test_a_process_that_dies_says_so():
    process = bench._Process('numpy', 1)
    try:
        with pytest.raises(RuntimeError, match='abacus'): process.ask(case=['train', 'abacus', 1, 1, 1, 1], file='')
        process.process.kill()
        with pytest.raises(RuntimeError, match='ended with code'): process.ask(calls=1)
    finally: process.close()


# ----------------------------------------------------------------------------------------------------- what is told

def made_row(task='train', n_a=256, **seconds):
    of = lambda s: {'threads': 1, 'difference': 0.0, 'seconds': s, **bench._quartiles(s)}
    times = {name: of(s) for name, s in seconds.items()}
    return {**_Case(task, 'lstm', 8, n_a, 4, 2)._asdict(), 'operations': 1000, 'implementations': times}


def test_ratios_are_taken_within_a_round():
    row = made_row(jit=[1.0, 2.0, 4.0], torch=[2.0, 4.0, 8.0], numpy=[3.0, 6.0])
    assert bench._ratio_of(row, 'torch', 'jit') == {'low': 2.0, 'median': 2.0, 'high': 2.0}
    assert bench._ratio_of(row, 'numpy', 'jit')['median'] == 3.0
    rows = [row, made_row(jit=[1.0], torch=[8.0])]
    found = next(s for s in bench._summarize(rows) if (s['theirs'], s['ours']) == ('torch', 'jit'))
    assert (found['cases'], found['lowest'], found['highest']) == (2, 2.0, 8.0) and np.isclose(found['mean'], 4.0)


def test_the_part_of_the_machine_is_that_of_the_fastest_product():
    product = {**made_row('product', numpy=[1.0], torch=[0.5]), 'operations': 4000}
    row, small = made_row(jit=[0.25]), made_row(n_a=255, jit=[1.0])
    assert bench._product_rate([product, row]) == 8000
    assert bench._part_reached(row, 'jit', 8000) == 0.5 and bench._part_reached(row, 'torch', 8000) is None
    assert bench._large_parts([product, row, small], 'jit') == [0.5]


def test_a_tiny_benchmark_from_end_to_end(tmp_path):
    done = run_command('--quick', '--implementations', 'numpy,textbook', '--sizes', '3,4,2,5 2,3,1,4',
                       '--cells', 'lstm', '--tasks', 'train,infer,stream', '--rounds', 2,
                       '--json', tmp_path/'b.json', '--markdown', tmp_path/'b.md', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    result = json.loads((tmp_path/'b.json').read_text())
    assert {'machine', 'versions', 'threads_tried', 'missing', 'rounds', 'seconds', 'product_rate', 'cases',
            'theirs_over_ours'} == set(result)
    assert {'processor', 'vectors', 'cores', 'system', 'python', 'load', 'blas', 'advice'} == set(result['machine'])
    assert set(result['versions']) == {'numpy', 'textbook'} and result['rounds'] == 2 and result['product_rate'] > 0
    assert [row['task'] for row in result['cases']] == ['product', 'train', 'train', 'infer', 'infer', 'stream']
    for row in result['cases']:
        for c in row['implementations'].values():
            assert {'threads', 'difference', 'low', 'median', 'high', 'seconds'} == set(c)
            assert 0 < c['low'] <= c['median'] <= c['high'] and len(c['seconds']) == 2
    tables = (tmp_path/'b.md').read_text()
    assert '## Theirs over ours' in tables and re.search(r'\| train: textbook / ours +\| +2 \|', tables)
    for text in (tables, (tmp_path/'b.json').read_text(), done.stdout): assert socket.gethostname() not in text
    assert tables.split('\n## ')[1].split()[0] in done.stdout


def test_the_first_losses_are_told(tmp_path):
    names = ['numpy', 'textbook']
    case = bench._TEXT._replace(n_x=4, n_a=6, m=3, T=5)
    result = bench._measure_all([case], names, rounds=1, say=lambda line: None, threads=[1])
    losses = [np.array(found) for found in result['cases'][0]['losses'].values()]
    assert len(losses) == len(names) and losses[0].shape == (bench._COMPARED,)
    assert all(abs(other - losses[0]).max() <= 1e-4 for other in losses)
    assert len(bench._loss_lines(result)) == len(names) and result['product_rate'] is None
    assert 'char/s' in bench._report(result) and bench._report(result).count('- numpy: ') == 1


@pytest.mark.parametrize('args', [
    ['--sizes', '1,2,3'], ['--sizes', '0,1,1,1'], ['--implementations', 'abacus'], ['--rounds', '-1'],
    ['--tasks', 'dream'], ['--cells', 'neuron'], ['--json', 'none/b.json'], ['--markdown', '.']], ids=' '.join)
def test_nonsense_is_refused_in_one_line(args, tmp_path):
    done = run_command(*args, cwd=tmp_path)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith(f'rnn_bench: error: {args[0][2:]}: ') and done.stderr.count('\n') == 1
    assert not any(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------ the BLAS of NumPy

def library(api='openblas', kernels='Haswell', path='/x/numpy.libs/libopenblas.so', user='blas'):
    "What threadpoolctl tells of a library"
    told = {'user_api': user, 'internal_api': api, 'version': '0.3.31', 'filepath': path, 'num_threads': 2}
    return {**told, 'architecture': kernels} if kernels else told


@pytest.fixture
def machine_with(monkeypatch):
    "_this_machine() beside the libraries and the processor that are told"
    def told(libraries, flags=bench._SKYLAKEX, **environment):
        monkeypatch.setattr('threadpoolctl.threadpool_info', lambda: libraries)
        monkeypatch.setattr(bench, '_cpuinfo', lambda: ' '.join(('fpu', *flags)))
        monkeypatch.delenv('OPENBLAS_CORETYPE', raising=False)
        for name, value in environment.items(): monkeypatch.setenv(name, value)
        return bench._this_machine()
    return told


def report(machine):
    "The report of a benchmark in which nothing was measured"
    result = {'machine': machine, 'versions': {}, 'missing': [], 'threads_tried': [1], 'rounds': 1,
              'product_rate': None, 'cases': [], 'theirs_over_ours': []}
    return bench._report(result)


def test_the_report_says_what_numpy_multiplies_with(machine_with):
    others = [library('openmp', None, '/x/torch/lib/libgomp.so', 'openmp'), library('mkl', None, '/x/torch/lib/mkl.so')]
    machine = machine_with([*others, library(kernels='SkylakeX')])
    assert machine['blas'] == {'library': 'openblas', 'version': '0.3.31', 'kernels': 'SkylakeX'}
    assert json.loads(json.dumps(machine)) == machine
    assert "NumPy's BLAS: openblas 0.3.31, kernels for SkylakeX; load" in report(machine)
    assert "NumPy's BLAS: mkl 0.3.31; load" in report(machine_with(others))
    machine = machine_with(others[:1])
    assert machine['blas'] is None and machine['advice'] is None
    assert "NumPy's BLAS: unknown; load" in report(machine)


def test_without_threadpoolctl_the_blas_is_unknown(monkeypatch):
    monkeypatch.setitem(sys.modules, 'threadpoolctl', None)
    monkeypatch.setattr(bench.importlib.util, 'find_spec', lambda name: None)
    assert bench._numpy_blas() is None


def test_the_blas_of_this_numpy_is_found():
    pytest.importorskip('threadpoolctl')
    for key, value in (bench._numpy_blas() or {}).items(): assert value is None or isinstance(value, str), key


@pytest.mark.parametrize('kernels', ['Haswell', 'Zen', 'Sandybridge', 'haswell', 'Nehalem'])
def test_kernels_without_avx512_where_the_processor_has_it_bring_advice(kernels, machine_with):
    text = report(machine_with([library(kernels=kernels)]))
    [line] = [line for line in text.splitlines() if 'OPENBLAS_CORETYPE' in line]
    assert f'kernels for {kernels}' in line and 'with OPENBLAS_CORETYPE=SkylakeX' in line and 'measure' in line


def test_the_advice_names_what_the_environment_asks_for(machine_with):
    text = report(machine_with([library()], OPENBLAS_CORETYPE='HASWELL'))
    assert 'faster without OPENBLAS_CORETYPE=HASWELL in the environment' in text and 'SkylakeX' not in text


@pytest.mark.parametrize('told', [
    {'libraries': [library(kernels=kernels)]} for kernels in ('SkylakeX', 'Cooperlake', 'SapphireRapids', 'NewerStill')
] + [
    {'libraries': [library()], 'flags': ('avx2',)},
    {'libraries': [library()], 'flags': bench._SKYLAKEX - {'avx512vl'}},           # as Xeon Phi
    {'libraries': [library()], 'OPENBLAS_CORETYPE': 'skylakex'},                  # asked for, but not there
    {'libraries': [library('blis')]}, {'libraries': [library('mkl', None)]}, {'libraries': []}])
def test_nobody_else_gets_advice(told, machine_with):
    machine = machine_with(**told)
    assert machine['advice'] is None
    assert 'OPENBLAS_CORETYPE' not in report(machine)


# ----------------------------------------------------------------------------------------------------------- memory

peak = """
import tracemalloc
from rnn_nbdev.bench import _Case, _numbers_of
from rnn_nbdev.recurrent import engine_of, recurrent_backward, recurrent_forward

def run(T, training=True, outputs=True):
    x, state, parameters, da = _numbers_of(_Case('train', 'lstm', 64, 128, 32, T))
    tracemalloc.start()
    a, _, cache = recurrent_forward('lstm', x, state, parameters, training=training, outputs=outputs)
    if training: recurrent_backward(da, None, cache, inputs=False)
    return tracemalloc.get_traced_memory()[1]

with engine_of('numpy'):
    run(1)      # whatever has to be loaded, is
    tracemalloc.stop()
    print(run(%s))
"""


def test_inference_of_the_final_state_needs_no_more_memory_for_more_steps():
    "Training keeps what the backward pass needs. Each in a process of its own: large arrays are used again"
    def of(how):
        command = [sys.executable, '-c', peak % how]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    training, inference = of('512'), of('512, training=False')
    final = {T: of(f'{T}, training=False, outputs=False') for T in (128, 512)}
    assert 3.5 < training/of('128') < 4.1
    assert training > inference > final[512] > 0 and final[512] < 1.1*final[128]
