"Data that the package carries, and problems that it generates: against what is published, and against other code."
import gzip
import hashlib
import re
from pathlib import Path

import make_datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_nbdev import data, problems, reber
from rnn_nbdev.text import read_bytes

folder = Path(data.__file__).parent/'datasets'
by_file = pytest.mark.parametrize('file', data._DATA_SETS)


def said_of(file: str) -> str:
    "What DATA.md says of a file"
    return (folder/'DATA.md').read_text(encoding='utf-8').split(f'## {file}\n')[1].split('\n## ')[0]


# --------------------------------------------------------------------------------------------- what the package ships

@by_file
def test_every_hash_is_that_of_its_file_and_the_page_beside_it_agrees(file):
    assert hashlib.sha256((folder/file).read_bytes()).hexdigest() == data._DATA_SETS[file]
    said = said_of(file)
    assert data._DATA_SETS[file] in said
    assert re.search(r'^- Licence: (public domain|.*CC-BY-4\.0)', said, re.MULTILINE)
    package = re.search(r' of (\S+ [\d.]+\d)\. Changed: ', said)[1]
    assert package in make_datasets.__doc__


def test_there_is_a_record_for_every_file_and_all_is_small():
    assert {path.name for path in folder.iterdir()} == data._DATA_SETS.keys() | {'DATA.md'}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 700_000


def test_attribution_is_given_as_the_licence_asks():
    "Creators, licence with its address, and what was changed: CC BY 4.0, section 3(a)"
    page = said_of('japanese_vowels.csv.gz')
    for words in ('Kudo', 'Toyama', 'Shimbo', 'creativecommons.org/licenses/by/4.0', 'Changed:', 'without warranties'):
        assert words in page


@by_file
def test_a_missing_or_damaged_file_is_refused_in_one_line(file, tmp_path):
    name = file.split('.')[0]
    with pytest.raises(ValueError, match=f'^data set {name}: no file .*{re.escape(file)}[^\n]*$'):
        data._read_data_set(name, tmp_path)
    whole = (folder/file).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole)//2] ^= 1
    for wrong in (b'', whole[:-1], whole + b'\n', bytes(flipped)):
        (tmp_path/file).write_bytes(wrong)
        with pytest.raises(ValueError, match=f'^data set {name}: [^\n]*damaged: SHA-256 [^\n]*$'):
            data._read_data_set(name, tmp_path)
    (tmp_path/file).write_bytes(whole)
    assert data._read_data_set(name, tmp_path) == data._read_data_set(name)


bad_text = {
    'not UTF-8': (lambda: data._decode(b'a\n\xff', 'a'), 'a: not UTF-8: byte 0xff at offset 2, line 2'),
    'text from nowhere': (lambda: data.read_text('nowhere'), 'text: no such file or folder: nowhere'),
    'nothing of that pattern': (lambda: data.read_text(folder, pattern='*.none'), 'text: no file matches'),
    'too little': (lambda: data.split_text('abc', 0.5), 'text: 3 characters are too few'),
    **{f'kinds: {kinds}': (lambda kinds=kinds: data.census_names(kinds), 'kinds: got .*, expected some of .*each once')
       for kinds in ('male', [], ['male', 'male'], ['males'], [['male']], 3, {'male': 1})},
}


@pytest.mark.parametrize('name', bad_text)
def test_bad_input_is_refused_in_one_line(name):
    call, words = bad_text[name]
    with pytest.raises(ValueError, match=f'^{words}') as caught: call()
    assert '\n' not in str(caught.value)


def test_japanese_vowels_is_the_published_split():
    "Counts as its authors publish them; the lengths and numbers read a second time, without the loader"
    text = gzip.decompress((folder/'japanese_vowels.csv.gz').read_bytes()).decode()
    rows = [line.split(',') for line in text.split('\n')[1:-1]]
    for part, counts in (('train', [30]*9), ('test', [31, 35, 88, 44, 29, 24, 40, 50, 29])):
        x, labels, names = data.japanese_vowels(part)
        assert np.bincount(labels).tolist() == counts and len(x) == len(labels) == sum(counts) and len(names) == 9
        assert all(u.dtype == np.float64 and u.ndim == 2 and u.shape[1] == 12 and 7 <= len(u) <= 29 for u in x)
        mine = [row for row in rows if row[0] == part]
        assert [float(v) for row in mine for v in row[3:]] == np.concatenate(x).ravel().tolist()
        assert [(row[1], row[2]) for row in mine] == [(str(k + 1), str(i)) for i, (u, k) in enumerate(zip(x, labels), 1)
                                                      for _ in u]


