"""The tools that build the docs site and look for faults in it: each fault, made on purpose, must be seen."""
import base64
import json
import re
from configparser import ConfigParser
from pathlib import Path

import docs_check
import docs_site
import pytest
import yaml
from nbdev_procs import SourceAfterDoc, local, plain

root = Path(__file__).resolve().parent.parent
dot = 'data:image/gif;base64,' + base64.b64encode(b'GIF89a').decode()
head = '''<!doctype html><html lang="en"><head><title>A page</title><meta name="description" content="what">
<meta property="og:title" content="A"><meta property="og:description" content="what"></head><body>'''


# ------------------------------------------------------------------------------------------- one small site, whole

def md(source: str) -> dict:
    "A markdown cell"
    return {'cell_type': 'markdown', 'metadata': {}, 'source': source}


def py(source: str, *outputs: dict) -> dict:
    "A code cell"
    return {'cell_type': 'code', 'metadata': {}, 'execution_count': None, 'outputs': list(outputs), 'source': source}


def picture() -> dict:
    "A picture that a cell gave"
    return {'output_type': 'display_data', 'metadata': {}, 'data': {'image/png': 'iVBORw0KGgo=', 'text/plain': '<P>'}}


def book(path: Path, title: str, *cells: dict) -> None:
    "A page as nbdev hands it to the renderer"
    name = re.sub(r'^\d+_', '', path.stem) + '.html'
    first = {'cell_type': 'raw', 'metadata': {}, 'source':
             f'---\ndescription: about {title}\noutput-file: {name}\ntitle: {title}\n\n---\n'}
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {'cells': [first, *cells], 'metadata': {}, 'nbformat': 4, 'nbformat_minor': 5}
    path.write_text(json.dumps(whole))


pages = ['index.ipynb', '10_cells.ipynb', 'more/01_deep.ipynb']
good = [md('See [the cells](10_cells.ipynb#one), [deep](more/01_deep.ipynb), `code @nobody2000x`, [@known2000a].\n\n'
           'Where $a_t * b_t$ and $|x|$ | stand:\n\n$$\\Gamma_o = \\sigma(x_1)$$'),
        py('#| fig-alt: "a dot"\ndraw()', picture()), py('print("$5 and $6")',
           {'output_type': 'stream', 'name': 'stdout', 'text': '$5 and $6\n'})]


def processed(folder: Path, *cells: dict, sidebar: tuple[str, ...] = tuple(pages)) -> Path:
    "What nbdev would leave in _proc: three pages and their configuration"
    proc = folder/'_proc'
    book(proc/'index.ipynb', 'Front', *(cells or good))
    book(proc/'10_cells.ipynb', 'Cells', md('## One\n\nBack to [front](index.ipynb).'))
    table = '| a | b |\n|---|---|\n| $|x|$ | 2 |'
    book(proc/'more/01_deep.ipynb', 'Deep', md(f'To [the cells](../10_cells.ipynb).\n\n{table}'))
    (proc/'references.bib').write_text('@article{known2000a, author={Doe, Jo}, title={On}, journal={J}, year={2000}}')
    (proc/'a.yml').write_text(yaml.safe_dump({'website': {
        'title': 'Site', 'description': 'what it is', 'site-url': 'https://a.b/c', 'open-graph': True,
        'sidebar': {'contents': [{'section': 'All', 'contents': list(sidebar)}]}}, 'project': {'output-dir': '_docs'}}))
    (proc/'_quarto.yml').write_text(yaml.safe_dump({
        'project': {'type': 'website'}, 'metadata-files': ['a.yml'], 'bibliography': 'references.bib',
        'format': {'html': {'html-math-method': 'mathml', 'theme': {'light': ['cosmo', 'x.scss'], 'dark': 'darkly'}}}}))
    return proc


def built(folder: Path, *cells: dict, **more) -> tuple[Path, Path, dict[str, str]]:
    "The site of the three pages"
    proc = processed(folder, *cells, **more)
    source = folder/'source'
    source.mkdir()
    site, names = docs_site.render(proc, source)
    docs_site.finish(site, proc, names)
    return site, proc, names


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    "The good one"
    return built(tmp_path_factory.mktemp('good'))


def test_a_good_site_has_no_fault(site):
    assert docs_check.site_faults(*site) == {}


def test_pages_have_the_names_that_nbdev_gives(site):
    folder, _, names = site
    assert [names[page] for page in pages] == ['index.html', 'cells.html', 'more/deep.html']
    text = (folder/'index.html').read_text()
    assert 'href="./cells.html#one"' in text or 'href="cells.html#one"' in text


