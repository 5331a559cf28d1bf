"""Render the docs site without Quarto, from the pages that nbdev_docs would hand to it.

smalldocs reads the same configuration and lays pages out as Quarto does. What it does not know is done here, before it
starts, by pandoc, which is what Quarto renders with too: equations become MathML, citations and the list of works
cited are set from references.bib; and each page gets the name that nbdev chose for it (`output-file`).

`finish` then adds what both renderers lack: each page as Markdown beside its HTML, llms.txt, and an index for the
search, in which the names of the package come first and an equation stands once.
"""
import importlib
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pypandoc
import yaml

process = '''
from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
from nbdev.serve import proc_nbs
if __name__ == '__main__':
    refresh_quarto_yml()
    nbdev_sidebar.__wrapped__()
    proc_nbs(n_workers=2)
'''
code = r'^(?P<fence>```+|~~~+).*?^(?P=fence)`*[ \t]*$|(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`)'
math = r'\$\$(?P<display>.+?)\$\$|(?<![\\$])\$(?P<inline>(?!\s)(?:\\.|[^$\\])+?)(?<!\s)\$(?![\d$])'
cite = r'\[[^\[\]\n]*(?<![\w`])@[\w][\w:.-]*[^\[\]\n]*\](?!\()|(?<![\w`./\[@])@(?P<bare>[a-z][\w]*\d{4}\w*)'
token = re.compile(f'{code}|{math}|{cite}', re.MULTILINE | re.DOTALL)


class Fault(Exception):
    "Something that keeps the site from being built"


# ------------------------------------------------------------------------------------------------ what nbdev makes

