"Packaging from settings.ini, the one place where the project's data stands."
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
config = ConfigParser(delimiters=['='])
config.read(here / 'settings.ini', encoding='utf-8')
cfg = config['DEFAULT']
name, suffix = cfg['lib_name'], '_requirements'
statuses = ['1 - Planning', '2 - Pre-Alpha', '3 - Alpha', '4 - Beta', '5 - Production/Stable', '6 - Mature',
            '7 - Inactive']


def listed(key: str) -> list[str]:
    "The lines of a list in settings.ini"
    return [line.strip() for line in cfg.get(key, '').splitlines() if line.strip()]


def readme() -> str:
    "README.md as an index page can show it: what it points to in the repository goes, the words of a link stay"
    text = (here / 'README.md').read_text(encoding='utf-8')
    text = re.sub(r'!\[[^\]]*\]\((?!https?:)[^)]*\)\n*', '', text)
    return re.sub(r'(?<!!)\[([^\]]*)\]\((?!https?:|#)[^)]*\)', r'\1', text)


setup(
    name=name,
    version=cfg['version'],
    description=cfg['description'],
    long_description=readme(),
    long_description_content_type='text/markdown',
    keywords=[word.strip() for word in cfg['keywords'].split(',')],
    author=cfg['author'],
    license_expression='Apache-2.0',
    license_files=['LICENSE'],
    classifiers=[
        f"Development Status :: {statuses[cfg.getint('status')]}",
        'Intended Audience :: Developers',
        'Intended Audience :: Education',
        'Intended Audience :: Science/Research',
        'Natural Language :: English',
        'Operating System :: OS Independent',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
        'Programming Language :: Python :: 3 :: Only',
        *(f'Programming Language :: Python :: {v}' for v in ('3.11', '3.12', '3.13', '3.14')),
    ],
    packages=[name],
    package_data={name: ['py.typed', '*.pyi', 'datasets/*']},
    include_package_data=False,
    install_requires=listed('requirements'),
    extras_require={key.removesuffix(suffix): listed(key) for key in cfg if key.endswith(suffix)},
    python_requires='>=' + cfg['min_python'],
    entry_points={'console_scripts': listed('console_scripts'), 'nbdev': [f'{name}={name}._modidx:d']},
    zip_safe=False,
)