def test_what_a_loader_gives_is_the_callers_own():
    for load in (lambda: data.japanese_vowels('train')[0][0], lambda: data.sunspots()[1],
                 lambda: data.temperatures()[1], lambda: data.seattle_weather()[1], lambda: data.census_names()[1]):
        first = load()
        as_it_was = first.copy()
        first += 1
        assert (load() == as_it_was).all()


def test_names_come_in_the_order_asked_for():
    names, labels, kinds = data.census_names(('surname', 'male'))
    assert kinds == ['surname', 'male'] and names[0] == 'SMITH' and names[10_000] == 'JAMES'
    assert np.bincount(labels).tolist() == [10_000, 1219] and (np.diff(labels) >= 0).all()


# --------------------------------------------------------------------------------------------------- reading a text

def test_a_folder_is_read_in_an_order_that_its_names_decide(tmp_path):
    for name in ('one', 'two', 'three', 'four'): (tmp_path/name).write_text(f'{name}\n')
    text = data.read_text(tmp_path)
    expected = sorted(('one', 'two', 'three', 'four'), key=lambda name: hashlib.sha256(name.encode()).digest())
    assert text.characters.split() == expected and text.files == 4


@pytest.mark.parametrize('how, expected', [
    ({}, 'a.txt b.md sub/a.txt sub/deep/c.log'), ({'pattern': '*.txt'}, 'a.txt sub/a.txt'),
    ({'pattern': '*.md|*.log'}, 'b.md sub/deep/c.log'), ({'pattern': 'deep/*'}, 'sub/deep/c.log'),
    ({'pattern': 'sub/**/*.log'}, 'sub/deep/c.log'), ({'exclude': 'sub'}, 'a.txt b.md'),
    ({'exclude': '*.txt|deep'}, 'b.md'), ({'pattern': '*.txt', 'exclude': 'sub/a.*'}, 'a.txt')])
def test_patterns_say_which_files_of_a_folder_are_read_and_nothing_is_read_twice(how, expected, tmp_path):
    folder = tmp_path/'all'
    for name in ('a.txt', 'b.md', 'sub/a.txt', 'sub/deep/c.log', '.git/config', 'sub/.hidden.txt'):
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).write_text(f'{name}\n')
    for link, target in {'0.txt': folder/'a.txt', 'loop': folder, 'sub/up': tmp_path, 'again': folder/'sub',
                         '0.fifo': '/dev/zero'}.items(): (folder/link).symlink_to(target)
    for read in (data.read_text, read_bytes):
        text = read(folder, **how)
        assert sorted(text.names) == expected.split() and text.files == len(text.names)
        contents = text.contents if isinstance(text.contents, str) else text.contents.decode()
        assert contents.split() == [*text.names], 'the names stand in the order of the contents'
    with pytest.raises(ValueError, match=r"no file matches '\*' and not '\*\.\*' in folder"):
        data.read_text(folder, exclude='*.*')


def test_links_to_what_lies_elsewhere_are_read_once(tmp_path):
    for name in ('here', 'there'): (tmp_path/name).mkdir()
    (tmp_path/'there/x.txt').write_text('x')
    for link, target in {'one': 'there', 'two': 'there', 'x.txt': 'there/x.txt'}.items():
        (tmp_path/'here'/link).symlink_to(tmp_path/target)
    assert data.read_text(tmp_path/'here').files == 1
    (tmp_path/'there/y.txt').write_text('y')
    assert data.read_text(tmp_path/'here', exclude='x.txt').contents == 'y\n'