def test_equations_are_mathml_and_their_characters_mean_nothing_to_markdown(site):
    text = (site[0]/'index.html').read_text()
    assert text.count('<math') == 3 and 'katex' not in text.lower()
    assert '<em>' not in text[:text.rindex('Works cited')]
    assert (site[0]/'more/deep.html').read_text().count('<td') == 2
    assert '$5 and $6' in text


def test_a_line_of_code_is_an_element_as_in_quarto(site):
    text = (site[0]/'index.html').read_text()
    assert re.search(r'<span id="cb1-1">draw.*?</span></code>', text)
    assert '<link rel="stylesheet" href="quarto.css">' not in text, 'there is no styles.css here'
    block = '<div class="sourceCode" id="cb3"><pre><code><span class="s">a\nb</span>c</code></pre></div>'
    assert docs_site.like_quarto(block, '') == (
        '<div class="sourceCode" id="cb3"><pre><code><span id="cb3-1"><span class="s">a</span></span>\n'
        '<span id="cb3-2"><span class="s">b</span>c</span></code></pre></div>')


def test_citations_are_set_and_listed(site):
    text = (site[0]/'index.html').read_text()
    assert 'Doe 2000' in text and 'id="ref-known2000a"' in text and 'href="#ref-known2000a"' in text
    assert 'code @nobody2000x' in text


def test_no_theme_asks_another_host(site):
    for path in (site[0]/'site_libs').rglob('*.css'): assert 'fonts.googleapis' not in path.read_text(), path.name


def test_each_page_is_markdown_too(site):
    text = (site[0]/'index.html.md').read_text()
    assert text.startswith('# Front\n\n> about Front\n\nSee [the cells](cells.html.md#one), [deep](more/deep.html.md)')
    assert '```python\ndraw()\n```\n\n*Picture: a dot*' in text and '    $5 and $6' in text and 'fig-alt' not in text
    assert '`code @nobody2000x`, (Doe 2000).' in text and '\n## Works cited\n\n- Doe, Jo. 2000.' in text
    assert '](../cells.html.md)' in (site[0]/'more/deep.html.md').read_text()
    link = '<link rel="alternate" type="text/markdown" href="deep.html.md"></head>'
    assert link in (site[0]/'more/deep.html').read_text()


def test_llms_txt_has_title_summary_and_every_page(site):
    lines = (site[0]/'llms.txt').read_text().splitlines()
    assert lines[0] == '# Site' and lines[2] == '> what it is' and '## All' in lines
    assert '- [Deep](https://a.b/c/more/deep.html.md): about Deep' in lines
    assert sum(line.startswith('- [') for line in lines) == 3


def test_search_knows_each_part_with_its_equations_once_and_names_first(site):
    folder, _, names = site
    index = json.loads((folder/'search.json').read_text())
    assert {entry['href'] for entry in index} == {'index.html', 'index.html#works-cited', 'cells.html#one',
                                                  'more/deep.html'}
    front = next(entry['text'] for entry in index if entry['href'] == 'index.html')
    assert 'Γ' in front and 'Gamma' not in front and front.count('|x|') == 1
    first = docs_site.search_index(folder, names, {'one': 'cells.html#one'})[0]
    assert (first['href'], first['section'], first['title']) == ('cells.html#one', 'One', 'one · Cells')
    with pytest.raises(docs_site.Fault, match='gone'): docs_site.search_index(folder, names, {'two': 'cells.html#gone'})


# ------------------------------------------------------------------------------------ faults that a whole site shows

@pytest.mark.parametrize(('source', 'fault'), [
    ('An equation $\\frac{1}{$ that does not close', 'equation'),
    ('Nobody wrote [@unknown1999x]', 'unknown1999x'),
    ('::: {.callout-tip}\nnever closed', 'Div'),
])
def test_pandoc_complaints_are_faults(source, fault, tmp_path):
    proc = processed(tmp_path, md(source))
    said = docs_site.complaints(proc/'index.ipynb', proc/'references.bib')
    assert 'WARNING' in said and (fault.lower() in said.lower() or fault == 'equation'), said


def test_a_link_to_no_notebook_is_a_fault(tmp_path):
    found = docs_check.site_faults(*built(tmp_path, md('[a](gone.ipynb)')))
    assert any('gone' in fault and 'no such page' in fault for fault in found['nbs/index.ipynb'])


def test_what_the_renderer_warns_of_stops_the_build(tmp_path):
    proc = processed(tmp_path)
    config = yaml.safe_load((proc/'a.yml').read_text())
    config['website']['nonsense'] = True
    (proc/'a.yml').write_text(yaml.safe_dump(config))
    (tmp_path/'source').mkdir()
    with pytest.raises(docs_site.Fault, match='nonsense'): docs_site.render(proc, tmp_path/'source')


