"""What must work where nothing but the wheel is installed. Run by test_wheel.py in a new environment."""
import subprocess
import sys
import warnings
from importlib.metadata import distribution, version
from pathlib import Path

warnings.simplefilter('error')  # as pytest does it, see pyproject.toml
warnings.filterwarnings('default', category=DeprecationWarning)
warnings.filterwarnings('error', category=DeprecationWarning, module='rnn_nbdev')

import numpy as np

import rnn_nbdev
from rnn_nbdev import lstm_backward, lstm_forward, softmax
from rnn_nbdev.data import _DATA_SETS, _read_data_set
from rnn_nbdev.gradcheck import assert_close
from rnn_nbdev.init import initialize_lstm


def textbook() -> None:
    "An LSTM forward and backward, in the shapes that the course's notebooks use"
    rng = np.random.default_rng(0)
    n_x, n_a, m, T_x = 3, 5, 10, 7
    p = initialize_lstm(rng, n_x, n_a, n_y=2)
    a, y, c, caches = lstm_forward(rng.normal(size=(n_x, m, T_x)), rng.normal(size=(n_a, m)), p)
    assert (a.shape, y.shape, c.shape) == ((n_a, m, T_x), (2, m, T_x), (n_a, m, T_x))
    grads = lstm_backward(rng.normal(size=(n_a, m, T_x)), caches)
    assert grads['dx'].shape == (n_x, m, T_x) and grads['dWf'].shape == p['Wf'].shape
    assert_close(softmax(np.array([[1e4, -1e4], [0, 0]])), np.array([[1.0, 0.0], [0.0, 1.0]]))


def data_sets() -> None:
    "The files came along, undamaged"
    for file in _DATA_SETS: assert len(_read_data_set(file.split('.')[0])) > 300


def every_name() -> None:
    "All that the package offers loads"
    for name in dir(rnn_nbdev): getattr(rnn_nbdev, name)


def program(*arguments: str) -> str:
    "What one of the package's commands prints; it must succeed"
    command = Path(sys.executable).parent/arguments[0]
    done = subprocess.run([command, *arguments[1:]], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f'{arguments}\n{done.stdout}\n{done.stderr}'
    return done.stdout


def commands() -> None:
    "The commands explain themselves, train on a small text, go on with it, measure it, and write with it"
    for name in ('rnn_train', 'rnn_sample', 'rnn_eval', 'rnn_bench'):
        assert 'usage:' in program(name, '--help')
        assert program(name, '--version').strip() == f'rnn_nbdev {rnn_nbdev.__version__}'
    Path('text.txt').write_text('the quick brown fox jumps over the lazy dog\n' * 300, encoding='utf-8')
    small = '--units', '16', '--embedding', '8', '--batch', '4', '--bptt', '16', '--out', 'run'
    program('rnn_train', 'text.txt', '--steps', '20', *small)
    program('rnn_train', '--resume', 'run', '--steps', '30')
    assert 'nats' in program('rnn_eval', 'run')
    assert len(program('rnn_sample', 'run', '--length', '50')) >= 50


def main() -> None:
    "Every check"
    assert 'site-packages' in rnn_nbdev.__file__, f'not the installed package: {rnn_nbdev.__file__}'
    assert rnn_nbdev.__version__ == distribution('rnn_nbdev').version
    every_name(), textbook(), data_sets(), commands()
    needed = 'numpy', 'fastcore', 'matplotlib', 'tqdm', 'safetensors'
    print('works with', *(f'{name} {version(name)}' for name in needed))


if __name__ == '__main__':
    main()
