"""The commands, each as a process of its own: what they refuse, what they leave on disk, how they stop and go on."""
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from fastcore.docments import docments
from safetensors.numpy import load_file

from rnn_nbdev.cli import (_HIDDEN, _NEW_NAMES, _nats_and_bits, _optimizer_of, _options, _parser_of, _schedule_of,
                           _Settings, _settings_of, _stop_strings, _training_plan, _worst_places, rnn_eval, rnn_sample,
                           rnn_train, run_command, train_text)
from rnn_nbdev.files import load_arrays, locked, save_arrays
from rnn_nbdev.optim import SGD, Adam, RMSProp, averaged_parameters
from rnn_nbdev.text import load_model
from rnn_nbdev.train import best_checkpoints, load_checkpoint, read_history

SCRIPTS = Path(sys.executable).parent
SMALL = ['--units', '16', '--embedding', '8', '--batch', '4', '--bptt', '12', '--lr', '0.02',
         '--validate', '4', '--save', '5']

# One thread: several small processes at once otherwise spin on each other's cores.
ENVIRONMENT = {**os.environ, 'OPENBLAS_NUM_THREADS': '1', 'COLUMNS': '200'}


def command(name, *args, cwd, **how):
    script = SCRIPTS / name
    assert script.exists(), f'{name} is not installed beside {sys.executable}'
    return subprocess.run([str(script), *map(str, args)], cwd=cwd, capture_output=True, text=True, encoding='utf-8',
                          timeout=300, env=ENVIRONMENT, **how)


