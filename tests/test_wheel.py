"""The wheel: what is in it, and that it works in new environments. `make wheel-check` runs these."""
import re
import subprocess
import sys
import venv
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path

import pytest

from rnn_nbdev.data import _DATA_SETS

pytestmark = pytest.mark.wheel
root = Path(__file__).resolve().parent.parent
config = ConfigParser(delimiters=['='])
config.read(root/'settings.ini', encoding='utf-8')
settings = config['DEFAULT']


def run(*command, **options) -> str:
    "What a command prints; it must succeed"
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, f'{" ".join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
    return done.stdout + done.stderr


@pytest.fixture(scope='session')
def built(tmp_path_factory) -> tuple[Path, str]:
    "The wheel, built through the source archive from what git holds, and what the build said"
    source, dist = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('dist')
    run(sys.executable, root/'tools/unchanged.py', '--copy', source)
    said = run(sys.executable, '-m', 'build', '--outdir', dist, source)
    return next(dist.glob('*.whl')), said


def test_the_build_warns_of_nothing(built):
    said = [line for line in built[1].splitlines() if re.search('warn|deprecat', line, re.IGNORECASE)]
    assert [line for line in said if 'byte-compiling is disabled' not in line] == []


def test_the_wheel_holds_the_package_and_nothing_else(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    info = f"rnn_nbdev-{settings['version']}.dist-info"
    package = {f'rnn_nbdev/{path.name}' for path in (root/'rnn_nbdev').glob('*.py')}
    package |= {'rnn_nbdev/py.typed', 'rnn_nbdev/__init__.pyi'}
    package |= {f'rnn_nbdev/datasets/{file}' for file in _DATA_SETS} | {'rnn_nbdev/datasets/DATA.md'}
    data = {'licenses/LICENSE', 'METADATA', 'WHEEL', 'entry_points.txt', 'top_level.txt', 'RECORD'}
    assert names == package | {f'{info}/{name}' for name in data}


def test_the_metadata_says_what_it_should(built):
    wheel = zipfile.ZipFile(built[0])
    name, = (name for name in wheel.namelist() if name.endswith('METADATA'))
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata['License-Expression'] == 'Apache-2.0'
    assert metadata['Requires-Python'] == '>=3.11'
    extras = {key.removesuffix('_requirements') for key in settings if key.endswith('_requirements')}
    assert {*metadata.get_all('Provides-Extra')} == extras
    plain = [line for line in metadata.get_all('Requires-Dist') if 'extra ==' not in line]
    assert len(plain) == len(settings['requirements'].split())
    assert not any('<' in line or '==' in line for line in plain), 'run-time requirements have lower bounds only'
    assert not re.search(r'\]\((?!https?:|#)', metadata.get_payload()), 'a link that leads nowhere on a package index'


def pinned(name: str) -> str:
    "The version of a package that settings.ini pins for developing"
    return re.search(rf'^\s*({name}==\S+)', settings['dev_requirements'], re.MULTILINE)[1]


lowest = re.findall(r'^(\S+)>=(\S+)', settings['requirements'], re.MULTILINE)
companions = {
    'lowest': [f'{name}=={version}' for name, version in lowest],
    'pinned': [pinned('fastcore')],
    'newest': ['fastcore>=2'],
}


@pytest.mark.parametrize('beside', companions)
def test_the_wheel_works_in_a_new_environment(built, tmp_path, beside):
    if beside == 'lowest' and sys.version_info >= (3, 12): pytest.skip('the lowest versions are as old as Python 3.11')
    venv.create(tmp_path/'env', with_pip=True)
    python = tmp_path/'env/bin/python'
    run(python, '-m', 'pip', '--disable-pip-version-check', 'install', '--quiet', built[0], *companions[beside])
    run(python, '-m', 'pip', 'check')
    (tmp_path/'work').mkdir()
    print(run(python, '-I', root/'tests/wheel_smoke.py', cwd=tmp_path/'work'))
