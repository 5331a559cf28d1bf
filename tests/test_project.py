"The rules that every chapter keeps, and that the package's parts say the same thing."
import ast
import importlib
import inspect
import io
import json
import re
import subprocess
import sys
import tokenize
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


def number(path: Path) -> int:
    "The number of a chapter"
    return int(path.name[:2])


numbers = {module_of(path): number(path) for path in chapters}


def public_homes() -> dict[str, str]:
    "The module that each public name of the package comes from"
    from rnn_nbdev._modidx import d
    return {full.split('.')[2]: module.split('.')[1] for module, symbols in d['syms'].items() for full in symbols
            if full.count('.') == 2}


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

def test_chapters_have_numbers_and_modules_of_their_own():
    assert len({number(path) for path in chapters}) == len(chapters)
    assert None not in numbers, 'a chapter has no default_exp'
    assert len(numbers) == len(chapters), 'two chapters export one module'
    assert {*numbers} - {'__init__'} == {*modules}, 'a module has no chapter, or a chapter was not exported'


@by_chapter
def test_a_chapter_imports_only_from_lower_numbers(path):
    for cell in cells(path, 'code'):
        for module in imported_modules(code(cell)):
            assert numbers[module] < number(path), f'{path.name} imports {module}, chapter {numbers[module]}'


@by_chapter
def test_an_exported_module_imports_only_from_lower_numbers(path):
    module = package/f'{module_of(path)}.py'
    for other in imported_modules(module.read_text(encoding='utf-8')):
        assert numbers[other] < number(path), f'{module.name} imports {other}, chapter {numbers[other]}'


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
def test_a_chapter_begins_with_its_module_and_ends_with_the_export(path):
    assert text(cells(path)[1]).startswith('#| default_exp '), 'the second cell says which module the chapter exports'
    assert text(cells(path)[-1]) == '#| hide\nimport nbdev; nbdev.nbdev_export()'


def folded(path: Path) -> list[dict]:
    "The cells of a page that the site folds away under the words `A solution`"
    return [cell for cell in cells(path, 'code') if '#| code-summary: A solution' in text(cell)]


pages = [path for path in notebooks if path.stem not in ('index', 'contributing')]     # two pages that teach nothing


@pytest.mark.parametrize('path', pages, ids=lambda path: path.stem)
def test_a_page_begins_with_what_its_reader_will_be_able_to_do(path):
    opening = text(cells(path, 'markdown')[1]).split('\n## ')[0]
    assert re.search(r'[Aa]fter (this (chapter|page)|it) you\b', opening), opening


@pytest.mark.parametrize('path', pages, ids=lambda path: path.stem)
def test_a_page_ends_with_exercises_whose_solutions_are_folded_and_run(path):
    whole = cells(path)
    [start] = [i for i, cell in enumerate(whole) if re.search(r'^## Exercises$', text(cell), re.MULTILINE)]
    rest = [cell for cell in whole[start:] if 'nbdev_export()' not in text(cell)]
    prose = '\n'.join(text(cell) for cell in rest if cell['cell_type'] == 'markdown').split('## Exercises\n')[-1]
    assert not re.search(r'^## ', prose, re.MULTILINE), 'a section follows the exercises'
    solutions = folded(path)
    questions = re.findall(r'^\*\*\d+\.', prose, re.MULTILINE)
    assert len(solutions) == len(questions) >= 1 and all(cell in rest for cell in solutions)
    for cell in solutions:
        assert '#| code-fold: true' in text(cell) and cell['metadata'] == {'jupyter': {'source_hidden': True}}
        assert not re.search(r'^#\|\s*(eval: false|slow)', text(cell), re.MULTILINE), 'the tests must run it'
        assert 'assert' in text(cell).split('\n', 2)[2], 'a solution is checked'


@by_name
def test_prose_installs_from_the_clone(path):
    "No index holds the package before its first release: `pip install rnn_nbdev` in a page would find nothing"
    for cell in cells(path, 'markdown'): assert not re.search(r"pip install '?rnn_nbdev", text(cell)), text(cell)


@by_name
def test_no_cell_mixes_imports_with_other_code(path):
    "nbdev runs cells with imports when it builds the docs; whatever else stands there would run too"
    for cell in cells(path, 'code'):
        if 'nbdev_export()' in text(cell): continue
        body = ast.parse(code(cell)).body
        imports = [isinstance(node, ast.Import | ast.ImportFrom) for node in body]
        assert all(imports) or not any(imports), text(cell)


@by_chapter
def test_exported_lines_fit_the_page(path):
    for cell in cells(path, 'code'):
        if not re.match(r'#\|\s*export', text(cell)): continue
        assert [line for line in text(cell).split('\n') if len(line) > 120] == [], 'longer than 120 columns'


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


