"The rules that every chapter keeps, and that the package's parts say the same thing."
import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

root = Path(__file__).resolve().parent.parent
package = root/'rnn_nbdev'
config = ConfigParser(delimiters=['='])
config.read(root/'settings.ini', encoding='utf-8')
settings = config['DEFAULT']

textbook = '''softmax sigmoid initialize_adam update_parameters_with_adam
    rnn_cell_forward rnn_forward rnn_cell_backward rnn_backward
    lstm_cell_forward lstm_forward lstm_cell_backward lstm_backward
    gru_cell_forward gru_forward gru_cell_backward gru_backward'''.split()
modules = sorted(path.stem for path in package.glob('*.py') if not path.stem.startswith('_'))
notebooks = sorted(path for path in (root/'nbs').rglob('*.ipynb')
                   if not any(part[0] in '._' for part in path.relative_to(root).parts))
chapters = [path for path in notebooks if path.parent.name == 'nbs' and re.match(r'\d\d_', path.name)]
by_name = pytest.mark.parametrize('path', notebooks, ids=lambda path: path.stem)
by_chapter = pytest.mark.parametrize('path', chapters, ids=lambda path: path.stem)


# ------------------------------------------------------------------------------------------------ reading notebooks

def cells(path: Path, kind: str | None = None) -> list[dict]:
    "The cells of a notebook, or those of one kind"
    found = json.loads(path.read_text(encoding='utf-8'))['cells']
    return [cell for cell in found if kind in (None, cell['cell_type'])]


def text(cell: dict) -> str:
    "What was typed into a cell"
    return ''.join(cell['source'])


def code(cell: dict) -> str:
    "The Python of a code cell, without shell lines and magics"
    if text(cell).startswith('%%'): return ''
    return '\n'.join(line for line in text(cell).split('\n') if not re.match(r'\s*[%!]', line))


def module_of(path: Path) -> str | None:
    "The module that a chapter exports"
    found = re.search(r'^#\|\s*default_exp\s+(\S+)', '\n'.join(map(text, cells(path, 'code'))), re.MULTILINE)
    return found and found[1]


places = {module_of(path): path.name for path in chapters}     # file names sort in the order of dependency


def public_homes() -> dict[str, str]:
    "The module that each name of the door comes from"
    import rnn_nbdev
    return rnn_nbdev._HOME


def imported_modules(source: str) -> set[str]:
    "The modules of this package that a piece of Python imports, at any depth, in any form"
    found = set()
    homes = public_homes()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import): names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = 'rnn_nbdev' if node.level else ''
            base = '.'.join(part for part in (start, node.module) if part)
            names = [f'{base}.{alias.name}' for alias in node.names]
        else: continue
        for name in names:
            top, *rest = name.split('.')
            if top != 'rnn_nbdev' or not rest or rest[0].startswith('_'): continue
            found.add(homes.get(rest[0], rest[0]) if rest[0] not in modules else rest[0])
    return found & set(modules)


# ----------------------------------------------------------------------------------------------------- the chapters

def test_chapters_have_modules_of_their_own():
    assert None not in places, 'a chapter has no default_exp'
    assert len(places) == len(chapters), 'two chapters export one module'
    assert {*places} - {'__init__'} == {*modules}, 'a module has no chapter, or a chapter was not exported'


@by_chapter
def test_a_chapter_imports_only_from_chapters_before_it(path):
    for cell in cells(path, 'code'):
        for module in imported_modules(code(cell)):
            assert places[module] < path.name, f'{path.name} imports {places[module]}'


@by_chapter
def test_an_exported_module_imports_only_from_chapters_before_it(path):
    module = package/f'{module_of(path)}.py'
    for other in imported_modules(module.read_text(encoding='utf-8')):
        assert places[other] < path.name, f'{module.name} imports {places[other]}'


