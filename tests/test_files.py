"Files: complete or absent, with the permissions that they had, and damage noticed."
import math
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from rnn_nbdev.files import load_arrays, save_arrays, write_whole
from rnn_nbdev.train import best_checkpoints, load_checkpoint

ONE = np.ones(3)


@pytest.mark.parametrize('changed, words', [
    ({'arrays': [ONE]}, 'arrays: got list, expected a dictionary of arrays'),
    ({'arrays': {1: ONE}}, 'arrays: got the name 1, expected text'),
    ({'arrays': {'a': 'text'}}, "arrays['a']: got str, expected a NumPy array"),
    ({'arrays': {'a': np.array([None])}}, "arrays['a']: got object, expected real numbers"),
    ({'arrays': {'a': 1j * ONE}}, "arrays['a']: got complex128, expected real numbers"),
    ({'about': {'b': ONE}}, 'about: got '), ({'about': {'b': math.nan}}, 'about: got '),
    ({'kind': None}, 'kind: got NoneType, expected text'), ({'path': 3}, 'path: got 3, expected a path')])
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(changed, words, tmp_path):
    given = {'path': tmp_path/'x', 'arrays': {'a': ONE}, 'about': {}, 'kind': 'k', **changed}
    with pytest.raises((ValueError, TypeError)) as caught: save_arrays(**given)
    assert str(caught.value).startswith(words) and not [*tmp_path.iterdir()]


def test_damaged_and_foreign_files(tmp_path):
    path = tmp_path/'x'
    def refused(function, *args):
        with pytest.raises(ValueError) as caught: function(*args)
        assert str(caught.value).startswith(f'{path}: ') and '\n' not in str(caught.value)
        return str(caught.value)
    for data in (b'', b'\x00' * 8, b'\xff' * 30, b'{}' * 20):
        path.write_bytes(data)
        refused(load_arrays, path, 'k')
        refused(load_checkpoint, path)
    save_arrays(path, {'a': ONE}, {}, 'another kind')
    assert "got a file of kind 'another kind'" in refused(load_checkpoint, path)
    save_arrays(path, {'a': ONE, 'b': np.asfortranarray(np.ones((2, 3)))}, {'seed': 7}, 'k')
    whole = path.read_bytes()
    for place in (len(whole) - 1, len(whole) - 30, whole.index(b'seed'), whole.index(b'turned')):  # numbers, and words
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        assert 'damaged' in refused(load_arrays, path, 'k')
    for function in (load_checkpoint, best_checkpoints):
        with pytest.raises(OSError): function(tmp_path/'none')


@pytest.mark.skipif(os.name == 'nt', reason='Windows knows no such modes')
@pytest.mark.parametrize('umask, new', [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)], ids=oct)
def test_who_may_read_a_file(umask, new, tmp_path):
    "A new file is as the umask says; one that is written anew keeps its mode; nothing else is left in the folder"
    modes = lambda: {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    before = os.umask(umask)
    try:
        write_whole(tmp_path/'x', b'1')
        assert modes() == {'x': new}
        for mode in (0o600, 0o640, 0o666, 0o755):
            (tmp_path/'x').chmod(mode)
            write_whole(tmp_path/'x', b'2')
            assert modes() == {'x': mode}
    finally: os.umask(before)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path/'x').mkdir()
    with pytest.raises(IsADirectoryError) as caught: write_whole(tmp_path/'x', b'1')
    assert caught.value.filename == str(tmp_path/'x') and [p.name for p in tmp_path.iterdir()] == ['x']


@pytest.mark.parametrize('folder', ['nodir', 'file', 'nodir/deeper'])
def test_a_missing_folder_is_named(tmp_path, folder):
    "And not the hidden file that would have been written beside the target"
    (tmp_path / 'file').write_bytes(b'')
    path = tmp_path / folder / 'model'
    for save in (lambda: write_whole(path, b'data'), lambda: save_arrays(path, {'a': np.ones(2)}, {}, 'k')):
        with pytest.raises(FileNotFoundError) as caught: save()
        assert caught.value.filename == str(path.parent) and str(path.parent) in str(caught.value)
        assert '.model' not in str(caught.value)


def test_a_path_may_be_text(tmp_path):
    save_arrays(str(tmp_path/'x'), {'a': ONE}, {'n': 1}, 'k')
    arrays, about = load_arrays(str(tmp_path/'x'), 'k')
    assert arrays['a'].tolist() == ONE.tolist() and about == {'n': 1} and Path(tmp_path/'x').exists()


def test_arrays_come_back_as_they_lay_in_memory(tmp_path):
    arrays = {'rows': np.ones((2, 3)), 'columns': np.asfortranarray(np.ones((2, 3, 4), np.float32)), 't': np.array(7)}
    save_arrays(tmp_path/'x', arrays, {}, 'k')
    for n, a in load_arrays(tmp_path/'x', 'k')[0].items():
        assert a.dtype == arrays[n].dtype and a.strides == arrays[n].strides and a.tobytes() == arrays[n].tobytes(), n


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path):
    path, contents = tmp_path/'x', (b'a' * 500_000, b'b' * 500_000)
    path.write_bytes(contents[0])
    writer = threading.Thread(target=lambda: [write_whole(path, contents[k % 2]) for k in range(60)])
    writer.start()
    while writer.is_alive(): assert path.read_bytes() in contents
    writer.join()