def running(*args):
    "rnn_train, started and left running"
    return subprocess.Popen([str(SCRIPTS/'rnn_train'), *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=ENVIRONMENT)


@pytest.fixture(scope='module')
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp('texts')
    (folder/'good.txt').write_text('the quick brown fox jumps over the lazy dog\n' * 80)
    (folder/'other.txt').write_text('THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG\n' * 80)
    (folder/'empty.txt').write_text('')
    (folder/'short.txt').write_text('too short')
    (folder/'latin.txt').write_bytes(b'first line\nna\xefve ' + b'and plain ' * 200)
    (folder/'none').mkdir()
    return folder


@pytest.fixture(scope='module')
def trained(texts, tmp_path_factory):
    "A run of ten steps"
    folder = tmp_path_factory.mktemp('runs')
    done = command('rnn_train', '--text', texts/'good.txt', '--out', folder/'run', '--steps', 10, *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder/'run'


def everything_in(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


# ------------------------------------------------------------------------------------------------------------ success

def test_a_run_leaves_what_it_promises(trained, texts):
    names = {'settings.json', 'checkpoint.safetensors', 'weights.safetensors', 'history.jsonl', 'speed.jsonl',
             'loss.png', 'sample.txt', 'result.json'}
    assert {p.name for p in trained.iterdir()} == names
    about = json.loads((trained/'settings.json').read_text())
    assert about['settings']['units'] == 16 and about['text']['characters'] == 44 * 80
    assert len(about['text']['sha256']) == 64
    history = read_history(trained/'history.jsonl')
    assert [e['step'] for e in history if 'loss' in e] == list(range(1, 11))
    assert [e['step'] for e in history if 'validation_loss' in e] == [4, 8]
    assert (trained/'loss.png').read_bytes().startswith(b'\x89PNG')
    result = json.loads((trained/'result.json').read_text())
    assert np.isclose(result['bits'], result['validation_loss'] / np.log(2))
    assert len((trained/'sample.txt').read_text()) == 600
    assert all(np.isfinite(w).all() for w in load_file(trained/'weights.safetensors').values())


def test_help_says_what_every_option_is(tmp_path):
    for name, options in {'rnn_train': ['--text', '--resume', '--units', '--seed'],
                          'rnn_sample': ['--temperature', '--prompt'], 'rnn_eval': ['--text']}.items():
        said = command(name, '--help', cwd=tmp_path)
        assert said.returncode == 0 and not said.stderr
        assert all(option in said.stdout for option in options), name


def test_every_setting_is_an_option_that_says_its_default():
    words = docments(_Settings)
    assert [*_options(rnn_train)] == ['out', 'resume', 'config', 'quiet'] + [f.name for f in fields(_Settings)]
    for f in fields(_Settings):
        said = f'{f.default} if not given' in words[f.name] or f'{f.default!r} (default)' in words[f.name]
        assert said or (f.name in ('text', 'pattern', 'exclude') and 'if not given' in words[f.name]), f.name


@pytest.mark.parametrize('name', ['rnn_train', 'rnn_sample', 'rnn_eval', 'rnn_bench'])
def test_every_command_says_its_version(name, tmp_path):
    said = command(name, '--version', cwd=tmp_path)
    assert (said.returncode, said.stdout, said.stderr) == (0, f"rnn_nbdev {version('rnn_nbdev')}\n", '')
    assert '--version' in command(name, '--help', cwd=tmp_path).stdout
    assert not any(tmp_path.iterdir())


def test_what_is_said_of_a_run_can_be_checked(texts, tmp_path):
    said = command('rnn_train', '--text', texts/'good.txt', '--steps', 2, *SMALL, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert 'SHA-256' in said.stdout and 'nats' in said.stdout and 'bits per character' in said.stdout
    assert [p.name for p in (tmp_path/'runs').iterdir()] == ['lstm-001']
    assert command('rnn_train', '--text', texts/'good.txt', '--steps', 2, *SMALL, '--quiet', cwd=tmp_path).stdout == ''
    assert sorted(p.name for p in (tmp_path/'runs').iterdir()) == ['lstm-001', 'lstm-002']


@pytest.mark.parametrize('cell', ['rnn', 'gru'])
def test_every_cell_trains(cell, texts, tmp_path):
    begin = ['--text', texts/'good.txt', '--cell', cell, '--steps', 3]
    done = command('rnn_train', *begin, '--out', 'run', *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert command('rnn_sample', 'run', '--length', 20, cwd=tmp_path).returncode == 0


def test_folders_and_replaced_bytes(texts, tmp_path):
    folder = ['--text', texts, '--pattern', '*o*d.txt']
    done = command('rnn_train', *folder, '--steps', 2, '--out', 'a', *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    latin = ['--text', texts/'latin.txt', '--errors', 'replace']
    done = command('rnn_train', *latin, '--steps', 2, '--out', 'b', *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_sampling(trained, tmp_path):
    begin = ['rnn_sample', trained, '--length', 50, '--prompt', 'the ']
    first, again, other = (command(*begin, '--seed', s, cwd=tmp_path).stdout for s in (1, 1, 2))
    assert first == again != other and first.startswith('the ') and len(first) == len('the ') + 50 + 1
    greedy = [command('rnn_sample', trained, '--temperature', 0, '--seed', s, cwd=tmp_path).stdout for s in (1, 2)]
    assert greedy[0] == greedy[1]


def test_evaluation_repeats_the_result(trained, texts, tmp_path):
    said = command('rnn_eval', trained, cwd=texts)
    loss = json.loads((trained/'result.json').read_text())['validation_loss']
    assert said.returncode == 0 and f'{loss:.3f} nats' in said.stdout
    assert command('rnn_eval', trained, '--text', texts/'other.txt', cwd=tmp_path).returncode == 0


# ----------------------------------------------------------------------------------------------------------- refusals

BAD_TRAIN = {
    'missing file': (['--text', 'none.txt'], 'none.txt'),
    'empty file': (['--text', '{texts}/empty.txt'], 'empty'),
    'empty folder': (['--text', '{texts}/none'], 'no file matches'),
    'shorter than one window': (['--text', '{texts}/short.txt'], 'text'),
    'shorter than a long window': (['--text', '{texts}/good.txt', '--bptt', '100000'], 'text'),
    'not UTF-8': (['--text', '{texts}/latin.txt'], '0xef at offset 13, line 2'),
    'a file where the folder should be': (['--text', '{texts}/good.txt', '--out', '{texts}/good.txt'], 'out'),
    'unwritable folder': (['--text', '{texts}/good.txt', '--out', '/proc/run'], '/proc'),
    'folder below a file': (['--text', '{texts}/good.txt', '--out', '{texts}/good.txt/run'], 'good.txt'),
    'folder that is not empty': (['--text', '{texts}/good.txt', '--out', '{texts}'], 'out'),
    'no units': (['--text', '{texts}/good.txt', '--units', '0'], 'units: got 0'),
    'learning rate nan': (['--text', '{texts}/good.txt', '--lr', 'nan'], 'lr: got nan'),
    'resume nothing': (['--resume', 'nowhere'], 'resume'),
    'resume with the text of another place': (['--resume', '{trained}'], 'give --text'),
    'resume with another text': (['--resume', '{trained}', '--text', '{texts}/other.txt'], 'text'),
    'resume with the default size, which is another': (['--resume', '{trained}', '--units', '256'], 'units: got 256'),
    'resume with fewer steps': (['--resume', '{trained}', '--steps', '4'], 'steps: got 4, but the run has taken 10'),
    'resume with another size': (['--resume', '{trained}', '--units', '17'], 'got 17, but the run was started with 16'),
}


@pytest.mark.parametrize('case', BAD_TRAIN)
def test_bad_input_gets_one_line_and_leaves_nothing(case, texts, trained, tmp_path):
    args, word = BAD_TRAIN[case]
    before = everything_in(texts), everything_in(trained)
    said = command('rnn_train', *(a.format(texts=texts, trained=trained) for a in args), cwd=tmp_path)
    assert said.returncode == 2, said.stdout
    assert said.stdout == '' and said.stderr.count('\n') == 1 and said.stderr.startswith('rnn_train: error: ')
    assert word in said.stderr and 'Traceback' not in said.stderr
    assert not list(tmp_path.iterdir()), 'something was left behind'
    assert (everything_in(texts), everything_in(trained)) == before


GOOD = {'text': '{texts}/good.txt', 'units': 8, 'embedding': 4, 'batch': 4, 'bptt': 12, 'steps': 5}
OUTSIDE = {
    'words': 'tokens cell optimizer schedule dtype errors', 1.0: 'dropout momentum average validation',
    0: 'layers units embedding batch bptt accumulate steps validate save validation lr clip',
    -1: 'steps halflife warmup horizon plateau patience best seed dropout momentum average decay clipvalue',
    float('nan'): 'dropout momentum average validation decay lr clip clipvalue',
    float('inf'): 'lr clip clipvalue decay'}
BAD_OPTIONS = {
    **{f'{name} {value}': ({name: value}, f'{name}: got {value!r}') for value in OUTSIDE
       for name in OUTSIDE[value].split()},
    'momentum of adam': ({'momentum': 0.9}, 'momentum'),
    'nesterov without momentum': ({'optimizer': 'nesterov'}, 'momentum'),
    'decay of sgd': ({'optimizer': 'sgd', 'decay': 0.1}, 'decay'),
    'warm-up of a cycle': ({'schedule': 'onecycle', 'warmup': 2}, 'warmup'),
    'warm-up beyond the end': ({'schedule': 'cosine', 'warmup': 5}, 'warmup: got 5, expected fewer than 5'),
    'a cycle too short': ({'schedule': 'onecycle', 'steps': 3}, 'steps'),
    'step decay without a half-life': ({'schedule': 'step', 'halflife': 0}, 'halflife'),
    'horizon of exponential decay': ({'horizon': 9}, 'horizon'),
    'horizon before the last step': ({'schedule': 'cosine', 'horizon': 4}, 'steps: got 5'),
    'bytes of an empty file': ({'tokens': 'bytes', 'text': '{texts}/empty.txt'}, 'empty'),
    'bytes of no file': ({'tokens': 'bytes', 'text': '{texts}/nothing'}, 'no such file'),
    'bytes of an empty folder': ({'tokens': 'bytes', 'text': '{texts}/none'}, 'no file matches'),
    'too few bytes': ({'tokens': 'bytes', 'text': '{texts}/short.txt'}, 'too few to set'),
    'not UTF-8': ({'text': '{texts}/latin.txt'}, '--tokens bytes reads any file'),
}


def refused(command, capsys, **how):
    "What a command says that ends with code 2"
    with pytest.raises(SystemExit) as end: command(**how)
    out, err = capsys.readouterr()
    assert end.value.code == 2 and out == '' and err.count('\n') == 1
    assert err.startswith(f'{command.__name__}: error: ')
    return err


@pytest.mark.parametrize('case', BAD_OPTIONS)
def test_bad_options_get_one_line_and_leave_nothing(case, texts, tmp_path, monkeypatch, capsys):
    options, word = BAD_OPTIONS[case]
    given = {**GOOD, **options}
    given['text'] = given['text'].format(texts=texts)
    monkeypatch.chdir(tmp_path)
    assert word in refused(rnn_train, capsys, **given)
    assert not list(tmp_path.iterdir()), 'something was left behind'


@pytest.mark.parametrize('options, word', [
    ({'nucleus': 0.0}, 'nucleus: got 0'), ({'nucleus': 1.1}, 'nucleus'), ({'nucleus': float('nan')}, 'nucleus'),
    ({'beam': -1}, 'beam: got -1'), ({'beam': 2, 'alpha': -1.0}, 'alpha'),
    *(({name: -1}, name) for name in ('temperature', 'top', 'seed')),
    ({'prompt': 'ü'}, 'prompt'), ({'length': 0}, 'length'),
    ({'stop': 'a||b'}, 'stop'), ({'stop': '|'}, 'stop'), ({'stop': r'\x'}, r'stop: got \x'), ({'stop': 'a\\'}, 'stop'),
    ({'beam': 2, 'prompt': 'ü'}, 'prompt'), ({'beam': 2, 'length': 0}, 'length'),
    ({'beam': 2, 'temperature': 0.8}, 'temperature: got 0.8, but a beam'), ({'beam': 2, 'top': 3}, 'top: got 3, but a'),
    ({'beam': 2, 'nucleus': 0.9}, 'nucleus: got 0.9, but a beam'), ({'stop': 'é'}, 'stop: the model never writes')])
def test_bad_ways_of_writing(options, word, trained, capsys):
    assert word in refused(rnn_sample, capsys, run=str(trained), **options)


@pytest.mark.parametrize('options, word', [
    ({'most': -1}, 'most'), ({'worst': -1}, 'worst'), ({'temperature': 0.0}, 'temperature'),
    ({'most': 1}, 'most: got 1'),
    ({'temperature': float('nan')}, 'temperature'), ({'text': '{texts}/empty.txt'}, 'empty'),
    ({'text': '{texts}/nothing'}, 'no such file'),
    ({'text': '{texts}/latin.txt'}, '--errors replace'),
    ({'text': '{texts}/good.txt', 'errors': 'guess'}, 'errors'), ({'text': '{texts}/none'}, 'no file matches')])
def test_bad_measurements(options, word, trained, texts, capsys):
    given = {name: value.format(texts=texts) if isinstance(value, str) else value for name, value in options.items()}
    assert word in refused(rnn_eval, capsys, run=str(trained), **given)


@pytest.mark.parametrize('change, word', [
    (lambda p: {**p, 'lstm.Wf': p['lstm.Wf'] * np.float32('nan')}, 'lstm.Wf'),
    (lambda p: {**p, 'lstm.Wf': p['lstm.Wf'][:3]}, 'lstm.Wf: got shape (3, 24)'),
    (lambda p: {**p, 'output.b': p['output.b'].astype(np.float64)}, 'float32 and float64')])
def test_weights_that_can_not_be_used(change, word, trained, tmp_path, capsys):
    parameters, about = load_arrays(trained/'weights.safetensors', 'rnn_nbdev text model 1')
    save_arrays(tmp_path/'weights.safetensors', change(parameters), about, 'rnn_nbdev text model 1')
    for command in (rnn_sample, rnn_eval): assert word in refused(command, capsys, run=str(tmp_path))


def test_a_checkpoint_of_a_version_to_come_is_refused():
    with pytest.raises(ValueError, match="unknown setting 'telepathy'"):
        _settings_of({'units': 8, 'telepathy': 1}, {})
    assert _settings_of({'units': 8, 'steps': 3}, {'steps': 5}) == _Settings(units=8, steps=5)


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained, tmp_path/'copy')
    return tmp_path/'copy'


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == 'cut short': data = data[:-7]
    if how == 'emptied': data = b''
    if how == 'a bit flipped': data[-5] ^= 4
    if how == 'foreign': data = b'this is a letter to my grandmother'
    path.write_bytes(bytes(data))


@pytest.mark.parametrize('how', ['cut short', 'emptied', 'a bit flipped', 'foreign'])
def test_a_damaged_checkpoint_is_refused(copy, how):
    damage(copy/'checkpoint.safetensors', how)
    before = everything_in(copy)
    said = command('rnn_train', '--resume', copy, '--steps', 20, cwd=copy.parent)
    assert said.returncode == 2 and said.stderr.count('\n') == 1 and 'checkpoint.safetensors' in said.stderr
    assert everything_in(copy) == before
    damage(copy/'weights.safetensors', how)
    said = command('rnn_sample', copy, cwd=copy.parent)
    assert said.returncode == 2 and said.stderr.count('\n') == 1 and not said.stdout


def test_a_checkpoint_is_not_weights_and_weights_are_no_checkpoint(copy):
    shutil.copy(copy/'weights.safetensors', copy/'checkpoint.safetensors')
    said = command('rnn_train', '--resume', copy, cwd=copy.parent)
    assert said.returncode == 2 and said.stderr.count('\n') == 1 and 'kind' in said.stderr


def test_a_text_that_has_changed_is_noticed(texts, tmp_path):
    shutil.copy(texts/'good.txt', tmp_path/'text.txt')
    begin = ['--text', 'text.txt', '--out', 'run']
    assert command('rnn_train', *begin, '--steps', 2, *SMALL, cwd=tmp_path).returncode == 0
    (tmp_path/'text.txt').write_text('quite another alphabet: XYZ\n' * 100)
    said = command('rnn_train', '--resume', 'run', '--steps', 4, cwd=tmp_path)
    assert said.returncode == 2 and said.stderr.count('\n') == 1 and 'SHA-256' in said.stderr


@pytest.mark.parametrize('args, word', [(['{trained}/none'], 'no model'), (['{texts}/good.txt'], 'good.txt'),
                                        (['{trained}', '--temperature', 'nan'], 'temperature')])
def test_bad_sampling(args, word, texts, trained, tmp_path):
    said = command('rnn_sample', *(a.format(texts=texts, trained=trained) for a in args), cwd=tmp_path)
    assert said.returncode == 2 and said.stderr.count('\n') == 1 and word in said.stderr and not said.stdout


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_array(texts, tmp_path):
    said = command('rnn_train', '--text', texts/'good.txt', '--out', 'run', '--quiet', *SMALL, '--lr', '1e38',
                   '--clip', '1e38', cwd=tmp_path)
    assert said.returncode == 1 and said.stderr.count('\n') == 1
    assert 'the loss is not finite; first bad array: ' in said.stderr and 'entries are not finite' in said.stderr
    assert load_checkpoint(tmp_path/'run'/'checkpoint.safetensors')[0].step == 0


# ------------------------------------------------------------------------------------------------ stopping, going on

def same_runs(*runs):
    "What two runs that are one bit for bit end with"
    for name in ('weights.safetensors', 'history.jsonl', 'sample.txt', 'result.json'):
        assert len({(run/name).read_bytes() for run in runs}) == 1, name
    (a, first), (b, second) = (load_checkpoint(run/'checkpoint.safetensors') for run in runs)
    for part in ('parameters', 'optimizer', 'carry', 'average', 'watch'):
        one, other = getattr(a, part), getattr(b, part)
        assert one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one), part
    return a, b, first, second


def test_the_same_seed_is_the_same_run(trained, texts, tmp_path):
    for seed, same in ((0, True), (1, False)):
        out = tmp_path/str(seed)
        begin = ['--text', texts/'good.txt', '--seed', seed]
        done = command('rnn_train', *begin, '--out', out, '--steps', 10, *SMALL, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert ((out/'history.jsonl').read_bytes() == (trained/'history.jsonl').read_bytes()) == same
        assert ((out/'weights.safetensors').read_bytes() == (trained/'weights.safetensors').read_bytes()) == same


def test_a_run_goes_on_to_its_own_last_step(texts, tmp_path):
    "Taken up with nothing but --resume, as the message of Ctrl-C says"
    shutil.copy(texts/'good.txt', tmp_path/'good.txt')
    process = running('--text', tmp_path/'good.txt', '--out', tmp_path/'run', '--steps', 400, *SMALL)
    while len(read_history(tmp_path/'run'/'history.jsonl')) < 5: time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate()
    stopped = load_checkpoint(tmp_path/'run'/'checkpoint.safetensors')[0].step
    done = command('rnn_train', '--resume', 'run', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert stopped < 400 == load_checkpoint(tmp_path/'run'/'checkpoint.safetensors')[0].step


@pytest.mark.parametrize('cell', ['rnn', 'lstm', 'gru'])
def test_half_and_half_is_one_bit_for_bit(cell, texts, tmp_path):
    "7 steps, a new process, 7 more; enough of them to pass the end of the text, where the generator is asked"
    begin = ['--text', texts/'good.txt', '--cell', cell, *SMALL, '--bptt', '150']
    whole = command('rnn_train', *begin, '--out', 'whole', '--steps', 14, cwd=tmp_path)
    half = command('rnn_train', *begin, '--out', 'halves', '--steps', 7, cwd=tmp_path)
    rest = command('rnn_train', '--resume', 'halves', '--text', texts/'good.txt', '--steps', 14, cwd=tmp_path)
    assert (whole.returncode, half.returncode, rest.returncode) == (0, 0, 0), rest.stderr
    a, b, _, _ = same_runs(tmp_path/'whole', tmp_path/'halves')
    assert a.rng.bit_generator.state == b.rng.bit_generator.state


TINY = {'units': 8, 'embedding': 4, 'batch': 4, 'bptt': 20, 'lr': 0.02, 'validate': 3, 'save': 4, 'quiet': True}
COMBINED = {
    'momentum, cosine with warm-up, dropout, three layers':
    {'optimizer': 'sgd', 'momentum': 0.9, 'schedule': 'cosine', 'warmup': 3, 'horizon': 14, 'dropout': 0.3,
     'layers': 3},
    'nesterov, step decay, averaged weights, clipping by value':
    {'optimizer': 'nesterov', 'momentum': 0.5, 'schedule': 'step', 'halflife': 4, 'average': 0.8, 'clipvalue': 0.01},
    'AdamW, one-cycle, bytes, accumulated, best':
    {'decay': 0.1, 'schedule': 'onecycle', 'horizon': 20, 'tokens': 'bytes', 'accumulate': 3, 'best': 2},
    'RMSProp, plateau, best of averaged, constant with warm-up, float64':
    {'optimizer': 'rmsprop', 'schedule': 'constant', 'warmup': 5, 'lr': 0.3, 'plateau': 1, 'best': 1, 'average': 0.9,
     'dtype': 'float64', 'cell': 'gru'},
}


@pytest.mark.parametrize('case', COMBINED)
def test_half_and_half_is_one_with_every_option(case, texts, tmp_path):
    how = {**TINY, **COMBINED[case], 'text': str(texts/'good.txt')}
    train_text(tmp_path/'whole', steps=14, **how)
    train_text(tmp_path/'halves', steps=7, **how)
    train_text(resume=tmp_path/'halves', text=how['text'], steps=14, quiet=True)
    a, b, first, second = same_runs(tmp_path/'whole', tmp_path/'halves')
    assert a.rng.bit_generator.state == b.rng.bit_generator.state
    assert first['settings'] == second['settings'] and all(first['settings'][n] == how[n] for n in COMBINED[case])
    assert bool(a.average) == ('average' in how)


def test_settings_that_a_run_was_started_with_can_not_be_changed(texts, tmp_path, capsys):
    train_text(tmp_path/'run', text=str(texts/'good.txt'), steps=4, schedule='cosine', **TINY)
    before = everything_in(tmp_path)
    for how, word in (({'dropout': 0.1}, 'dropout: got 0.1'), ({'optimizer': 'sgd'}, "started with 'adam'"),
                      ({'schedule': 'constant'}, 'schedule'), ({'horizon': 9}, 'started with 4'),
                      ({'steps': 9}, 'steps: got 9, but the schedule cosine ends after 4'),
                      ({'tokens': 'bytes'}, 'tokens')):
        assert word in refused(rnn_train, capsys, resume=str(tmp_path/'run'), **how)
    assert everything_in(tmp_path) == before


def test_the_options_reach_the_plan():
    numbers = {'clip': 2.0, 'accumulate': 3, 'average': 0.9, 'plateau': 4, 'patience': 2, 'validate': 7, 'save': 9}
    plan = _training_plan(_Settings(clipvalue=0.5, **numbers))
    assert (plan.max_value, plan.max_norm, plan.accumulate, plan.average.decay) == (0.5, 2.0, 3, 0.9)
    assert (plan.plateau.validations, plan.stop.validations, plan.eval_every, plan.save_every) == (3, 1, 7, 9)
    assert plan.keep_best == 1 and _training_plan(_Settings(best=3, patience=1)).keep_best == 3
    nothing = _training_plan(_Settings())
    assert (nothing.max_value, nothing.average, nothing.plateau, nothing.stop, nothing.keep_best) == (None,) * 4 + (0,)


def test_the_options_reach_optimizer_and_schedule():
    assert _optimizer_of(_Settings(decay=0.1)) == Adam(weight_decay=0.1) and _optimizer_of(_Settings()) == Adam()
    assert _optimizer_of(_Settings(optimizer='sgd', momentum=0.5)) == SGD(momentum=0.5)
    assert _optimizer_of(_Settings(optimizer='nesterov', momentum=0.5)) == SGD(momentum=0.5, nesterov=True)
    assert _optimizer_of(_Settings(optimizer='rmsprop')) == RMSProp()
    def rates(*steps, **how): return [round(_schedule_of(_Settings(lr=1.0, **how))(step), 6) for step in steps]
    assert rates(0, 500, 1000) == [1, 0.5, 0.25]
    assert rates(0, 9999, schedule='constant') == rates(0, 9, halflife=0) == [1, 1]
    assert rates(0, 9, 10, 20, schedule='step', halflife=10) == [1, 1, 0.5, 0.25]
    assert rates(0, 50, 100, schedule='cosine', steps=100) == rates(0, 50, 100, schedule='cosine', horizon=100, steps=9)
    assert rates(0, 50, 100, schedule='cosine', steps=100) == [1, 0.5, 0]
    assert rates(0, 3, 4, 54, 104, schedule='cosine', steps=104, warmup=4) == [0.25, 1, 1, 0.5, 0]
    cycle = rates(*range(100), schedule='onecycle', steps=100)
    assert max(cycle) == 1 and cycle[0] == 0.04 and cycle[-1] < 1e-5


def test_a_run_ends_early_and_leaves_its_best_weights(texts, tmp_path):
    folder, _ = train_text(tmp_path/'run', text=str(texts/'good.txt'), steps=400, patience=2, **{**TINY, 'lr': 0.5})
    losses = {e['step']: e['validation_loss'] for e in read_history(folder/'history.jsonl') if 'validation_loss' in e}
    best = min(losses, key=losses.get)
    result = json.loads((folder/'result.json').read_text())
    assert result['step'] == max(losses) == best + 6 < 400 and result['weights'] == f'best, step {best}'
    (loss, path), = best_checkpoints(folder)
    kept = load_checkpoint(path)[0]
    assert loss == losses[best] and kept.step == best
    assert all(np.array_equal(w, kept.parameters[name]) for name, w in load_model(folder)[1].items())


def test_averaged_weights_are_the_ones_that_are_used(texts, tmp_path):
    folder, _ = train_text(tmp_path/'run', text=str(texts/'good.txt'), steps=6, average=0.5, **TINY)
    progress, _ = load_checkpoint(folder/'checkpoint.safetensors')
    used = load_model(folder)[1]
    for name, mean in averaged_parameters(progress.average).items():
        assert np.array_equal(used[name], mean) and not np.array_equal(mean, progress.parameters[name])
    assert json.loads((folder/'result.json').read_text())['weights'] == 'averaged, step 6'


def test_any_file_is_learned_byte_by_byte(texts, tmp_path):
    (tmp_path/'any.bin').write_bytes(bytes(range(256)) * 12)
    begin = ['--text', 'any.bin', '--tokens', 'bytes', '--out', 'run', '--steps', 3]
    done = command('rnn_train', *begin, *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '256 different bytes' in done.stdout and 'bits per byte' in done.stdout
    assert 'bits per character' not in done.stdout, 'it is not UTF-8'
    result = json.loads((tmp_path/'run'/'result.json').read_text())
    assert result['bits'] == result['bits_a_byte'] and result['bytes'] > 200 and 'chars' not in result
    assert json.loads((tmp_path/'run'/'settings.json').read_text())['text']['bytes'] == 256 * 12


def test_bytes_are_written_and_measured(texts, tmp_path, capsysbinary):
    (tmp_path/'any.bin').write_bytes(bytes(range(256)) * 12)
    how = {**TINY, 'text': str(tmp_path/'any.bin'), 'tokens': 'bytes', 'steps': 3}
    run = str(train_text(tmp_path/'run', **how)[0])
    rnn_sample(run=run, prompt='ü∀', length=20, temperature=1.0)
    assert capsysbinary.readouterr().out.startswith('ü∀'.encode())
    rnn_eval(run=run, text=str(texts/'latin.txt'), worst=2)
    said = capsysbinary.readouterr().out.decode()
    assert said.count('\n') == 3 and 'vocabulary' not in said and 'bits per character' not in said


def test_bits_a_byte_agree_where_characters_are_bytes():
    assert _nats_and_bits(np.log(2), 'ascii') == '0.693 nats = 1.000 bits per character, 1.000 bits per byte'
    assert _nats_and_bits(np.log(2), 'ü') == '0.693 nats = 1.000 bits per character, 0.500 bits per byte'
    assert _nats_and_bits(np.log(2), 'ü'.encode()) == '0.693 nats = 1.000 bits per byte, 2.000 bits per character'


def test_no_bits_a_byte_where_bytes_were_replaced(trained, texts, tmp_path, capsys):
    rnn_eval(run=str(trained), text=str(texts/'latin.txt'), errors='replace')
    assert 'bits per byte' not in capsys.readouterr().out
    rnn_eval(run=str(trained), text=str(texts/'other.txt'), errors='replace')
    assert 'bits per byte' in capsys.readouterr().out, 'nothing was replaced'
    (tmp_path/'end.txt').write_bytes((texts/'good.txt').read_bytes() + b'na\xefve\n')
    run, _ = train_text(tmp_path/'run', **{**TINY, 'steps': 5, 'text': str(tmp_path/'end.txt'), 'errors': 'replace'})
    assert 'bits_a_byte' not in json.loads((run/'result.json').read_text())


def test_the_share_of_unknown_characters_is_told(trained, tmp_path, capsys):
    (tmp_path/'some.txt').write_text('the ÄÖÄ ')
    rnn_eval(run=str(trained), text=str(tmp_path/'some.txt'))
    said = capsys.readouterr().out
    assert '42.86% of the predictions are of 2 different characters' in said and 'lower bound' in said


def test_a_model_that_learned_nothing_is_told(texts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(texts)
    run, how = tmp_path/'run', {**TINY, 'steps': 9, 'text': str(texts/'good.txt')}
    how.update(lr=1e38, clip=1e38)
    with pytest.raises(SystemExit) as end: rnn_train(out=str(run), **how)
    assert end.value.code == 1 and 'a lower --lr or a --warmup' in capsys.readouterr().err
    for use in (rnn_sample, rnn_eval):
        use(run=str(run))
        said = capsys.readouterr().err
        assert said.count('\n') == 1 and 'stands at step 0' in said


def test_a_run_is_measured_and_goes_on_in_another_folder(texts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(texts)
    train_text(tmp_path/'run', **{**TINY, 'steps': 5, 'text': 'good.txt'})
    monkeypatch.chdir(tmp_path)
    assert 'give --text' in refused(rnn_eval, capsys, run='run')
    monkeypatch.chdir(texts)
    rnn_eval(run=str(tmp_path/'run'))
    assert 'good.txt, validation set' in capsys.readouterr().out
    train_text(resume=tmp_path/'run', text='good.txt', quiet=True)
    assert capsys.readouterr().err == '', 'a run that has ended draws no bar'


def test_bytes_that_are_no_text_are_written_as_they_are(tmp_path):
    (tmp_path/'any.bin').write_bytes(bytes(range(128, 256)) * 24)
    run, _ = train_text(tmp_path/'run', **{**TINY, 'steps': 5, 'text': str(tmp_path/'any.bin'), 'tokens': 'bytes'})
    sample = [str(SCRIPTS/'rnn_sample'), str(run), '--prompt', 'ü', '--length', '50', '--temperature', '1']
    said = subprocess.run(sample, capture_output=True, env=ENVIRONMENT, timeout=60).stdout
    assert len(said) == 52 and said.startswith('ü'.encode()) and '�'.encode() not in said


# ------------------------------------------------------------------------------------- the command line, files, folders

def test_half_of_the_settings_is_shown_and_all_are_accepted(capsys):
    with pytest.raises(SystemExit): run_command('rnn_train', ['--help'])
    said = capsys.readouterr().out
    shown = {f.name for f in fields(_Settings) if f'--{f.name} ' in said}
    assert {f.name for f in fields(_Settings)} - shown == {*_HIDDEN} and len(shown) == 17
    assert all(f'{name},' in said or f'{name}.' in said for name in _HIDDEN) and '--config' in said
    known = _parser_of(rnn_train).parse_args([w for name in _HIDDEN for w in (f'--{name}', '1')])
    assert len(vars(known)) == len(_HIDDEN)


@pytest.mark.parametrize('words, expected', [
    (['--prompt', '-item'], '-item'), (['--prompt=--'], '--'), (['--prompt', '--'], '--'),
    (['--pro', '--length'], '--length'), (['--prompt=-5'], '-5'), (['--prompt', '-h'], '-h')])
def test_what_begins_with_a_dash_is_a_prompt(words, expected, dashed, capsys):
    run_command('rnn_sample', [*words, dashed, '--length', '3'])
    out = capsys.readouterr().out
    assert out.startswith(expected) and len(out) == len(expected) + 4


@pytest.mark.parametrize('words', [['--stop', '--'], ['--stop=--']])
def test_what_begins_with_a_dash_is_a_stop_string(words, dashed, capsys):
    run_command('rnn_sample', [dashed, '--temperature', '1', '--length', '3000'])
    free = capsys.readouterr().out
    run_command('rnn_sample', [dashed, '--temperature', '1', '--length', '3000', *words])
    assert '--' in free and capsys.readouterr().out == free[:free.index('--')] + '\n'


@pytest.fixture(scope='module')
def dashed(tmp_path_factory):
    "A model of a text with dashes and Greek letters, among others"
    folder = tmp_path_factory.mktemp('dashed')
    (folder/'text').write_text('--length5 -item -h ένα\n' * 60 + '-' * 900, encoding='utf-8')
    return str(train_text(folder/'run', text=folder/'text', steps=2, **TINY)[0])


@pytest.mark.parametrize('encoding', ['cp1252', 'ascii'])
def test_characters_that_stdout_cannot_hold_are_replaced(encoding, dashed, capsys, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, encoding=encoding))
    rnn_sample(run=dashed, prompt='ένα', length=5)
    monkeypatch.chdir(Path(dashed).parent)
    rnn_eval(run='run', worst=5)
    train_text(resume='run', steps=3)
    run_command('rnn_sample', [dashed, '--prompt', 'ένα'])
    sys.stdout.flush()
    said = written.getvalue()
    assert said.startswith(b'???') and b'3 steps' in said and said.count(b'???') >= 2


def test_old_names_are_accepted_with_a_note(texts, tmp_path, capsys):
    old = ['--stretch', '20', '--heldout', '0.2', '--rate', '0.01', '--halving', '3', '--limit', '1.5', '--stop', '4']
    words = ['--units', '8', '--batch', '4', '--steps', '2', '--schedule', 'stairs', '--quiet']
    run_command('rnn_train', [str(texts/'good.txt'), *old, *words, '--out', str(tmp_path/'run')])
    said = capsys.readouterr().err.splitlines()
    assert said == [f'{name} is now {new}' for name, new in _NEW_NAMES.items()] + ['schedule stairs is now step']
    s = json.loads((tmp_path/'run/settings.json').read_text())['settings']
    assert [s[name] for name in _NEW_NAMES.values()] == [20, 0.2, 0.01, 3, 1.5, 4] and s['schedule'] == 'step'
    was = {**{new: s[new] for new in ('units', 'steps')}, **{old: s[new] for old, new in _NEW_NAMES.items()}}
    assert _settings_of({**was, 'schedule': 'stairs'}, {}) == _Settings(**{n: s[n] for n in (
        'units', 'steps', 'schedule', *_NEW_NAMES.values())}), 'a checkpoint of that time'
    assert capsys.readouterr().err == ''
    assert 'lr, too' in refused(rnn_train, capsys, rate=0.1, lr=0.1)


@pytest.mark.parametrize('name, contents', [
    ('c.toml', 'units = 9\nlr = 0.5\noptimizer = "sgd"\nmomentum = 0.5'),
    ('c.json', '{"units": 9, "lr": 0.5, "optimizer": "sgd", "momentum": 0.5}'),
    ('settings.json', '{"settings": {"units": 9, "optimizer": "sgd", "momentum": 0.5, "text": "/dev/zero"}}')])
def test_a_file_of_settings(name, contents, texts, tmp_path):
    (tmp_path/name).write_text(contents)
    how = {**TINY, 'text': texts/'good.txt', 'steps': 1, 'config': tmp_path/name}
    del how['units']
    s = json.loads((train_text(tmp_path/'run', **how)[0]/'settings.json').read_text())['settings']
    assert (s['units'], s['optimizer'], s['momentum']) == (9, 'sgd', 0.5) and s['text'] == str(texts/'good.txt')
    assert s['lr'] == TINY['lr'], 'what is given counts more'


@pytest.mark.parametrize('name, contents, word', [
    ('c.toml', 'unit = 9', "got ['unit'], expected some of"), ('c.toml', 'units = ', 'config: '),
    ('c.json', '[1]', 'got [1]'), ('c.json', '{"units": "9"}', "units: got '9'"),
    ('c.json', '[' * 100_000, 'config: '), ('c.toml', 'a\0', 'config: ')], ids=range(6))
def test_a_bad_file_of_settings_is_refused(name, contents, word, tmp_path, capsys):
    (tmp_path/name).write_text(contents)
    assert word in refused(rnn_train, capsys, config=str(tmp_path/name))


def test_what_does_not_change_the_steps_may_change(texts, tmp_path, capsys, monkeypatch):
    "A moved run, a moved text, other checkpoints and validations: the weights are those of a run that went through"
    how = {**TINY, 'steps': 8}
    (tmp_path/'old').mkdir()
    shutil.copy(texts/'good.txt', tmp_path/'old/t.txt')
    train_text(tmp_path/'whole', text=tmp_path/'old/t.txt', **how)
    train_text(tmp_path/'old/run', text=tmp_path/'old/t.txt', **{**how, 'steps': 4})
    (tmp_path/'old').rename(tmp_path/'new')
    run, text = str(tmp_path/'new/run'), str(tmp_path/'new/t.txt')
    assert 'give --text' in refused(rnn_train, capsys, resume=run, steps=8)
    assert 'SHA-256' in refused(rnn_train, capsys, resume=run, text=str(texts/'other.txt'))
    before = everything_in(tmp_path/'new/run')
    changed = {'save': 3, 'validate': 2, 'best': 1, 'pattern': '*.txt'}
    rnn_train(resume=run, text=text, out=str(tmp_path/'moved'), steps=8, quiet=True, **changed)
    assert everything_in(tmp_path/'new/run') == before, 'the run stays, another goes on'
    one, other = (load_checkpoint(tmp_path/name/'checkpoint.safetensors')[0] for name in ('whole', 'moved'))
    assert all(np.array_equal(w, other.parameters[name]) for name, w in one.parameters.items())
    s = json.loads((tmp_path/'moved/settings.json').read_text())['settings']
    assert {name: s[name] for name in changed} == changed and s['text'] == text
    monkeypatch.chdir(tmp_path)
    train_text(resume='moved')
    assert 'nothing left to train: all 8 steps are taken' in capsys.readouterr().out
    train_text(tmp_path/'waits', text=text, patience=5, **how)
    assert 'validate: got 2' in refused(rnn_train, capsys, resume='waits', validate=2)


@pytest.mark.parametrize(
    'path', ['/dev/zero', '/etc/passwd', '/', 'fifo', '../elsewhere', 'link', 'x\0', 3, 'n' * 5000])
def test_a_path_that_a_checkpoint_names_is_not_read(path, copy, capsys, monkeypatch):
    here = copy.parent/'here'
    here.mkdir()
    os.mkfifo(here/'fifo')
    (copy.parent/'elsewhere').write_text('secret ' * 100)
    (here/'link').symlink_to('/etc/passwd')
    monkeypatch.chdir(here)
    arrays, about = load_arrays(copy/'checkpoint.safetensors', 'rnn_nbdev checkpoint 1')
    about['settings']['settings']['text'] = path
    save_arrays(copy/'checkpoint.safetensors', arrays, about, 'rnn_nbdev checkpoint 1')
    for said in (refused(rnn_train, capsys, resume=str(copy)), refused(rnn_eval, capsys, run=str(copy))):
        assert ('give --text' if isinstance(path, str) else 'text: got 3') in said


@pytest.mark.parametrize('make', [lambda p: p.symlink_to('/dev/zero'), os.mkfifo, lambda p: os.truncate(p, 2**40)
                                  if p.touch() is None else None], ids=['link', 'pipe', 'huge'])
@pytest.mark.parametrize('name', ['checkpoint.safetensors', 'weights.safetensors', 'history.jsonl'])
def test_no_link_pipe_or_huge_file_of_a_run_is_opened(name, make, copy, texts, capsys):
    (copy/name).unlink()
    make(copy/name)
    words = 'expected a regular file', 'expected at most'
    if name == 'weights.safetensors':
        for command in (rnn_sample, rnn_eval): assert any(w in refused(command, capsys, run=str(copy)) for w in words)
        return
    with pytest.raises(ValueError, match='|'.join(words)):
        train_text(resume=copy, text=texts/'good.txt', quiet=True, steps=20)
    if name == 'checkpoint.safetensors': rnn_sample(run=str(copy), length=3)      # the weights are good


def test_one_process_at_a_time(copy, texts, capsys):
    before = everything_in(copy)
    with locked(copy):
        said = refused(rnn_train, capsys, resume=str(copy), text=str(texts/'good.txt'), steps=20)
        assert f'{copy}: in use by process {os.getpid()}, since 20' in said
        (copy/'.lock').unlink()
    assert everything_in(copy) == before
    (copy/'.lock').write_text('process 1, since long ago')       # of a process that was killed
    train_text(resume=copy, text=texts/'good.txt', quiet=True, steps=11)
    assert load_checkpoint(copy/'checkpoint.safetensors')[0].step == 11 and not (copy/'.lock').exists()


def test_a_run_of_a_folder_lists_its_files(tmp_path):
    for name in ('a/1.txt', 'a/2.txt', 'a/3.log'):
        (tmp_path/name).parent.mkdir(exist_ok=True)
        (tmp_path/name).write_text(f'text of {name}\n' * 40)
    before = os.umask(0o077)
    try: run, _ = train_text(tmp_path/'run', text=tmp_path/'a', exclude='*.log', steps=1, **TINY)
    finally: os.umask(before)
    assert sorted((run/'files.txt').read_text().split()) == ['1.txt', '2.txt']
    assert run.stat().st_mode & 0o777 == 0o700 and (run/'files.txt').stat().st_mode & 0o777 == 0o600


def test_a_validation_loss_is_the_same_everywhere(tmp_path, capsys, monkeypatch):
    letters = np.random.default_rng(0).choice([*'abcde \n'], 300_000)
    (tmp_path/'t.txt').write_text(''.join(letters))
    run, _ = train_text(tmp_path/'run', text=tmp_path/'t.txt', validation=0.5, **{**TINY, 'steps': 3})
    result = json.loads((run/'result.json').read_text())
    assert np.isclose(read_history(run/'history.jsonl')[-1]['validation_loss'], result['validation_loss'], rtol=1e-9)
    monkeypatch.chdir(tmp_path)
    rnn_eval(run='run')
    said = capsys.readouterr().out
    assert f"{result['validation_loss']:.3f} nats" in said and f"over {result['chars']:,} predictions" in said
    assert 131_000 < result['chars'] < 131_072


def test_compiled_kernels_are_told_of_once(texts, tmp_path, capsys, monkeypatch):
    summary = json.loads((Path(__file__).parent.parent/'nbs/results.json').read_text())['older']['summary']
    ratio, = (row['jit']['mean'] / row['numpy']['mean'] for row in summary if row['what'] == 'character model, PyTorch')
    for has in (True, False):
        monkeypatch.setattr('rnn_nbdev.cli.has_numba', lambda has=has: has)
        train_text(tmp_path/str(has), text=texts/'good.txt', **{**TINY, 'steps': 1, 'quiet': False})
        said = capsys.readouterr().out
        assert said.count(f"{ratio:.1f} times as fast: pip install 'rnn_nbdev[fast]', or `make fast`") == (not has)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_is_no_traceback(number, texts, tmp_path):
    for wait in (0.1, 0.4, 1.0, 2.0):
        process = running(texts/'good.txt', '--out', tmp_path/str(wait), '--steps', 100_000, *SMALL)
        time.sleep(wait)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
        assert process.returncode in (130, -number) and 'Traceback' not in said, said
        if (tmp_path/str(wait)).exists(): load_checkpoint(tmp_path/str(wait)/'checkpoint.safetensors')


# -------------------------------------------------------------------------------------------------------------- writing

def test_the_ways_of_writing(trained, capsys):
    def said(**how):
        rnn_sample(run=str(trained), length=60, prompt='the ', **how)
        return capsys.readouterr()
    greedy = said(temperature=0.0).out
    assert said(top=1, seed=5).out == said(nucleus=0.001, seed=5).out == greedy, 'only the likeliest is left'
    one = said(beam=1)
    assert one.out == greedy and 'nats' in one.err and 'per char' in one.err
    wide = said(beam=8)
    value = [float(text.err.split()[0]) for text in (one, wide)]
    assert value[1] >= value[0] and len(wide.out) == len('the ') + 60 + 1
    free = said(temperature=1.5, seed=3).out
    stop = free[14:17]
    typed = stop.replace('\\', r'\\').replace('\n', r'\n').replace('|', r'\|')
    ended = said(temperature=1.5, seed=3, stop=typed).out
    assert ended == free[:free.index(stop, 4)] + '\n'


@pytest.mark.parametrize('given, expected', [
    ('', []), ('a', ['a']), (r'\n\n', ['\n\n']), (r'a|b\|c|\\n', ['a', 'b|c', '\\n']), (r'\t', ['\t']),
    ('ü |∀', ['ü ', '∀'])])
def test_stop_strings_as_they_are_typed(given, expected):
    assert _stop_strings(given) == expected


def test_surprises_are_told_with_their_place():
    nats = np.zeros((2, 4))                     # of 'bcde' after a and 'ghij' after f
    nats[1, 2], nats[0, 0] = 2.0, 1.0
    told = ["  2.89 bits  'i' after 'fgh'", "  1.44 bits  'b' after 'a'"]
    assert list(_worst_places(nats, 'abcdefghijk', 2)) == told
    assert list(_worst_places(nats, b'abcdefghij', 1)) == ["  2.89 bits  b'i' after b'fgh'"]


def test_the_worst_places_are_where_the_loss_is(trained, texts, tmp_path, capsys):
    rare = tmp_path/'rare.txt'
    rare.write_text('the quick brown fox jumps over the lazy dog\n' * 4 + 'zzz\n')
    rnn_eval(run=str(trained), text=str(rare), worst=3)
    first, *worst = capsys.readouterr().out.splitlines()
    values = [float(line.split()[0]) for line in worst]
    assert len(worst) == 3 and values == sorted(values, reverse=True)
    assert 'over 179 predictions' in first and all(' after ' in line for line in worst)
    rnn_eval(run=str(trained), text=str(rare), temperature=1e6)
    uniform = f'{np.log2(len(load_model(trained)[0].vocabulary)):.3f} bits per character'
    assert uniform in capsys.readouterr().out, 'nothing is known any more'


def started(texts, folder, *args):
    "A long run, once it has taken some steps"
    process = running('--text', texts/'good.txt', '--out', folder, '--steps', 100_000, *SMALL, '--save', 1, *args)
    until = time.monotonic() + 60
    while not (folder/'history.jsonl').exists() or len((folder/'history.jsonl').read_bytes()) < 300:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until, 'no steps within a minute'
        time.sleep(0.02)
    return process


def test_a_kill_leaves_the_last_checkpoint_whole(texts, tmp_path):
    "Killed at many moments, each time taken up from what is on disk: always readable, never behind where it was"
    folder, step = tmp_path/'run', 0
    process = started(texts, folder)
    process.kill()
    process.communicate()
    for wait in (0.0, 0.013, 0.03, 0.07, 0.15):
        process = running('--resume', folder, '--text', texts/'good.txt', '--quiet')
        lines = len(read_history(folder/'history.jsonl'))
        until = time.monotonic() + 60
        while len(read_history(folder/'history.jsonl')) <= lines + 3 and time.monotonic() < until:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        progress, _ = load_checkpoint(folder/'checkpoint.safetensors')
        assert progress.step > step
        step = progress.step
        assert command('rnn_sample', folder, '--length', 5, cwd=tmp_path).returncode == 0


def test_after_a_kill_the_history_is_that_of_a_run_that_was_not_killed(texts, tmp_path):
    process = started(texts, tmp_path/'killed', '--save', '5')
    process.kill()
    process.communicate()
    step = load_checkpoint(tmp_path/'killed'/'checkpoint.safetensors')[0].step
    about = json.loads((tmp_path/'killed'/'settings.json').read_text())
    assert about['settings']['steps'] == 100000
    process = running('--resume', tmp_path/'killed', '--text', texts/'good.txt', '--quiet')
    while process.poll() is None and len(read_history(tmp_path/'killed'/'history.jsonl')) < step + 12:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    steps = load_checkpoint(tmp_path/'killed'/'checkpoint.safetensors')[0].step
    done = command('rnn_train', '--text', texts/'good.txt', '--out', 'whole', '--steps', steps, *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path/'whole'/'history.jsonl').read_bytes() == (tmp_path/'killed'/'history.jsonl').read_bytes()


def test_ctrl_c_saves_and_says_how_to_go_on(texts, tmp_path):
    process = started(texts, tmp_path/'run', '--save', '1000')
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and 'Traceback' not in err and 'stopping after this step' in err
    assert f'rnn_train --resume {tmp_path/"run"}' in out
    step = load_checkpoint(tmp_path/'run'/'checkpoint.safetensors')[0].step
    assert step > 0 and f'stopped after step {step}' in out
    assert read_history(tmp_path/'run'/'history.jsonl')[-1]['step'] == step


def test_no_global_random_state_is_touched(tmp_path, texts):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    train_text(tmp_path/'run', text=str(texts/'good.txt'), steps=3, **TINY)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_a_reader_that_stops_reading_is_no_error(trained, tmp_path):
    writing = subprocess.Popen([str(SCRIPTS/'rnn_sample'), str(trained), '--length', '20000'],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    with writing:
        writing.stdout.read(10)
        writing.stdout.close()
        assert writing.wait(60) == 141 and writing.stderr.read() == b''