@pytest.mark.parametrize('errors', ['strict', 'replace'])
@pytest.mark.parametrize('contents, words', [
    *(('Ένα, two\n'.encode(codec), f'got {codec[:6].upper()}, expected UTF-8')
      for codec in ('utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'utf-32-le', 'utf-32-be')),
    (b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'a binary file: zero byte at offset 8'),
    (b'text\n' * 2000 + b'\0', 'offset 10000')])
def test_what_is_no_text_is_named(contents, words, errors, tmp_path):
    (tmp_path/'file').write_bytes(contents)
    (tmp_path/'good').write_text('good')
    for path in (tmp_path, tmp_path/'file'):
        with pytest.raises(ValueError, match=f'^{tmp_path}/file: .*{words}'): data.read_text(path, errors)
    assert data.read_text(tmp_path, errors, exclude='file').contents == 'good\n'


def test_a_device_is_no_text():
    for read in (data.read_text, read_bytes):
        with pytest.raises(ValueError, match=r'^text: /dev/zero is a device'): read('/dev/zero')


def test_a_text_says_where_it_came_from(tmp_path):
    (tmp_path/'a.txt').write_text('one and two')
    for read, unit in ((data.read_text, 'characters'), (read_bytes, 'bytes')):
        text = read(tmp_path/'a.txt')
        assert repr(text) == f'{tmp_path/"a.txt"}: 11 {unit} from 1 file, SHA-256 {text.sha256[:16]}...'
        assert text.record() == {'source': str(tmp_path/'a.txt'), 'files': 1, unit: 11, 'sha256': text.sha256}


@given(st.text(min_size=20, max_size=200), st.floats(0.2, 0.8))
def test_what_is_held_out_is_not_trained_on(text, share):
    train, held_out = data.split_text(text, share)
    assert train + held_out == text and abs(len(held_out) - share * len(text)) <= 1


def test_the_standard_library_is_there_and_is_python():
    library = data.standard_library()
    assert library.files > 300 and '\r' not in library.characters and library.characters.count('\ndef ') > 1000
    assert library.record() == data.standard_library().record()


# ---------------------------------------------------------------------------------- how the files were made

def fake_packages(at: Path) -> list[Path]:
    "Folders as the packages have them, with a few lines each"
    files = {
        'aeon/a/JapaneseVowels_TRAIN.ts': '#word\n@data\n' + ':'.join(f'{i}.5,{i}' for i in range(12)) + ':1\n',
        'aeon/a/JapaneseVowels_TEST.ts': '@data\n' + ':'.join(['7.0'] * 12) + ':9\n',
        'statsmodels/s/sunspots.csv': '"YEAR","SUNACTIVITY"\n1700,5\n1701,11.5\n',
        'vega/seattle-temps.csv': 'date,temp\n2010/01/01 00:00,39.4\n2010/01/01 01:00,39.2\n',
        'vega/sf-temps.csv': 'temp,date\n47.8,2010/01/01 00:00:00\n47.4,2010/01/01 01:00:00\n',
        'vega/seattle-weather.csv': 'date,precipitation,temp_max,temp_min,wind,weather\n'
                                   '2012/01/01,0.0,12.8,5.0,4.7,rain\n',
        'names/n/dist.female.first': 'MARY  2.629  2.629  1\n', 'names/n/dist.male.first': 'JAMES  3.318  3.318  1\n',
        'names/n/dist.all.last': ''.join(f'N{"A"*(i % 7)} 0.1 0.1 {i}\n' for i in range(10_002))}
    for name, text in files.items():
        (at/name).parent.mkdir(parents=True, exist_ok=True)
        (at/name).write_text(text, encoding='utf-8')
    return [at/name for name in ('aeon', 'statsmodels', 'vega', 'names')]


def test_the_files_are_made_from_the_packages(tmp_path, capsys):
    packages = fake_packages(tmp_path)
    for out in ('one', 'two'): make_datasets.main([*map(str, packages), str(tmp_path/out)])
    one, two = ({p.name: p.read_bytes() for p in (tmp_path/out).iterdir()} for out in ('one', 'two'))
    assert one == two and one.keys() == data._DATA_SETS.keys()
    text = {name: (gzip.decompress(b) if name.endswith('.gz') else b).decode().splitlines() for name, b in one.items()}
    assert text['japanese_vowels.csv.gz'][1:] == [
        'train,1,1,' + ','.join(f'{i}.5' for i in range(12)), 'train,1,1,' + ','.join(map(str, range(12))),
        'test,9,1,' + ','.join(['7.0'] * 12)]
    assert text['sunspots.csv'][1:] == ['1700,5', '1701,11.5']
    assert text['temperatures.csv.gz'][1:] == ['2010-01-01T00:00,39.4,47.8', '2010-01-01T01:00,39.2,47.4']
    assert text['seattle_weather.csv.gz'][1:] == ['2012-01-01,0.0,12.8,5.0,4.7']
    assert text['census_names.csv.gz'][1:4] == ['female,MARY', 'male,JAMES', 'surname,N'] and len(
        text['census_names.csv.gz']) == 3 + 10_000
    assert capsys.readouterr().out.count('\n') == 10
    with pytest.raises(SystemExit, match='found 0 files named'): make_datasets.main([str(tmp_path/'one')] * 4)
    with pytest.raises(SystemExit, match='Usage'): make_datasets.main([])


# ------------------------------------------------------------------------------------------------ generated problems

PLAIN = {  # name -> a call with generator, examples, length and number type
    'adding': problems.adding_problem, 'adding 1997': problems.adding_problem_1997,
    'multiplication': problems.multiplication_problem, 'parity': problems.parity_problem,
    'copying': lambda rng, m, T, dtype=np.float64: problems.copying_problem(rng, m, T, dtype=dtype),
    'order 2': lambda rng, m, T, dtype=np.float64: problems.temporal_order_problem(rng, m, T, 2, dtype),
    'order 3': lambda rng, m, T, dtype=np.float64: problems.temporal_order_problem(rng, m, T, 3, dtype),
    'Reber': lambda rng, m, T, dtype=np.float64: reber.grammar_problem(rng, m, dtype=dtype),
    'embedded': lambda rng, m, T, dtype=np.float64: reber.grammar_problem(rng, m, EMBEDDED, dtype)}
EMBEDDED = reber._embed(reber._REBER)
by_problem = pytest.mark.parametrize('make', PLAIN.values(), ids=PLAIN.keys())


@by_problem
def test_a_problem_is_drawn_from_the_generator_alone(make):
    np.random.seed(0)  # noqa: NPY002
    one = make(np.random.default_rng(5), 7, 40)
    np.random.seed(1)  # noqa: NPY002
    two, other = make(np.random.default_rng(5), 7, 40), make(np.random.default_rng(6), 7, 40)
    assert all((a == b).all() for a, b in zip(one, two))
    assert one[0].shape != other[0].shape or (one[0] != other[0]).any()


@by_problem
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_a_problem_has_the_packages_notation(make, dtype):
    x, targets, *rest = make(np.random.default_rng(0), 7, 40, dtype=dtype)
    _, m, T = x.shape
    assert x.dtype == dtype and m == 7 and x.flags.f_contiguous and T >= 5
    assert targets.shape == (1, 7) if targets.dtype == dtype else targets.shape in ((7,), (7, T))
    assert targets.dtype == dtype or targets.dtype.kind == 'i'
    for lengths in rest[-1:]:
        assert lengths.shape == (7,) and lengths.max() <= T
        for k, length in enumerate(lengths): assert not x[:, k, length:].any() and x[:, k, length - 1].any()


@pytest.mark.parametrize(('call', 'words'), [
    (lambda r: reber.grammar_problem(r, 1, ((),)), 'grammar: got () at state 0, expected letters with '
     'states, one or more'),
    (lambda r: reber.grammar_string(r, ((('Q', 1),),)), "grammar: got (('Q', 1),) at state 0, expected letters with"
     ' states, one or more'),
    (lambda r: reber.grammar_losses(((('B', 0),),)), 'grammar: got a state without a way to the end, expected a way '
     'from each'),
    (lambda r: reber.grammar_accepts('B', 'REBER'), 'grammar: got str, expected a tuple of states'),
    (lambda r: reber._grammar_states('BTB'), "text: got 'B' at 2 in 'BTB', expected S or X"),
    (lambda r: reber._grammar_states('BTXSET'), "text: got 'T' at 5 in 'BTXSET', expected its end")])
def test_grammars_that_make_no_sense_are_refused(call, words):
    with pytest.raises(ValueError, match=f'^{re.escape(words)}$'): call(np.random.default_rng(0))


@pytest.mark.parametrize(('make', 'name', 'least'), [
    (problems.adding_problem, 'T', 2), (problems.adding_problem_1997, 'T', 20),
    (problems.multiplication_problem, 'T', 20), (problems.temporal_order_problem, 'T', 10),
    (problems.copying_problem, 'n_copy', 1), (problems.copying_problem, 'n_symbols', 2)])
def test_the_least_sizes(make, name, least):
    make(np.random.default_rng(0), **{'m': 3, 'T': 20, name: least})
    with pytest.raises(ValueError, match=f'^{name}: got {least - 1}, expected an integer of at least {least}$'):
        make(np.random.default_rng(0), **{'m': 3, 'T': 20, name: least - 1})


def counted(values, low: int, high: int) -> None:
    "Values cover low to high, each about equally often"
    counts = np.bincount(np.asarray(values) - low, minlength=high - low + 1)
    assert len(counts) == high - low + 1
    expected = len(values)/len(counts)
    assert (np.abs(counts - expected) < 5*np.sqrt(expected)).all(), counts


@pytest.mark.parametrize('T', [2, 3, 9, 100])
def test_adding_marks_each_half_evenly(T):
    x, y = problems.adding_problem(np.random.default_rng(1), 4000, T)
    marks = np.array([[t for t in range(T) if x[1, k, t]] for k in range(4000)])
    counted(marks[:, 0], 0, T//2 - 1), counted(marks[:, 1], T//2, T - 1)
    assert (0 <= x[0]).all() and (x[0] < 1).all() and abs(x[0].mean() - 0.5) < 0.02
    assert all(abs(sum(x[0, k, t] for t in marks[k]) - y[0, k]) < 1e-12 for k in range(4000))


@pytest.mark.parametrize('T', [20, 100])
@pytest.mark.parametrize(('make', 'low', 'neutral', 'target'), [
    (problems.adding_problem_1997, -1, 0, lambda u, v: 0.5 + (u + v)/4),
    (problems.multiplication_problem, 0, 1, lambda u, v: u*v)])
def test_pairs_are_marked_as_in_1997(make, low, neutral, target, T):
    "One of the first ten, then one of the first T/2 - 1 that are still unmarked: every pair of places as often as that"
    x, y, lengths = make(np.random.default_rng(2), 6000, T)
    counted(lengths, T, T + T//10)
    places: dict[tuple[int, ...], int] = {}
    for k in range(6000):
        marked = tuple(t for t in range(lengths[k]) if x[1, k, t] == 1)
        places[marked] = places.get(marked, 0) + 1
        assert abs(target(*x[0, k, list(marked)]) - y[0, k]) < 1e-12
        if 0 in marked: assert x[0, k, 0] == neutral
    chances: dict[tuple[int, ...], float] = {}
    for first in range(10):
        for second in [t for t in range(T//2) if t != first][:T//2 - 1]:
            both = tuple(sorted((first, second)))
            chances[both] = chances.get(both, 0) + 1/10/(T//2 - 1)
    assert places.keys() <= chances.keys() and abs(sum(chances.values()) - 1) < 1e-12
    if T == 20: assert all(abs(places[b] - 6000*p) < 5*np.sqrt(6000*p) for b, p in chances.items())
    assert x[0].min() >= low and abs(np.abs(x[0]).max() - 1) < 1e-3


@settings(max_examples=30)
@given(m=st.integers(1, 5), T=st.integers(1, 30), n=st.integers(1, 6), k=st.integers(2, 5), seed=st.integers(0, 99))
def test_copying_for_any_sizes(m, T, n, k, seed):
    x, targets = problems.copying_problem(np.random.default_rng(seed), m, T, n, k)
    assert x.shape == (k + 2, m, T + 2*n)
    for j in range(m):
        shown = x[:, j].argmax(axis=0).tolist()
        assert x[:, j].sum(axis=0).tolist() == [1]*(T + 2*n)
        assert shown == shown[:n] + [k]*(T - 1) + [k + 1] + [k]*n and max(shown[:n]) < k
        assert targets[j].tolist() == [k]*(T + n) + shown[:n]


@pytest.mark.parametrize(('places', 'starts', 'classes'), [
    (2, (10, 50), 'XX XY YX YY'), (3, (10, 33, 66), 'XXX XXY XYX XYY YXX YXY YYX YYY')])
def test_temporal_order_is_that_of_the_paper(places, starts, classes):
    x, k, lengths = problems.temporal_order_problem(np.random.default_rng(3), 3000, 100, places)
    texts = [''.join('EBabcdXY'[c.argmax()] for c in x[:, j].T if c.any()) for j in range(3000)]
    relevant = [[(t, c) for t, c in enumerate(text) if c in 'XY'] for text in texts]
    assert [''.join(c for _, c in pairs) for pairs in relevant] == [classes.split()[c] for c in k]
    for i, start in enumerate(starts): counted([pairs[i][0] for pairs in relevant], start, start + 10)
    counted([len(text) for text in texts], 100, 110), counted(k, 0, 2**places - 1)
    counted(['abcd'.index(c) for text in texts[:300] for c in text if c in 'abcd'], 0, 3)
    assert all(re.fullmatch('E[abcdXY]*B', text) for text in texts) and [*map(len, texts)] == lengths.tolist()


def strings_up_to(grammar, n: int) -> set[str]:
    "Every string of a grammar of at most n letters, by following every way"
    found, open_ = set(), [('', 0)]
    while open_:
        text, state = open_.pop()
        if state == len(grammar): found.add(text)
        elif len(text) < n: open_ += [(text + letter, to) for letter, to in grammar[state]]
    return found


def test_the_embedded_grammar_is_rebers_between_equal_letters():
    inner, outer = strings_up_to(reber._REBER, 12), strings_up_to(EMBEDDED, 16)
    assert outer == {f'B{c}{text}{c}E' for c in 'TP' for text in inner} and len(inner) > 100
    for text in sorted(outer)[:200]:
        assert reber.grammar_accepts(text, EMBEDDED) and not reber.grammar_accepts(text)
        swapped = text[:-2] + {'T': 'P', 'P': 'T'}[text[-2]] + 'E'
        assert not reber.grammar_accepts(swapped, EMBEDDED)
    assert not any(map(reber.grammar_accepts, ('', 'B', 'BTXS', 'BTXSEE', 'btxse')))


@settings(max_examples=200)
@given(st.text(alphabet='BTPSXVE', max_size=8))
def test_accepting_is_being_one_of_the_strings(text):
    for grammar in (reber._REBER, EMBEDDED):
        assert reber.grammar_accepts(text, grammar) == (text in strings_up_to(grammar, 8))


@pytest.mark.parametrize('grammar', [reber._REBER, EMBEDDED])
def test_legal_letters_are_those_with_which_a_string_goes_on(grammar):
    x, targets, legal, lengths = reber.grammar_problem(np.random.default_rng(4), 300, grammar)
    every = strings_up_to(grammar, 18)
    after: dict[str, set[str]] = {}
    for text in every:
        for t in range(1, len(text)): after.setdefault(text[:t], set()).add(text[t])
    for k in range(300):
        text = ''.join('BTPSXVE'[c.argmax()] for c in x[:, k, :lengths[k]].T)
        assert ''.join('BTPSXVE'[c] for c in targets[k, :lengths[k]]) == text[1:] + 'E'
        for t in range(min(len(text), 8)):
            assert {'BTPSXVE'[i] for i in np.flatnonzero(legal[:, k, t])} == after[text[:t + 1]]
    assert not legal[:, np.arange(legal.shape[2]) >= lengths[:, None]].any()


@pytest.mark.parametrize('grammar', [reber._REBER, EMBEDDED])
def test_least_losses_follow_from_walking_the_grammar(grammar):
    "The share of all strings at each state, letter by letter, until none is left; no linear system"
    at = {(0, ''): 1.0}
    pairs: dict[tuple[str, str], float] = {}
    with_memory = letters = 0.0
    for _ in range(500):
        moved: dict[tuple[int, str], float] = {}
        for (state, last), share in at.items():
            if state == len(grammar): continue
            ways = grammar[state]
            if last: letters += share; with_memory += share*np.log(len(ways))
            for letter, to in ways:
                moved[to, letter] = moved.get((to, letter), 0) + share/len(ways)
                if last: pairs[last, letter] = pairs.get((last, letter), 0) + share/len(ways)
        at = moved
    after = {a: sum(n for (first, _), n in pairs.items() if first == a) for a, _ in pairs}
    without = -sum(n*np.log(n/after[a]) for (a, _), n in pairs.items())
    expected = with_memory/letters, without/letters, letters
    assert np.abs(np.array(reber.grammar_losses(grammar)) - expected).max() < 1e-9