def test_imports_are_found_in_every_form():
    "The two tests above see nothing if this fails"
    for source in ('from rnn_nbdev.numerics import sigmoid', 'import rnn_nbdev.numerics as n',
                   'from .numerics import sigmoid', 'from rnn_nbdev import numerics', 'from . import numerics',
                   'from rnn_nbdev import sigmoid', 'def f():\n    from rnn_nbdev.numerics import *'):
        assert imported_modules(source) == {'numerics'}, source


@by_name
def test_the_first_cell_holds_title_and_description_alone(path):
    first = cells(path)[0]
    assert first['cell_type'] == 'markdown'
    assert re.fullmatch(r'# \S[^\n]*\n\n> \S[^\n]*', text(first)), text(first)


@by_chapter
def test_a_chapter_begins_with_its_module(path):
    assert text(cells(path)[1]).startswith('#| default_exp '), 'the second cell says which module the chapter exports'


@by_name
def test_running_a_page_leaves_the_package_alone(path):
    "`make export` exports; a cell that did would write an experiment into the package"
    for cell in cells(path, 'code'): assert not re.search(r'nbdev_export|nb_export', text(cell)), text(cell)


def folded(path: Path) -> list[dict]:
    "The cells of a page that the site folds away under the word `Solution`"
    return [cell for cell in cells(path, 'code') if '#| code-summary: Solution' in text(cell)]


pages = [path for path in notebooks if path.stem not in ('index', 'contributing')]     # two pages that teach nothing


@pytest.mark.parametrize('path', pages, ids=lambda path: path.stem)
def test_a_page_begins_with_what_its_reader_will_be_able_to_do(path):
    opening = text(cells(path, 'markdown')[1]).split('\n## ')[0]
    assert re.search(r'[Aa]fter (this (chapter|page)|it) you\b', opening), opening


@pytest.mark.parametrize('path', pages, ids=lambda path: path.stem)
def test_a_page_ends_with_exercises_whose_solutions_are_folded_and_run(path):
    whole = cells(path)
    [start] = [i for i, cell in enumerate(whole) if re.search(r'^## Exercises$', text(cell), re.MULTILINE)]
    rest = whole[start:]
    prose = '\n'.join(text(cell) for cell in rest if cell['cell_type'] == 'markdown').split('## Exercises\n')[-1]
    assert not re.search(r'^## ', prose, re.MULTILINE), 'a section follows the exercises'
    solutions = folded(path)
    questions = re.findall(r'^\*\*\d+\.', prose, re.MULTILINE)
    assert len(solutions) == len(questions) >= 1 and all(cell in rest for cell in solutions)
    for cell in solutions:
        assert text(cell).startswith('#| code-summary: Solution\n#| code-fold: true\n'), 'the first line is the caption'
        assert cell['metadata'] == {'jupyter': {'outputs_hidden': True, 'source_hidden': True}}
        assert not re.search(r'^#\|\s*(eval: false|slow)', text(cell), re.MULTILINE), 'the tests must run it'
        assert 'assert' in text(cell).split('\n', 2)[2], 'a solution is checked'


summed_up = ['00_numerics', '01_gradcheck', '02_losses', '03_init', '10_rnn', '11_lstm', '12_gru']


@pytest.mark.parametrize('name', summed_up)
def test_a_chapter_of_the_equations_closes_with_what_to_remember(name):
    "The last section before the exercises: two to four equations, displayed, and at most three sentences"
    whole = cells(root/f'nbs/{name}.ipynb')
    [start] = [i for i, cell in enumerate(whole) if text(cell).startswith('## Exercises')]
    title, _, body = text(whole[start - 1]).partition('\n\n')
    assert title == '## What to remember'
    assert 2 <= len(re.findall(r'\$\$.+?\$\$', body, re.DOTALL)) <= 4
    prose = re.sub(r'\$\$.+?\$\$', '', body, flags=re.DOTALL).strip()
    assert 1 <= len(re.findall(r'[.!?](?=\s|$)', prose)) <= 3, prose


