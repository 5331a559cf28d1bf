"""What the docs site does beyond nbdev's own processors. settings.ini names these two under `procs`, and takes nbdev's
`rm_export` out under `skip_procs`, because that one would leave out of the site the very lines that the equations are
about. The Makefile puts this folder on Python's path."""
import importlib
import posixpath
import re
from pathlib import Path

from nbdev.config import get_config
from nbdev.process import Processor
from nbdev.processors import exec_show_docs

link = re.compile(r'\[(?:[^\[\]]|\[[^\[\]]*\]\([^()\s]*\))*\]\([^()\s]*\)')
inner = re.compile(r'\[(`[^`]+`)\]\([^()\s]*\)')


names_first = '''
import importlib
globals().update({{k: v for k, v in vars(importlib.import_module({!r})).items() if not k.startswith('__')}})
'''
begin = exec_show_docs.begin


def begin_with_names(self):
    "nbdev looks up the types of a signature where its cell stands; some are defined further down the page"
    begin(self)
    source = '\n'.join(cell.source or '' for cell in self.nb.cells)
    module = re.search(r'^#\|\s*default_exp\s+(\w+)', source, re.MULTILINE)
    if module and hasattr(self, 'k'): self.k.run_cell(names_first.format(f'{get_config().lib_name}.{module[1]}'))


exec_show_docs.begin = begin_with_names


def heading_alone(cell, level: str):
    "What `show_doc` gave, without signature and docstring: the source that follows says the same in the same words"
    for out in cell.get('outputs', []):
        data = out.get('data', {})
        if 'text/markdown' not in data: continue
        text = ''.join(data['text/markdown'])
        if found := re.match(r'(.*?)^#+ ([^\n]*\n)', text, re.DOTALL | re.MULTILINE):
            data['text/markdown'] = f'{found[1]}{level} {found[2]}'
    return cell


class SourceAfterDoc(Processor):
    "An exported cell stands below the heading that links to it lead to"

    def begin(self):
        "Move each exported cell behind the `show_doc` cells that nbdev put after it; drop `default_exp`"
        cells, out, level = list(self.nb.cells), [], '##'
        while cells:
            cell = cells.pop(0)
            if cell.cell_type == 'markdown' and re.search(r'^## ', cell.source or '', re.MULTILINE): level = '###'
            found = getattr(cell, 'directives_', None) or {}
            if 'default_exp' in found: continue
            if found.keys() & {'export', 'exporti'}:
                while cells and getattr(cells[0], 'has_sd', False): out.append(heading_alone(cells.pop(0), level))
            out.append(cell)
        self.nb.cells[:] = out


def plain(text: str) -> str:
    "Markdown in which no link stands inside the words of another link"
    return link.sub(lambda m: '[' + inner.sub(r'\1', m[0][1:]) if m[0].count('](') > 1 else m[0], text)


def without_place() -> set[str]:
    "Where links to names would lead that have no heading: private names, and those that chapters lend each other"
    lib = get_config().lib_name
    found = importlib.import_module(f'{lib}._modidx').d['syms']
    listed = {module: getattr(importlib.import_module(module), '__all__', []) for module in found}
    return {place for module, names in found.items() for name, (place, _) in names.items()
            if name.removeprefix(f'{module}.').split('.')[0] not in listed[module]}


def local(text: str, base: str, folder: str) -> str:
    "Markdown in which links to the site itself are relative to a page's folder"
    def relative(m: re.Match) -> str:
        page, _, mark = m[1].partition('#')
        return f"]({posixpath.relpath(page, folder or '.')}{'#' + mark if mark else ''})"
    return re.sub(r'\]\(' + re.escape(base) + r'/([^)\s]+)\)', relative, text)


class LocalLinks(Processor):
    "Links to functions lead to the same copy of the site, wherever it stands: nbdev's lead to the published one"

    def begin(self):
        "Where the site is published, and in which of its folders this page stands"
        cfg = get_config()
        self.base = f'{cfg.doc_host}{cfg.doc_baseurl}'.rstrip('/')
        path = Path(self.nb.path_).resolve()
        self.folder = path.parent.relative_to(cfg.nbs_path.resolve()).as_posix()
        self.nowhere = {f'{self.base}/{place}' for place in without_place()}

    def cell(self, cell):
        "Rewrite prose and what `show_doc` gave"
        if cell.cell_type == 'markdown' and cell.source: cell.source = self.words(cell.source)
        for out in cell.get('outputs', []):
            data = out.get('data', {})
            if 'text/markdown' in data: data['text/markdown'] = self.words(''.join(data['text/markdown']))

    def words(self, text: str) -> str:
        "Relative links, none inside another, none to a name without a heading"
        def placed(m: re.Match) -> str: return m[1] if m[2] in self.nowhere else m[0]
        return local(re.sub(r'\[(`[^`]+`)\]\(([^()\s]*)\)', placed, plain(text)), self.base, self.folder)
