"""Build the docs site without Quarto and look for faults. Usage: docs_check.py [--keep FOLDER] [--site FOLDER]

nbdev processes a copy of the notebooks, pandoc reads every Markdown cell, and smalldocs renders the whole
(docs_site.py says how). Faults are: what pandoc warns of; a link that leads nowhere, within the site or to a file of
the repository; a picture that is missing or has no words; a citation or reference that stayed as it was typed; an
equation that did not become MathML; a notebook without its page, its Markdown, or its place in the sidebar.

--keep leaves the site in FOLDER, for looking at it and for the browser's checks. --site checks a site that Quarto has
built from _proc (`make docs` does that).
"""
import argparse
import posixpath
import re
import shutil
import sys
import tempfile
from configparser import ConfigParser
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import docs_site
from unchanged import copy_to, root

unread = re.compile(r'\?@\w+|(?<![\w.])@(?:fig|tbl|sec|eq|lst)-[\w-]+|\[[^\]]*(?<![\w`])@[a-z]\w*\d{4}\w*|'
                    r'\{\{<|^:::+|\$\$|\\begin\{|\\(?:frac|Gamma|langle|mathrm)(?![a-z])', re.MULTILINE)


@dataclass
class Page:
    "What one page of the site holds, as far as the checks ask"
    title: str = ''
    about: dict[str, str] = field(default_factory=dict)             # description and what link previews show
    marks: set[str] = field(default_factory=set)                    # where a link may lead within it
    links: list[tuple[str, str]] = field(default_factory=list)      # target and words
    running: list[tuple[str, str]] = field(default_factory=list)    # those of them that stand in the text
    files: list[str] = field(default_factory=list)                  # styles, scripts, pictures
    pictures: list[tuple[str, str | None]] = field(default_factory=list)   # source and alternative text
    twin: str = ''                                                  # the same page as Markdown
    text: str = ''                                                  # the words, but for code and equations


class Reader(HTMLParser):
    "Collects a Page"
    silent = ('script', 'style', 'pre', 'code', 'math', 'svg')

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page, self.open, self.words, self.inside = Page(), [], [], []
        self.in_title, self.main = False, 0

    def handle_starttag(self, tag, attrs):
        "Note marks, links, files and pictures"
        found, page = dict(attrs), self.page
        if mark := found.get('id') or (found.get('name') if tag == 'a' else None): page.marks.add(mark)
        if tag == 'a' and found.get('href') is not None: self.open.append((found['href'], []))
        if tag in ('img', 'script', 'source') and found.get('src'): page.files.append(found['src'])
        if tag == 'link' and found.get('rel') in ('stylesheet', 'icon'): page.files.append(found['href'])
        if tag == 'link' and found.get('type') == 'text/markdown': page.twin = found['href']
        if tag == 'img': page.pictures.append((found.get('src', ''), found.get('alt')))
        if tag == 'svg' and 'main' in self.inside and 'svg' not in self.inside and 'a' not in self.inside:
            page.pictures.append(('svg', found.get('alt') or found.get('aria-label')))
        if tag == 'meta' and (name := found.get('name') or found.get('property')):
            page.about[name] = found.get('content', '')
        if tag == 'title' and 'svg' not in self.inside: self.in_title = True
        if tag not in ('img', 'meta', 'link', 'br', 'hr', 'input', 'source', 'col', 'wbr'): self.inside.append(tag)

    def handle_endtag(self, tag):
        "Close a link with the words that it was given"
        if tag == 'a' and self.open:
            target, words = self.open.pop()
            self.page.links.append((target, ' '.join(''.join(words).split())))
            in_text = 'main' in self.inside and 'nav' not in self.inside
            if in_text: self.page.running.append(self.page.links[-1])
        if tag == 'title': self.in_title = False
        if tag in self.inside:
            while self.inside.pop() != tag: pass

    def handle_data(self, data):
        "Keep the words of title, links and prose"
        if self.in_title: self.page.title += data
        for _, words in self.open: words.append(data)
        if not any(tag in self.silent for tag in self.inside) and 'main' in self.inside: self.words.append(data)


def read(path: Path) -> Page:
    "One page"
    reader = Reader()
    reader.feed(path.read_text(encoding='utf-8'))
    reader.page.text = ''.join(reader.words)
    return reader.page


def pages(site: Path) -> dict[str, Page]:
    "Every page of a site, by its place in it"
    return {path.relative_to(site).as_posix(): read(path) for path in sorted(site.rglob('*.html'))
            if 'site_libs' not in path.parts}


# ------------------------------------------------------------------------------------------------------- the checks

def settings() -> dict[str, str]:
    "The project's data"
    config = ConfigParser(delimiters=['='])
    config.read(root/'settings.ini', encoding='utf-8')
    return dict(config['DEFAULT'])


def repository() -> str:
    "Where links to the project's files lead"
    found = settings()
    return f"https://github.com/{found['user']}/{found['repo']}"


