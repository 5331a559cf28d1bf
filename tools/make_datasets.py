"""Write the data sets that the package ships, from the packages that carry them. Fetch and unpack these first:
aeon 1.6.0 (wheel), statsmodels 0.15.0 (wheel), vega_datasets 0.9.0 (wheel), names 0.3.0 (source archive).
Usage: make_datasets.py AEON STATSMODELS VEGA_DATASETS NAMES [OUT], each the folder that an archive was unpacked into;
OUT is rnn_nbdev/datasets where none is given. Prints the SHA-256 of each file, as `data` and DATA.md record it."""
import csv
import gzip
import hashlib
import sys
from pathlib import Path

Rows = list[list[str]]
SURNAMES = 10_000   # the list goes on to 88,799: names that hardly anybody has, and four fifths of the bytes


def only(folder: Path, name: str) -> Path:
    "The one file of that name in a folder or below"
    found = sorted(folder.rglob(name))
    if len(found) != 1: sys.exit(f'{folder}: found {len(found)} files named {name}, expected one')
    return found[0]


def vowels(aeon: Path) -> Rows:
    "One row a step: part, speaker, utterance, twelve coefficients as they are written in the .ts files"
    rows = [['part', 'speaker', 'utterance', *(f'c{i}' for i in range(1, 13))]]
    for part in ('train', 'test'):
        text = only(aeon, f'JapaneseVowels_{part.upper()}.ts').read_text(encoding='utf-8')
        lines = text.split('@data')[1].split()
        for utterance, line in enumerate(lines, 1):
            *coefficients, speaker = line.split(':')
            steps = zip(*(c.split(',') for c in coefficients), strict=True)
            rows += [[part, speaker, str(utterance), *step] for step in steps]
    return rows


def sunspots(statsmodels: Path) -> Rows:
    "Year and number"
    with only(statsmodels, 'sunspots.csv').open(encoding='utf-8', newline='') as f: found = list(csv.reader(f))
    return [['year', 'sunspots'], *found[1:]]


def temperatures(vega: Path) -> Rows:
    "Hour, degrees Fahrenheit in Seattle and in San Francisco"
    by_hour: dict[str, dict[str, str]] = {}
    for place in ('seattle', 'sf'):
        with only(vega, f'{place}-temps.csv').open(encoding='utf-8', newline='') as f:
            for row in csv.DictReader(f):
                hour = row['date'][:16].replace('/', '-').replace(' ', 'T')
                by_hour.setdefault(hour, {})[place] = row['temp']
    return [['hour', 'seattle', 'san_francisco'], *([h, v['seattle'], v['sf']] for h, v in sorted(by_hour.items()))]


def weather(vega: Path) -> Rows:
    "Day, millimetres of rain, highest and lowest temperature in degrees Celsius, wind in metres a second"
    names = 'precipitation', 'temp_max', 'temp_min', 'wind'
    with only(vega, 'seattle-weather.csv').open(encoding='utf-8', newline='') as f: found = list(csv.DictReader(f))
    return [['day', *names], *([row['date'].replace('/', '-'), *(row[n] for n in names)] for row in found)]


def census(names: Path) -> Rows:
    "Which list, and the name; within a list the commonest first"
    rows = [['list', 'name']]
    for label, file in (('female', 'dist.female.first'), ('male', 'dist.male.first'), ('surname', 'dist.all.last')):
        lines = only(names, file).read_text(encoding='ascii').splitlines()
        rows += [[label, line.split()[0]] for line in lines[:SURNAMES] if line.strip()]
    return rows


def write(path: Path, rows: Rows) -> str:
    "Write a table, packed where its name says so; the same rows give the same bytes. Returns their SHA-256"
    if len({*map(len, rows)}) != 1: sys.exit(f'{path.name}: rows of different lengths')
    text = ''.join(','.join(row) + '\n' for row in rows).encode()
    data = gzip.compress(text, 9, mtime=0) if path.suffix == '.gz' else text
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def main(arguments: list[str]) -> None:
    "Every file"
    if len(arguments) not in (4, 5): sys.exit(__doc__)
    aeon, statsmodels, vega, names = map(Path, arguments[:4])
    out = Path(arguments[4]) if arguments[4:] else Path(__file__).resolve().parent.parent/'rnn_nbdev/datasets'
    out.mkdir(parents=True, exist_ok=True)
    tables = {'japanese_vowels.csv.gz': vowels(aeon), 'sunspots.csv': sunspots(statsmodels),
              'temperatures.csv.gz': temperatures(vega), 'seattle_weather.csv.gz': weather(vega),
              'census_names.csv.gz': census(names)}
    for name, rows in tables.items(): print(write(out/name, rows), name, f'{len(rows) - 1} rows')


if __name__ == '__main__':
    main(sys.argv[1:])