def test_every_public_name_is_importable_and_listed():
    import rnn_nbdev
    for module in modules:
        loaded = importlib.import_module(f'rnn_nbdev.{module}')
        for name in loaded.__all__:
            assert hasattr(loaded, name)
            if module == 'cli' or not inspect.isroutine(getattr(loaded, name)): continue
            assert getattr(rnn_nbdev, name) is getattr(loaded, name), f'{name} means something else in the package'
            assert name in dir(rnn_nbdev)


def test_type_checkers_see_every_chapter():
    stub = (package/'__init__.pyi').read_text(encoding='utf-8')
    assert re.findall(r'^from \.(\w+) import \*$', stub, re.MULTILINE) == [name for name in modules if name != 'cli']


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


def test_no_two_chapters_export_one_name():
    "The package itself could offer only one of them"
    homes: dict[str, str] = {}
    for module in modules:
        tree = ast.parse((package/f'{module}.py').read_text(encoding='utf-8'))
        for node in tree.body:
            name = getattr(node, 'name', '_')     # a function or a class; constants stay with their chapter
            if name.startswith('_'): continue
            assert homes.setdefault(name, module) == module, f'{name} is in {homes[name]} and in {module}'


def loaded_by(statement: str) -> set[str]:
    "The top-level packages from outside the standard library that a statement loads in a new process"
    show = f'import sys; old = {{*sys.modules}}; {statement}; print(*{{*sys.modules}} - old)'
    out = subprocess.run([sys.executable, '-I', '-c', show], check=True, capture_output=True, text=True).stdout
    return {name.split('.')[0] for name in out.split()} - sys.stdlib_module_names


@pytest.mark.parametrize('statement', ['import rnn_nbdev', *(f'from rnn_nbdev import {name}' for name in textbook)])
def test_importing_loads_no_more_than_numpy_and_fastcore(statement):
    assert loaded_by(statement) <= {'rnn_nbdev', 'numpy', 'fastcore'}


# ------------------------------------------------------------------------------------------------------ the docments

def comments(source: str) -> set[int]:
    "The lines of a source that carry a comment"
    return {token.start[0] for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT}


def names_of(nodes: list[ast.expr]) -> set[str]:
    "The plain names among expressions"
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def described_in(tree: ast.Module) -> set[str]:
    "The methods that the Protocols of a module describe"
    protocols = [node for node in tree.body if isinstance(node, ast.ClassDef) and 'Protocol' in names_of(node.bases)]
    return {part.name for node in protocols for part in node.body if isinstance(part, ast.FunctionDef)}


def public_functions(tree: ast.Module) -> list[ast.FunctionDef]:
    "The public functions of a module and methods of its classes, but for those that a Protocol describes"
    nodes = [node for node in tree.body if not getattr(node, 'name', '_').startswith('_')]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    protocols = [node for node in classes if 'Protocol' in names_of(node.bases)]
    layers = ast.parse((package/'layers.py').read_text(encoding='utf-8'))    # what every layer offers is said there
    described = described_in(tree) | described_in(layers)
    methods = [part for node in classes for part in node.body if isinstance(part, ast.FunctionDef)
               and (node in protocols or part.name not in described)]
    return [node for node in nodes + methods if isinstance(node, ast.FunctionDef)
            and (not node.name.startswith('_') or node.name == '__init__')]


def unsaid(node: ast.FunctionDef, lines: set[int]) -> list[str]:
    "The parameters without a comment on a line of their own, and `return` and `docstring` where they are missing"
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    given = [arg for arg in every if arg and arg.arg not in ('self', 'cls')]
    ends = [arg.end_lineno for arg in given]
    missing = [arg.arg for arg in given if arg.end_lineno not in lines or ends.count(arg.end_lineno) > 1]
    nothing = node.returns is None or (isinstance(node.returns, ast.Constant) and node.returns.value is None)
    attribute = {'property', 'cached_property'} & names_of(node.decorator_list)
    if not (nothing or attribute or node.returns.end_lineno in lines): missing.append('return')
    if not ast.get_docstring(node) and node.name != '__init__' and not attribute: missing.append('docstring')
    return missing


def undocumented(source: str) -> list[str]:
    "What public functions leave unsaid: `function: parameter`, `function: return`, `function: docstring`"
    lines = comments(source)
    return [f'{node.name}: {name}' for node in public_functions(ast.parse(source)) for name in unsaid(node, lines)]


@pytest.mark.parametrize('module', modules)
def test_every_parameter_and_return_value_has_its_comment(module):
    assert undocumented((package/f'{module}.py').read_text(encoding='utf-8')) == []


def test_a_missing_comment_is_found():
    "The test above sees nothing if this fails"
    source = '''
def f(a: int,  # one
      b: int, c: int,  # two
      ) -> int:
    return a
def _g(x): pass
class P(Protocol):
    def h(self, x: int) -> int: "Said once"
class C:
    def h(self, x: int) -> int: return x
    def i(self, x: int) -> None: "Does"
'''
    assert undocumented(source) == ['f: b', 'f: c', 'f: return', 'f: docstring', 'h: x', 'h: return', 'i: x']