def dead(target: str, name: str, site: Path, every: dict[str, Page], project: Path) -> str:
    "Why a link leads nowhere; empty if it leads somewhere, or to another host, which is not asked"
    parts = urlsplit(target)
    if target.startswith(repository() + '/'):
        kind, _, path = parts.path.strip('/').partition('/')[2].partition('/')[2].partition('/')
        path = unquote(path.partition('/')[2])
        ok = kind in ('issues', 'edit', 'discussions', 'security') or (project/path).exists()
        return '' if ok else 'the repository has no such file'
    if parts.scheme in ('http', 'https', 'mailto'): return '' if parts.netloc or parts.path else 'incomplete'
    if target == 'javascript:void(0)' or parts.scheme == 'data': return ''    # a button of the theme; a file in itself
    if parts.scheme: return f'{parts.scheme}: leads nowhere on the site'
    place = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path))) if parts.path else name
    if (site/place).is_dir(): place = posixpath.normpath(f'{place}/index.html')
    if place.startswith('..') or not (site/place).is_file(): return 'no such page or file'
    mark = unquote(parts.fragment)
    missing = mark and mark != 'top' and place in every and mark not in every[place].marks
    return 'no such place on the page' if missing else ''


def page_faults(name: str, page: Page, site: Path, every: dict[str, Page], project: Path) -> list[str]:
    "What is wrong with one page"
    found = [f'link to {target} ({words or "no words"}): {why}' for target, words in page.links
             if (why := dead(target, name, site, every, project))]
    found += [f'{target}: {why}' for target in page.files if (why := dead(target, name, site, every, project))]
    found += [f'asks another host: {target}' for target in page.files if urlsplit(target).scheme in ('http', 'https')]
    for number, (source, alt) in enumerate(page.pictures, 1):
        if not (alt or '').strip(): found.append(f'picture {number} ({source[:40]}) has no alternative text')
    found += [f'unresolved: {m[0]!r} in …{" ".join(page.text[max(0, m.start() - 40):m.end() + 20].split())}…'
              for m in unread.finditer(page.text)]
    found += [f'no {what}' for what in ('description', 'og:title', 'og:description') if not page.about.get(what)]
    if not page.title.strip(): found.append('no title')
    return found


def site_faults(site: Path, proc: Path, names: dict[str, str], project: Path = root) -> dict[str, list[str]]:
    "What is wrong with a site, page by page"
    every = pages(site)
    found: dict[str, list[str]] = {}
    sidebar = docs_site.config(proc)['website']['sidebar']['contents']
    order = [book for _, books in docs_site.sections(sidebar) for book in books]
    for book, name in names.items():
        own = found.setdefault(f'nbs/{book}', [])
        if name not in every: own.append(f'no page {name}')
        if not Path(f'{site/name}.md').is_file(): own.append(f'no Markdown {name}.md')
        if order.count(book) != 1: own.append(f'stands {order.count(book)} times in nbs/sidebar.yml')
        if said := docs_site.complaints(proc/book, proc/'references.bib'): own.append(said)
        if name in every and every[name].twin != f'{posixpath.basename(name)}.md': own.append('names no Markdown page')
        if name in every: own += page_faults(name, every[name], site, every, project)
    found['nbs/sidebar.yml'] = [f'{book} does not exist' for book in order if book not in names]
    text = (site/'llms.txt').read_text(encoding='utf-8') if (site/'llms.txt').exists() else ''
    found['llms.txt'] = [f'{name}.md is not in it' for name in names.values() if f'/{name}.md)' not in text]
    if not re.match(r'# \S.*\n\n> \S.*\n', text): found['llms.txt'].append('does not begin with a title and a summary')
    return {page: faults for page, faults in found.items() if faults}


def build(project: Path, work: Path) -> tuple[Path, Path, dict[str, str]]:
    "The site of a copy of the project: its folder, what nbdev processed, and the page of each notebook"
    proc = docs_site.processed(project)
    site, names = docs_site.render(proc, work)
    docs_site.finish(site, proc, names, docs_site.door())
    return site, proc, names


def main() -> None:
    "Build, check, report"
    parser = argparse.ArgumentParser(description='the docs site, and its faults')
    parser.add_argument('--keep', type=Path, help='leave the site here')
    parser.add_argument('--site', type=Path, help='check this site, which Quarto built, and finish it')
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            if given.site:
                site, proc = given.site, root/'_proc'
                names = {book.as_posix(): docs_site.page_name(book, proc) for book in docs_site.notebooks(proc)}
                docs_site.finish(site, proc, names, docs_site.door())
            else:
                project = Path(folder)/root.name
                copy_to(project)
                site, proc, names = build(project, Path(folder)/'pages')
        except docs_site.Fault as fault: sys.exit(str(fault))
        found = site_faults(site, proc, names)
        if given.keep:
            shutil.rmtree(given.keep, ignore_errors=True)
            shutil.copytree(site, given.keep)
    for page, faults in found.items():
        print(page + ':')
        for fault in faults: print('   ', fault)
    if found: sys.exit(f'{sum(map(len, found.values()))} faults on {len(found)} of {len(names)} pages')
    print(f'{len(names)} pages, no fault')


if __name__ == '__main__':
    main()