def processed(folder: Path) -> Path:
    "Let nbdev process the notebooks of a copy of the project; where the pages are that it makes"
    (folder/'process_notebooks.py').write_text(process, encoding='utf-8')
    env = {**os.environ, 'PYTHONPATH': f'{folder}{os.pathsep}{folder/"tools"}', 'MPLBACKEND': 'Agg'}
    done = subprocess.run([sys.executable, 'process_notebooks.py'], cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode: raise Fault(f'{reason(done.stderr)}\nthe notebooks could not be processed')
    if said := [line for line in done.stderr.splitlines() if 'Warning' in line]:
        raise Fault('\n'.join(said) + '\nnbdev warned')
    return folder/'_proc'


def reason(traceback: str) -> str:
    "Of what several processes say about one error, its type and message, and the cell that nbdev could not run"
    lines = traceback.strip().split('\n')
    errors = [i for i, line in enumerate(lines) if re.match(r'(\w+\.)*\w*(Error|Exception)\b', line)]
    return '\n'.join([lines[errors[0]], *lines[errors[-1]:]] if errors else lines[-20:])


def notebooks(folder: Path) -> list[Path]:
    "The notebooks below a folder that are pages, relative to it"
    found = sorted(path.relative_to(folder) for path in folder.rglob('*.ipynb'))
    return [path for path in found if not any(part[0] in '._' for part in path.parts)]


def cells(path: Path) -> list[dict]:
    "The cells of a notebook, each with its source in one piece"
    found = json.loads(path.read_text(encoding='utf-8'))['cells']
    for cell in found: cell['source'] = joined(cell['source'])
    return found


def joined(text: str | list[str]) -> str:
    "A notebook's text, which may stand there as a list of lines"
    return text if isinstance(text, str) else ''.join(text)


def front(path: Path) -> dict:
    "Title, description and name of a page, which nbdev puts into its first cell"
    first = cells(path)[0]['source']
    return yaml.safe_load(first.strip().strip('-')) if first.startswith('---') else {}


def page_name(notebook: Path, proc: Path) -> str:
    "Where the page of a notebook stands on the site"
    name = front(proc/notebook).get('output-file')
    return (notebook.parent/name if name else notebook.with_suffix('.html')).as_posix()


# ------------------------------------------------------------------------------------------------- what pandoc does

def pandoc(text: str, *options: str) -> tuple[str, str]:
    "HTML of a Markdown text, and what pandoc has to say about it"
    command = [pypandoc.get_pandoc_path(), '--from=markdown', '--to=html', '--mathml', '--wrap=none', *options]
    done = subprocess.run(command, input=text, capture_output=True, text=True, encoding='utf-8', check=False)
    return done.stdout, done.stderr


def pieces(text: str) -> list[str]:
    "The equations and citations of a Markdown text"
    return [m[0] for m in token.finditer(text) if is_piece(m)]


def is_piece(m: re.Match) -> bool:
    "Whether a token is an equation or a citation, and not code"
    return m['fence'] is None and m['tick'] is None


def quiet(markup: str) -> str:
    "HTML in which no character between the tags means anything to Markdown"
    def hide(m: re.Match) -> str: return re.sub(r'[\\`*_{}\[\]()#+.!|~$^<>@=:"\'-]', lambda c: f'&#{ord(c[0])};', m[0])
    parts = re.split(r'(<[^>]*>|&[#\w]+;)', markup.replace('\n', ' '))
    return ''.join(part if part.startswith(('<', '&')) else re.sub(r'.+', hide, part) for part in parts)


def set_pieces(found: list[str], bibliography: Path) -> tuple[dict[str, str], str, str]:
    "What each equation and citation becomes, the list of works cited, and pandoc's complaints"
    unique = list(dict.fromkeys(found))
    if not unique: return {}, '', ''
    # A div around each keeps them apart, whatever pandoc makes of it.
    text = '\n\n'.join(f'::: {{#piece-{i}}}\n{piece}\n:::' for i, piece in enumerate(unique))
    cited = any('@' in piece and not piece.startswith('$') for piece in unique)
    options = ['--citeproc', f'--bibliography={bibliography}', '--metadata=link-citations:true'] if cited else []
    made, said = pandoc(text, *options)
    body, _, works = made.partition('<div id="refs"')
    parts = re.findall(r'<div id="piece-\d+">\s*<p>(.*?)</p>\s*</div>', body, re.DOTALL)
    if len(parts) != len(unique): return {}, '', said or 'equations or citations that pandoc cannot set apart'
    return {piece: quiet(part) for piece, part in zip(unique, parts)}, '<div id="refs"' + works if works else '', said


def with_pieces(text: str, made: dict[str, str]) -> str:
    "A Markdown text with its equations and citations as HTML"
    return token.sub(lambda m: made.get(m[0], m[0]) if is_piece(m) else m[0], text)


def complaints(path: Path, bibliography: Path) -> str:
    "What pandoc has to say about the prose of a page: equations, divs that are not closed, works that are not listed"
    prose = '\n\n'.join(cell['source'] for cell in cells(path) if cell['cell_type'] == 'markdown')
    options = ['--citeproc', f'--bibliography={bibliography}'] if bibliography.exists() else []
    return pandoc(prose, *options)[1].strip()


# -------------------------------------------------------------------------------------------------- what smalldocs does

def to_pages(text: str, folder: str, names: dict[str, str]) -> str:
    "Markdown whose links to notebooks lead to what the notebooks are called on the site"
    def rename(m: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(folder, m[1]))
        if target not in names: return m[0]
        return f"]({posixpath.relpath(names[target].removesuffix('.html') + '.ipynb', folder or '.')}{m[2] or ''})"
    return re.sub(r'\]\(([^)\s#]+\.ipynb)(#[^)\s]*)?\)', rename, text)


def prepared(proc: Path, source: Path) -> dict[str, str]:
    "Write the pages as smalldocs is to read them; each notebook and its page"
    names = {book.as_posix(): page_name(book, proc) for book in notebooks(proc)}
    if len({*names.values()}) < len(names): raise Fault('two notebooks would become one page')
    bibliography = proc/'references.bib'
    for book, name in names.items():
        data = json.loads((proc/book).read_text(encoding='utf-8'))
        prose = [cell for cell in data['cells'] if cell['cell_type'] == 'markdown']
        said = [out['data'] for cell in data['cells'] for out in cell.get('outputs', [])
                if 'text/markdown' in out.get('data', {})]
        found = [piece for cell in prose for piece in pieces(joined(cell['source']))]
        found += [piece for shown in said for piece in pieces(joined(shown['text/markdown']))]
        made, works, _ = set_pieces(found, bibliography)
        folder = posixpath.dirname(book)
        for cell in prose: cell['source'] = to_pages(with_pieces(joined(cell['source']), made), folder, names)
        for shown in said: shown['text/markdown'] = with_pieces(joined(shown['text/markdown']), made)
        if works:
            data['cells'].append({'cell_type': 'markdown', 'metadata': {}, 'source':
                                  f'## Works cited {{.unnumbered}}\n\n```{{=html}}\n{works}\n```'})
        first = data['cells'][0]
        first['source'] = re.sub(r'^output-file:.*\n', '', joined(first['source']), flags=re.MULTILINE)
        target = source/name.removesuffix('.html')
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(f'{target}.ipynb').write_text(json.dumps(data), encoding='utf-8')
    write_config(proc, source, names)
    for path in proc.rglob('*'):
        if path.suffix in ('.css', '.png', '.svg', '.jpg', '.html') and '_docs' not in path.parts:
            (source/path.relative_to(proc)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, source/path.relative_to(proc))
    return names


def merged(a: dict, b: dict) -> dict:
    "Two configurations in one; where both say something, the second"
    both = (key for key in a.keys() & b.keys() if isinstance(a[key], dict) and isinstance(b[key], dict))
    return {**a, **b, **{key: merged(a[key], b[key]) for key in both}}


def config(proc: Path) -> dict:
    "The site's configuration, its files put together as Quarto does"
    main = yaml.safe_load((proc/'_quarto.yml').read_text(encoding='utf-8'))
    whole: dict = {}
    for name in main.pop('metadata-files', []):
        whole = merged(whole, yaml.safe_load((proc/name).read_text(encoding='utf-8')))
    return merged(whole, main)


def renamed(value, names: dict[str, str]):
    "A part of the configuration, with notebooks under the names of their pages"
    if isinstance(value, dict): return {key: renamed(part, names) for key, part in value.items()}
    if isinstance(value, list): return [renamed(part, names) for part in value]
    if isinstance(value, str) and value in names: return names[value].removesuffix('.html') + '.ipynb'
    return value


def write_config(proc: Path, source: Path, names: dict[str, str]) -> None:
    "The configuration without what only Quarto reads, and which is done here in its stead"
    whole = renamed(config(proc), names)
    page = whole['format']['html']
    for key in ('html-math-method', 'link-citations', 'respect-user-color-scheme'): page.pop(key, None)
    if grid := page.pop('grid', None): page['max-width'] = grid['body-width']
    theme = page.get('theme')
    if isinstance(theme, dict):      # no Sass: what site.scss does for Quarto is done by `without_fonts`
        page['theme'] = {mode: next(part for part in listed(parts) if not part.endswith('.scss'))
                         for mode, parts in theme.items()}
    for key in ('bibliography', 'execute'): whole.pop(key, None)
    whole['project']['output-dir'] = '_site'
    (source/'_quarto.yml').write_text(yaml.safe_dump(whole, allow_unicode=True, sort_keys=False), encoding='utf-8')


def listed(value) -> list:
    "A list, or the one thing that stands for a list"
    return value if isinstance(value, list) else [value]


def without_fonts(site: Path) -> None:
    "Themes ask another host for their fonts; styles.css names those of the reader's machine instead"
    for path in (site/'site_libs').rglob('*.css'):
        text = path.read_text(encoding='utf-8')
        path.write_text(re.sub(r'@import\s*url\(["\']?https?:[^)]*\)\s*;', '', text), encoding='utf-8')


def in_lines(m: re.Match) -> str:
    "A block of code with an element around each line, as Quarto has it"
    lines, spans = [], []
    for number, line in enumerate(m['code'].split('\n'), 1):
        opened = ''.join(spans)
        for tag in re.findall(r'<span[^>]*>|</span>', line): spans.append(tag) if tag != '</span>' else spans.pop()
        lines.append(f'<span id="{m["id"]}-{number}">{opened}{line}{"</span>" * len(spans)}</span>')
    return f'{m["start"]}{chr(10).join(lines)}</code>'


def like_quarto(text: str, base: str) -> str:
    "A page with what only Quarto makes of it, for better or worse: nbs/styles.css and nbs/labels.html have to cope"
    block = r'(?P<start><div class="sourceCode[^"]*" id="(?P<id>[^"]+)"[^>]*><pre[^>]*><code[^>]*>)(?P<code>.*?)</code>'
    text = re.sub(block, in_lines, text, flags=re.DOTALL)
    sheet = '<link rel="stylesheet" href="'
    text = re.sub(rf'(?={sheet}[^"]*styles\.css">)', f'{sheet}{base}quarto.css">', text)
    navbar = re.search(r'<ul class="navbar-nav.*?</ul>', text, re.DOTALL)
    if not navbar or 'aria-current' in navbar[0].split('</a>')[0]: return text
    return text.replace(navbar[0], navbar[0].replace('<a ', '<a aria-current="page" ', 1))


def render(proc: Path, source: Path) -> tuple[Path, dict[str, str]]:
    "Render what nbdev processed; the folder of the site, and the page of each notebook"
    names = prepared(proc, source)
    command = [sys.executable, '-m', 'smalldocs.cli', 'render', '--quiet', str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if 'broken link' not in line]    # docs_check finds those itself
    if done.returncode or said: raise Fault('\n'.join([*said, 'smalldocs warned or failed']))
    without_fonts(source/'_site')
    shutil.copy2(Path(__file__).with_name('quarto.css'), source/'_site')
    for book, name in names.items():      # the link to a page's source names the notebook as the repository does
        page = source/'_site'/name
        path = f"/nbs/{name.removesuffix('.html')}.ipynb"
        text = page.read_text(encoding='utf-8').replace(f'{path}"', f'/nbs/{book}"')
        page.write_text(like_quarto(text, '../' * name.count('/')), encoding='utf-8')
    return source/'_site', names


# ----------------------------------------------------------------------------------- Markdown pages and llms.txt

def markdown(path: Path) -> str:
    "A page as Markdown: prose, code, what it printed, and the words for its pictures"
    about, out = front(path), []
    for cell in cells(path)[1:]:
        source, options = without_options(cell['source'])
        if cell['cell_type'] == 'markdown':
            if not source.startswith('<!-- WARNING'): out.append(to_markdown_pages(source))
            continue
        if cell['cell_type'] != 'code' or options.get('include') is False: continue
        if source.strip() and options.get('echo', True): out.append(f'```python\n{source.strip()}\n```')
        if options.get('output', True): out += [shown(one, options) for one in cell.get('outputs', [])]
    text = '\n\n'.join(part.strip('\n') for part in out if part.strip())
    return f"# {about.get('title', path.stem)}\n\n> {about.get('description', '')}\n\n{text}\n"


def cited(text: str, bibliography: Path) -> str:
    "A Markdown page with its citations in words, and the works cited at its end"
    unique = list(dict.fromkeys(piece for piece in pieces(text) if not piece.startswith('$')))
    if not unique: return text
    options = ['--citeproc', f'--bibliography={bibliography}', '--to=gfm-raw_html']
    made = pandoc('\n\n'.join(unique), *options)[0].strip().split('\n\n')
    works = '\n'.join(f'- {work}' for work in made[len(unique):])
    return with_pieces(text, dict(zip(unique, made))) + f'\n## Works cited\n\n{works}\n'


def without_options(source: str) -> tuple[str, dict]:
    "The code of a cell, and the options that it starts with"
    lines, found = source.split('\n'), []
    while lines and lines[0].lstrip().startswith('#|'): found.append(lines.pop(0).lstrip()[2:].strip())
    options = yaml.safe_load('\n'.join(line for line in found if ':' in line)) if found else {}
    return '\n'.join(lines), options or {}


def shown(out: dict, options: dict) -> str:
    "One output as Markdown"
    data = out.get('data', {'text/plain': out.get('text', '')})
    if 'text/markdown' in data and not joined(data['text/markdown']).startswith('<'):
        return to_markdown_pages(joined(data['text/markdown']))
    if any(kind.startswith('image/') for kind in data):
        return f"*Picture: {options.get('fig-alt') or options.get('fig-cap') or 'without words'}*"
    text = joined(data.get('text/plain', '')).strip('\n')
    return '\n'.join(f'    {line}'.rstrip() for line in text.split('\n')) if text.strip() else ''


def to_markdown_pages(text: str) -> str:
    "Links to pages as links to their Markdown"
    text = re.sub(r'\]\((?!\w+:)([^)\s#]+\.html)(#[^)\s]*)?\)', r'](\1.md\2)', text)
    def book(m: re.Match) -> str:
        name = re.sub(r'^\d+[a-z0-9]*_', '', posixpath.basename(m[1]))
        return f']({posixpath.join(posixpath.dirname(m[1]), name)}.html.md{m[2] or ""})'
    return re.sub(r'\]\((?!\w+:)([^)\s#]+)\.ipynb(#[^)\s]*)?\)', book, text)


def sections(entries: list, title: str = 'Start', above: str = '') -> list[tuple[str, list[str]]]:
    "The groups of the sidebar, each with its notebooks"
    found: list[tuple[str, list[str]]] = []
    own: list[str] = []
    for entry in entries:
        if isinstance(entry, dict) and 'section' in entry:
            found += sections(entry['contents'], entry['section'], title)
        else: own.append(entry['href'] if isinstance(entry, dict) else entry)
    return ([(title, own)] if own else []) + found


def llms(proc: Path, names: dict[str, str]) -> str:
    "llms.txt: what the site is, and each page as Markdown with its description"
    whole = config(proc)['website']
    base = whole['site-url'].rstrip('/') + '/'
    lines = [f"# {whole['title']}", '', f"> {whole['description']}", '',
             'Chapters are the reference of the module that each exports; tutorials are whole jobs on real data; '
             'explanations derive and measure. All code on the pages runs.']
    for title, books in sections(whole['sidebar']['contents']):
        lines += ['', f'## {title}', '']
        for book in books:
            about = front(proc/book)
            lines.append(f"- [{about['title']}]({base}{names[book]}.md): {about['description']}")
    return '\n'.join(lines) + '\n'


# -------------------------------------------------------------------------------------------------------- the search

class Parts(HTMLParser):
    "The parts of a page: each heading, where it is, and the words up to the next one"
    silent = ('annotation', 'nav', 'header', 'script', 'style', 'button')    # an equation's TeX would say it twice

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title, self.section, self.inside = '', '', []
        self.found: list[tuple[str, list[str], list[str]]] = [('', [], [])]    # place, words of the heading, words

    def handle_starttag(self, tag, attrs):
        "Begin a part at a heading"
        about = dict(attrs)
        if tag == 'section': self.section = about.get('id', '')
        if tag in ('h2', 'h3', 'h4') and self.reads():
            self.found.append((about.get('id') or about.get('data-anchor-id') or self.section, [], []))
        if tag in ('main', 'h1', 'h2', 'h3', 'h4', *self.silent): self.inside.append(tag)

    def handle_endtag(self, tag):
        "Leave it"
        if tag in self.inside:
            while self.inside.pop() != tag: pass

    def handle_data(self, data):
        "Keep words"
        if 'h1' in self.inside: self.title += data
        elif self.reads(): self.found[-1][1 if self.inside[-1] in ('h2', 'h3', 'h4') else 2].append(data)

    def reads(self) -> bool:
        "Whether this is the text of the page"
        return 'main' in self.inside and not {*self.inside} & {*self.silent}


def door() -> dict[str, str]:
    "Where each public name of the package is documented on the site"
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from rnn_nbdev import _HOME
    listed = importlib.import_module('rnn_nbdev._modidx').d['syms']
    places = {name: listed[f'rnn_nbdev.{home}'].get(f'rnn_nbdev.{home}.{name}') for name, home in _HOME.items()}
    return {name: place[0] for name, place in places.items() if place}


def search_index(site: Path, names: dict[str, str], first: dict[str, str]) -> list[dict[str, str]]:
    "What the search looks through: first the names with a place of their own, shorter before longer; then the rest"
    entries, own = [], {place: name for name, place in first.items()}
    for name in names.values():
        if not (site/name).is_file(): continue
        page = Parts()
        page.feed((site/name).read_text(encoding='utf-8'))
        for place, heading, words in page.found:
            href, section = f'{name}#{place}' if place else name, ''.join(heading).strip()
            text = ' '.join(''.join(words).split())
            title = f'{own[href]} · {page.title.strip()}' if href in own else page.title.strip()
            if text or section:
                entries.append({'objectID': href, 'href': href, 'title': title, 'section': section, 'text': text})
    if lost := {*own} - {entry['href'] for entry in entries}: raise Fault(f'{sorted(lost)}: no such place on the site')
    return sorted(entries, key=lambda entry: len(own.get(entry['href'], 'x' * 1000)))


def finish(site: Path, proc: Path, names: dict[str, str], first: dict[str, str] | None = None) -> None:
    "Add each page as Markdown, which the page itself names, llms.txt, and what the search finds, these places first"
    for book, name in names.items():
        Path(f'{site/name}.md').write_text(cited(markdown(proc/book), proc/'references.bib'), encoding='utf-8')
        if not (site/name).is_file(): continue
        text = (site/name).read_text(encoding='utf-8')
        twin = f'<link rel="alternate" type="text/markdown" href="{posixpath.basename(name)}.md">'
        if twin not in text: (site/name).write_text(text.replace('</head>', f'{twin}</head>', 1), encoding='utf-8')
    (site/'llms.txt').write_text(llms(proc, names), encoding='utf-8')
    index = json.dumps(search_index(site, names, first or {}), ensure_ascii=False, indent=1)
    (site/'search.json').write_text(index, encoding='utf-8')