@by_name
def test_prose_installs_from_the_clone(path):
    "No index holds the package before its first release: `pip install rnn_nbdev` in a page would find nothing"
    for cell in cells(path, 'markdown'): assert not re.search(r"pip install '?rnn_nbdev", text(cell)), text(cell)


@by_name
def test_no_cell_mixes_imports_with_other_code(path):
    "nbdev runs cells with imports when it builds the docs; whatever else stands there would run too"
    for cell in cells(path, 'code'):
        body = ast.parse(code(cell)).body
        imports = [isinstance(node, ast.Import | ast.ImportFrom) for node in body]
        assert all(imports) or not any(imports), text(cell)


@by_chapter
def test_exported_lines_fit_the_page(path):
    for cell in cells(path, 'code'):
        if not re.match(r'#\|\s*export', text(cell)): continue
        assert [line for line in text(cell).split('\n') if len(line) > 120] == [], 'longer than 120 columns'


@by_name
def test_page_code_fits_the_page(path):
    for cell in cells(path, 'code'):
        if re.match(r'#\|\s*export', text(cell)): continue
        lines = [line for line in text(cell).split('\n') if not line.startswith('#|')]
        assert [line for line in lines if len(line) > 120] == [], 'longer than 120 columns'


# ------------------------------------------------------------------------------------------------------ the outputs

machine = re.compile(r'/(?:home|root|Users|tmp|work|opt|var|private|mnt)/\w|'
                     r'[A-Z]:\\\\?Users|site-packages|ipykernel_\d')


def outputs(path: Path) -> list[dict]:
    "Every stored output of a notebook"
    return [out for cell in cells(path, 'code') for out in cell['outputs']]


def words(out: dict) -> str:
    "The text of an output; pictures that are text, such as SVG, too"
    data = {'text/plain': out['text']} if 'text' in out else out.get('data', {})
    return '\n'.join(''.join(value) for kind, value in data.items() if kind.startswith('text/') or 'svg' in kind)


@by_name
def test_stored_outputs_name_no_machine(path):
    for out in outputs(path):
        found = machine.search(words(out))
        assert not found, f'{found[0]} in: {words(out)[max(0, found.start() - 60):found.end() + 60]}'


@by_name
def test_stored_outputs_hold_no_error_and_no_warning(path):
    for out in outputs(path):
        assert out['output_type'] != 'error', out.get('evalue')
        assert 'Warning:' not in words(out), words(out)[:300]


def size(path: Path) -> int:
    "Bytes of stored outputs, as they stand in the file"
    return sum(len(json.dumps(out, ensure_ascii=False).encode()) for out in outputs(path))


@by_name
def test_stored_outputs_of_a_chapter_are_small(path):
    assert size(path) <= 150_000


def test_stored_outputs_of_the_book_are_small():
    assert sum(map(size, notebooks)) <= 2_000_000


@by_name
def test_notebooks_run_on_any_kernel_and_keep_no_metadata(path):
    assert json.loads(path.read_text(encoding='utf-8'))['metadata'] == {
        'kernelspec': {'display_name': 'python3', 'language': 'python', 'name': 'python3'}}


# ------------------------------------------------------------------------------------------------------- the package

def test_versions_agree():
    import rnn_nbdev
    changes = (root/'CHANGELOG.md').read_text(encoding='utf-8')
    assert rnn_nbdev.__version__ == settings['version'] == re.search(r'^## (\d\S*)', changes, re.MULTILINE)[1]


@pytest.mark.parametrize('name', textbook)
def test_textbook_names_import_from_the_package_itself(name):
    import rnn_nbdev
    assert getattr(rnn_nbdev, name).__module__ in {f'rnn_nbdev.{module}' for module in modules}


