"Data that the package carries, and problems that it generates: against what is published, and against other code."
import gzip
import hashlib
import re
from pathlib import Path

import make_datasets
import numpy as np
import pytest

from rnn_nbdev import data

folder = Path(data.__file__).parent/'datasets'
by_record = pytest.mark.parametrize('record', data.DATA_SETS, ids=lambda record: record.name)


# --------------------------------------------------------------------------------------------- what the package ships

@by_record
def test_every_record_is_that_of_its_file(record):
    assert hashlib.sha256((folder/record.file).read_bytes()).hexdigest() == record.sha256
    assert all(vars(record).values()) and record.licence in ('public domain', 'CC-BY-4.0')


@by_record
def test_the_record_and_the_page_beside_the_files_agree(record):
    page = (folder/'DATA.md').read_text(encoding='utf-8')
    own = page.split(f'## {record.file}\n')[1].split('\n## ')[0]
    assert record.sha256 in own and record.licence in own
    package = re.search(r'as in (\S+ [\d.]+\d)', record.source)[1]
    assert f'of {package}. Changed: ' in own
    assert package in make_datasets.__doc__


def test_there_is_a_record_for_every_file_and_all_is_small():
    assert {path.name for path in folder.iterdir()} == {record.file for record in data.DATA_SETS} | {'DATA.md'}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 700_000


def test_attribution_is_given_as_the_licence_asks():
    "Creators, licence with its address, and what was changed: CC BY 4.0, section 3(a)"
    page = (folder/'DATA.md').read_text(encoding='utf-8').split('## japanese_vowels.csv.gz\n')[1].split('\n## ')[0]
    for words in ('Kudo', 'Toyama', 'Shimbo', 'creativecommons.org/licenses/by/4.0', 'Changed:', 'without warranties'):
        assert words in page


@by_record
def test_a_missing_or_damaged_file_is_refused_in_one_line(record, tmp_path):
    with pytest.raises(ValueError, match=f'^data set {record.name}: no file .*{re.escape(record.file)}[^\n]*$'):
        data.read_data_set(record.name, tmp_path)
    whole = (folder/record.file).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole)//2] ^= 1
    for wrong in (b'', whole[:-1], whole + b'\n', bytes(flipped)):
        (tmp_path/record.file).write_bytes(wrong)
        with pytest.raises(ValueError, match=f'^data set {record.name}: [^\n]*damaged: SHA-256 [^\n]*$'):
            data.read_data_set(record.name, tmp_path)
    (tmp_path/record.file).write_bytes(whole)
    assert data.read_data_set(record.name, tmp_path) == data.read_data_set(record.name)


@pytest.mark.parametrize('call', [
    lambda: data.data_set('moons'), lambda: data.data_set(3), lambda: data.data_set([]),
    lambda: data.japanese_vowels('all'), lambda: data.japanese_vowels(None),
    lambda: data.temperatures('Boston'), lambda: data.temperatures(['Seattle']),
    lambda: data.census_names('male'), lambda: data.census_names([]), lambda: data.census_names(['male', 'male']),
    lambda: data.census_names(['males']),
    lambda: data.census_names([['male']])])
def test_what_is_not_there_is_refused_in_one_line(call):
    with pytest.raises(ValueError, match=r'^[^\n]*: got [^\n]*, expected [^\n]*$'): call()


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
    assert one == two and one.keys() == {record.file for record in data.DATA_SETS}
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