def test_a_picture_without_words_is_a_fault(tmp_path):
    found = docs_check.site_faults(*built(tmp_path, py('draw()', picture())))
    assert any('no alternative text' in fault for fault in found['nbs/index.ipynb'])


def test_a_page_that_is_not_in_the_sidebar_is_a_fault(tmp_path):
    site = built(tmp_path, sidebar=('index.ipynb', '10_cells.ipynb'))
    found = docs_check.site_faults(*site)
    assert 'stands 0 times in nbs/sidebar.yml' in found['nbs/more/01_deep.ipynb']


def test_missing_pages_and_markdown_are_faults(tmp_path):
    site, proc, names = built(tmp_path)
    (site/'cells.html').unlink()
    (site/'more/deep.html.md').unlink()
    (site/'index.html').write_text((site/'index.html').read_text().replace('text/markdown', 'text/plain'))
    (site/'llms.txt').write_text('# Site\n')
    found = docs_check.site_faults(site, proc, names)
    assert 'no page cells.html' in found['nbs/10_cells.ipynb']
    assert 'names no Markdown page' in found['nbs/index.ipynb']
    assert 'no Markdown more/deep.html.md' in found['nbs/more/01_deep.ipynb']
    assert any('cells.html' in fault and 'no such page' in fault for fault in found['nbs/index.ipynb'])
    assert 'does not begin with a title and a summary' in found['llms.txt']


# --------------------------------------------------------------------------------------------- faults of one page

@pytest.mark.parametrize(('body', 'fault'), [
    ('<a href="gone.html">x</a>', 'no such page or file'),
    ('<a href="other.html#gone">x</a>', 'no such place on the page'),
    ('<a href="#gone">x</a>', 'no such place on the page'),
    ('<a href="../outside.html">x</a>', 'no such page or file'),
    ('<a href="javascript:alert(1)">x</a>', 'leads nowhere'),
    (f'<a href="{docs_check.repository()}/blob/main/gone.py">x</a>', 'the repository has no such file'),
    ('<img src="gone.png" alt="a dot">', 'no such page or file'),
    (f'<img src="{dot}">', 'no alternative text'),
    (f'<img src="{dot}" alt=" ">', 'no alternative text'),
    ('<svg></svg>', 'no alternative text'),
    ('<script src="https://elsewhere.org/x.js"></script>', 'asks another host'),
    ('see ?@fig-one', 'unresolved'), ('see @fig-one', 'unresolved'), ('as [@doe2000on] says', 'unresolved'),
    ('$$x$$', 'unresolved'), (r'\Gamma_o', 'unresolved'), ('{{< include x >}}', 'unresolved'),
    ('\n::: {.x}', 'unresolved'),
])
def test_each_fault_of_a_page_is_seen(body, fault, tmp_path):
    (tmp_path/'page.html').write_text(f'{head}<main>{body}</main></body></html>')
    (tmp_path/'other.html').write_text(f'{head}<main><h2 id="here">x</h2></main></body></html>')
    every = docs_check.pages(tmp_path)
    found = docs_check.page_faults('page.html', every['page.html'], tmp_path, every, root)
    assert found and all(fault in one for one in found), found


def test_what_is_right_is_no_fault(tmp_path):
    (tmp_path/'other.html').write_text(f'{head}<main><h2 id="here">x</h2></main></body></html>')
    (tmp_path/'page.html').write_text(
        f'{head}<main id="top"><a href="other.html#here">x</a><a href="#top">x</a><img src="{dot}" alt="a dot">'
        f'<a href="{docs_check.repository()}/blob/main/tools/docs_check.py#L3">x</a><pre>$$ @fig-one</pre>'
        '<code>[@doe2000on]</code> jo@doe2000.org <math><mi>x</mi></math></main></body></html>')
    every = docs_check.pages(tmp_path)
    assert docs_check.page_faults('page.html', every['page.html'], tmp_path, every, root) == []


@pytest.mark.parametrize('name', ['description', 'og:title', 'og:description'])
def test_a_page_says_what_it_is(name, tmp_path):
    (tmp_path/'page.html').write_text(head.replace(name, 'other') + '<main></main></body></html>')
    every = docs_check.pages(tmp_path)
    assert f'no {name}' in docs_check.page_faults('page.html', every['page.html'], tmp_path, every, root)


# ------------------------------------------------------------------------------------------- what nbdev is taught

def test_links_to_functions_are_local_and_never_inside_another_link():
    base = 'https://a.b/c'
    assert local(f'[`f`]({base}/x.html#f)', base, '.') == '[`f`](x.html#f)'
    assert local(f'[`f`]({base}/x.html#f)', base, 'more') == '[`f`](../x.html#f)'
    assert plain(f'[see [`f`]({base}/x.html#f) now](y.ipynb)') == '[see `f` now](y.ipynb)'
    assert plain('[`f`](x) and [g](y)') == '[`f`](x) and [g](y)'