def test_the_door():
    "Each name of the table is what its chapter means by it; nothing else is offered"
    import rnn_nbdev
    listed = [line.split()[0] for line in rnn_nbdev._DOOR.splitlines() if line.startswith(' ')]
    assert len(listed) == len({*listed}) and rnn_nbdev.__all__ == listed
    assert {name for name in dir(rnn_nbdev) if not name.startswith('__')} == {*listed}
    for name, module in rnn_nbdev._HOME.items():
        loaded = importlib.import_module(f'rnn_nbdev.{module}')
        assert getattr(rnn_nbdev, name) is getattr(loaded, name) and name in loaded.__all__, name
        assert getattr(loaded, name).__module__ == loaded.__name__, f'{name} is defined elsewhere'


def test_every_exported_name_exists():
    for module in modules:
        loaded = importlib.import_module(f'rnn_nbdev.{module}')
        assert all(hasattr(loaded, name) for name in loaded.__all__), module


def test_the_stub_and_the_index_say_what_the_door_says():
    sys.path.insert(0, str(root/'tools'))
    import door
    assert (package/'__init__.pyi').read_text(encoding='utf-8') == door.stub(), 'make export writes it'
    assert any(text(cell) == door.index() for cell in cells(door.page, 'markdown')), 'the index by subject'


def test_type_checkers_know_the_names_and_their_types(tmp_path):
    script = tmp_path/'script.py'
    script.write_text('import numpy as np\n'
                      'from rnn_nbdev import SequenceClassifier, lstm_forward, lstm_forwrad\n'
                      'SequenceClassifier(units=4).fit([np.zeros((3, 2))], [1])\n'
                      "lstm_forward(np.zeros((3, 1, 5)), 'a0', {})\n", encoding='utf-8')
    command = [sys.executable, '-m', 'mypy', '--strict', '--no-error-summary', '--config-file=',
               '--cache-dir', tmp_path, '--follow-imports=silent', '--ignore-missing-imports', script]
    said = subprocess.run(command, capture_output=True, text=True, cwd=root).stdout
    lines = said.splitlines()
    assert len(lines) == 2, said
    assert 'has no attribute "lstm_forwrad"' in lines[0] and 'Argument 2 to "lstm_forward"' in lines[1], said


def exported(path: Path) -> list[str]:
    "What each exported cell of a chapter says, without directives and imports"
    found = [text(cell) for cell in cells(path, 'code') if re.match(r'#\|\s*export', text(cell))]
    return [cell for cell in found if not re.match(r'#\| export\n(from|import) ', cell)]


def test_the_house_stays_small():
    "What an idea costs its reader: bounds to keep, with some room; a new name or check asks first whom it serves"
    sources = {path.stem: path.read_text(encoding='utf-8') for path in package.glob('*.py') if path.stem != '_modidx'}
    lines = sum(source.count('\n') for source in sources.values())
    names = [name for module in modules for name in importlib.import_module(f'rnn_nbdev.{module}').__all__]
    checks = re.findall(r'^\s*def (_?check_\w+)', '\n'.join(sources.values()), re.MULTILINE)
    sizes = [sum(bool(line.strip()) for line in cell.split('\n')[1:]) for path in chapters for cell in exported(path)]
    # 11,500 were the book's own; what came since is the estimators of steps, the forecaster and the commands' files
    assert lines <= 12_400 and len(names) <= 320 and len(checks) <= 12, (lines, len(names), checks)
    assert sorted(sizes)[len(sizes) // 2] <= 8, 'the median exported cell'


@pytest.mark.parametrize('module, first', [
    ('numerics', 'sigmoid'), ('rnn', 'rnn_cell_forward'), ('lstm', 'lstm_cell_forward'), ('gru', 'gru_cell_forward')])
def test_equations_come_first(module, first):
    "At most five exported lines before the function of the first equation, imports apart; at most two before its work"
    path = next(path for path in chapters if module_of(path) == module)
    before, _, rest = '\n'.join(exported(path)).partition(f'\ndef {first}(')
    before = re.sub(r'\n@fits\([^@]*$', '', before)                   # its own declaration
    lines = [line for line in before.split('\n') if line.strip() and not line.startswith('#|')]
    assert len(lines) <= 5, before
    function = ast.parse(f'def {first}({rest}'.split('\n#|')[0]).body[0]
    body = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    equation = next(i for i, node in enumerate(body) if re.search(r'concatenate|@|exp\(|tanh\(', ast.unparse(node)))
    assert equation <= 2, ast.unparse(body[0])


def loaded_by(statement: str) -> set[str]:
    "The top-level packages from outside the standard library that a statement loads in a new process"
    show = f'import sys; old = {{*sys.modules}}; {statement}; print(*{{*sys.modules}} - old)'
    out = subprocess.run([sys.executable, '-I', '-c', show], check=True, capture_output=True, text=True).stdout
    return {name.split('.')[0] for name in out.split()} - sys.stdlib_module_names


@pytest.mark.parametrize('statement', ['import rnn_nbdev', *(f'from rnn_nbdev import {name}' for name in textbook)])
def test_importing_loads_no_more_than_numpy_and_fastcore(statement):
    assert loaded_by(statement) <= {'rnn_nbdev', 'numpy', 'fastcore'}


def test_adam_stands_on_the_numerics_alone():
    show = ("import sys; from rnn_nbdev import initialize_adam; "
            "print(*[name for name in sys.modules if name.startswith('rnn_nbdev.')])")
    out = subprocess.run([sys.executable, '-c', show], check=True, capture_output=True, text=True, cwd=root).stdout
    assert {*out.split()} <= {'rnn_nbdev.checks', 'rnn_nbdev.numerics', 'rnn_nbdev.optim'}


def test_each_breakage_still_applies():
    "`make mutations` makes them; here: each old text stands exactly once in its module, and the new one differs"
    from mutations import MUTATIONS
    sources = {module: (package/f'{module}.py').read_text(encoding='utf-8') for module, *_ in MUTATIONS}
    astray = [(module, what) for module, old, new, what in MUTATIONS if sources[module].count(old) != 1 or old == new]
    assert astray == []


# ---------------------------------------------------------------------------------------------------- what names say

def parts_of(name: str) -> list[tuple[str, object]]:
    "A function or class of the door and its public methods"
    import rnn_nbdev
    thing = getattr(rnn_nbdev, name)
    methods = [(f'{name}.{key}', part) for key, part in vars(thing).items()
               if inspect.isfunction(part) and not key.startswith('_')] if isinstance(thing, type) else []
    return [(name, thing), *methods]


def door() -> list[str]:
    import rnn_nbdev
    return list(rnn_nbdev._HOME)


@pytest.mark.parametrize('name', door())
def test_every_name_of_the_door_says_what_it_does(name):
    "A docstring for it and each of its public methods, and a type for each parameter; the shapes come from `fits`"
    for called, part in parts_of(name):
        said = inspect.getdoc(part)
        assert said and not said.startswith(f'{name}('), f'{called} has no docstring'
    function = getattr(__import__('rnn_nbdev'), name)
    if isinstance(function, type): return                       # its fields and options: the page, and `help`
    untyped = [p.name for p in inspect.signature(function).parameters.values() if p.annotation is p.empty]
    assert untyped == []


@by_chapter
def test_the_workshop_is_one_line_each(path):
    "A private function of a chapter has a docstring of one line, and no comment on each parameter"
    for cell in exported(path):
        for node in ast.parse(code({'source': cell})).body:
            private = re.match(r'_(?!_)', getattr(node, 'name', ''))
            if not isinstance(node, ast.FunctionDef) or not private: continue
            said = ast.get_docstring(node)
            assert said and '\n' not in said, node.name
            assert node.body[0].lineno - node.lineno <= 4, f'{node.name}: a signature takes a line, two if it must'