class Cell(dict):
    "A cell as nbdev has it"
    __getattr__ = dict.get


def test_exported_source_stands_below_its_heading():
    def shown(name): return Cell(cell_type='code', source=f'show_doc({name})', has_sd=True, outputs=[
        {'data': {'text/markdown': [f'---\n[source](x)\n### {name}\n', '```python\nthe signature\n```\nwords']}}])
    book = Cell(cells=[Cell(cell_type='code', source='', directives_={'default_exp': ['m']}),
                       Cell(cell_type='code', source='def f(): pass', directives_={'export': []}), shown('f'),
                       Cell(cell_type='markdown', source='## Part'),
                       Cell(cell_type='code', source='def g(): pass', directives_={'export': []}), shown('g')])
    SourceAfterDoc(book).begin()
    assert [cell['source'] for cell in book['cells']] == ['show_doc(f)', 'def f(): pass', '## Part', 'show_doc(g)',
                                                          'def g(): pass']
    texts = [cell['outputs'][0]['data']['text/markdown'] for cell in book['cells'] if cell.get('outputs')]
    assert texts == ['---\n[source](x)\n## f\n', '---\n[source](x)\n### g\n']


# -------------------------------------------------------------------------------------- the files beside the site

def test_every_notebook_has_its_place_in_the_sidebar():
    sidebar = yaml.safe_load((root/'nbs/sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']
    listed = [name for _, books in docs_site.sections(sidebar) for name in books]
    assert sorted(listed) == [path.as_posix() for path in docs_site.notebooks(root/'nbs')]


def outputs() -> list[tuple[str, dict]]:
    "Every output that is stored in a notebook, with the notebook's name"
    return [(path.as_posix(), out) for path in docs_site.notebooks(root/'nbs')
            for cell in docs_site.cells(root/'nbs'/path) for out in cell.get('outputs', [])]


def test_every_work_in_the_bibliography_is_cited():
    keys = re.findall(r'^@\w+\{([^,\s]+)', (root/'nbs/references.bib').read_text(encoding='utf-8'), re.MULTILINE)
    books = ''.join((root/'nbs'/path).read_text(encoding='utf-8') for path in docs_site.notebooks(root/'nbs'))
    assert len(keys) > 50 and [key for key in keys if f'@{key}' not in books] == []


def test_no_output_makes_quarto_load_scripts_from_another_host():
    "It does so for every page with an output of the type text/html"
    assert {name for name, out in outputs() if 'text/html' in out.get('data', {})} == set()


# --------------------------------------------------------------------------------------------------- what it looks like

styles = (root/'nbs/styles.css').read_text(encoding='utf-8')
paper = {'light': '#ffffff', 'dark': '#222222'}    # behind the text, in the themes cosmo and darkly


def brightness(color: str) -> float:
    "WCAG's relative luminance"
    parts = [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    return sum(w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
               for w, c in zip((0.2126, 0.7152, 0.0722), parts))


def contrast(a: str, b: str) -> float:
    "WCAG's contrast of two colours, from 1 to 21"
    low, high = sorted(map(brightness, (a, b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize('theme', paper)
def test_text_and_code_have_contrast(theme):
    light, _, dark = styles.partition(':root.quarto-dark')
    found = dict(re.findall(r'(--[\w-]+): (#\w{6});', light if theme == 'light' else dark))
    page, box = paper[theme], found['--book-code-box']
    for color in ('--bs-link-color', '--book-faint'): assert contrast(found[color], page) >= 4.5, color
    for color in ('--bs-link-color', '--book-code'): assert contrast(found[color], box) >= 4.5, color
    assert contrast('#7cb7ff', '#f8f9fa') < 2, 'a link in the box that the dark theme leaves light'


def test_who_prefers_dark_gets_dark():
    config = yaml.safe_load((root/'_quarto.yml').read_text(encoding='utf-8'))
    assert config['format']['html']['respect-user-color-scheme'] is True


def test_the_citation_file_tells_the_version():
    config = ConfigParser(delimiters=['='])
    config.read(root/'settings.ini', encoding='utf-8')
    cited = yaml.safe_load((root/'CITATION.cff').read_text(encoding='utf-8'))
    assert cited['version'] == config['DEFAULT']['version'] and cited['license'] == 'Apache-2.0'


@pytest.mark.parametrize('path', sorted((root/'.github').rglob('*.yml')), ids=lambda path: path.name)
def test_what_github_reads_is_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text(encoding='utf-8')), dict)
