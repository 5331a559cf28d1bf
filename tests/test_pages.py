"""The rendered site in a real browser: every page, light and dark, on a desk and on a phone. `make pages-check` builds
the site into _docs and runs this; another site is named in the environment variable SITE."""
import importlib
import os
import posixpath
import re
from pathlib import Path

import browser
import docs_check
import docs_site
import pytest

pytestmark = pytest.mark.browser
root = Path(__file__).resolve().parent.parent
site = Path(os.environ.get('SITE', root/'_docs'))
names = sorted(path.relative_to(site).as_posix() for path in site.rglob('*.html') if 'site_libs' not in path.parts)


@pytest.fixture(scope='module')
def chrome():
    "One browser for all pages"
    pytest.importorskip('playwright')
    with browser.browser() as chrome: yield chrome


@pytest.fixture(scope='module')
def base():
    "Where the site is served"
    with browser.served(site) as address: yield address


def equations(name: str) -> int:
    "How many equations the source of a page has, counted in its Markdown"
    text = Path(f'{site/name}.md').read_text(encoding='utf-8')
    prose = '\n'.join(line for line in text.split('\n') if not line.startswith('    '))
    return sum(piece.startswith('$') for piece in docs_site.pieces(prose))


def test_there_is_a_site():
    "Without pages the tests below would say nothing"
    assert len(names) == len(docs_site.notebooks(root/'nbs')), 'make pages-check builds the site first'


@pytest.mark.parametrize('name', names)
def test_a_page_has_no_fault(name, chrome, base):
    assert browser.page_faults(chrome, f'{base}/{name}', equations(name)) == []


def test_equations_are_counted():
    "The comparison above says nothing if none are"
    assert equations('lstm.html') > 20 and sum(map(equations, names)) > 300


def test_search_finds_and_leads_there(chrome, base):
    context = chrome.new_context(viewport={'width': 1280, 'height': 900})
    page = context.new_page()
    page.goto(f'{base}/index.html')
    page.locator('#quarto-search input, input[type=search]').first.fill('lstm_forward')
    hit = page.locator('a[href*="lstm.html"]:visible', has_text='lstm_forward').first
    hit.wait_for(timeout=10_000)
    hit.click()
    page.wait_for_url('**/lstm.html*')
    context.close()


def test_search_finds_each_name_of_the_package_first(chrome, base):
    "As Quarto searches: its weights, its threshold"
    page = chrome.new_page()
    page.goto(f'{base}/index.html')
    page.add_script_tag(path=next(site.rglob('fuse*.js')))
    places = docs_site.door()
    found = page.evaluate('''async names => {
        const weights = {title: 20, section: 20, text: 10}
        const keys = Object.entries(weights).map(([name, weight]) => ({name, weight}))
        const fuse = new Fuse([], {keys, ignoreLocation: true, threshold: 0.1})
        for (const part of await (await fetch('search.json')).json()) fuse.add(part)
        return names.map(name => fuse.search(name, {minMatchCharLength: 2, limit: 1})[0]?.item.href)
    }''', [*places])
    assert len(places) > 100
    assert {name: hit for name, hit in zip(places, found) if hit != places[name]} == {}


def test_the_search_button_has_a_name(chrome, base):
    "Quarto's is made by a script, with a picture and no words"
    page = chrome.new_page()
    page.goto(f'{base}/index.html')
    button = 'document.querySelector("#quarto-search").insertAdjacentHTML("beforeend", "<button id=b><svg/></button>")'
    page.evaluate(button)
    page.wait_for_function('document.querySelector("#b").getAttribute("aria-label") === "Search"', timeout=5000)


def test_a_page_leads_to_its_markdown(chrome, base):
    page = chrome.new_context(viewport={'width': 1280, 'height': 900}).new_page()
    page.goto(f'{base}/explanations/adam.html')
    assert page.get_by_role('link', name='This page as Markdown').get_attribute('href').endswith('/adam.html.md')
    page.context.close()


def test_the_keyboard_shows_where_it_is(chrome, base):
    page = chrome.new_context(viewport={'width': 1280, 'height': 900}).new_page()
    page.goto(f'{base}/lstm.html')
    for _ in range(40):
        page.keyboard.press('Tab')
        outline = page.evaluate('getComputedStyle(document.activeElement).outline')
        assert 'none' not in outline and '2px' in outline, page.evaluate('document.activeElement.outerHTML')
    page.context.close()


def test_a_solution_is_folded_with_its_output_and_opens(chrome, base):
    page = chrome.new_context(viewport={'width': 1280, 'height': 900}).new_page()
    page.goto(f'{base}/lstm.html')
    cell = page.locator('.cell', has=page.locator('summary', has_text=re.compile('^Solution$'))).first
    hidden = cell.locator('pre').first, cell.locator('.cell-output').first
    assert not any(part.is_visible() for part in hidden)
    cell.locator('summary').click()
    assert all(part.is_visible() for part in hidden)
    assert page.locator('.cell:not(:has(details)) > .cell-output').first.is_visible(), 'other outputs stay'
    page.context.close()


def test_the_theme_can_be_chosen_and_stays(chrome, base):
    context = chrome.new_context(viewport={'width': 1280, 'height': 900}, color_scheme='light')
    page = context.new_page()
    page.goto(f'{base}/index.html')
    light = page.evaluate(browser.brightness)
    page.locator('.quarto-color-scheme-toggle').first.click()
    page.wait_for_function(f'({browser.brightness})() < 0.5', timeout=5000)
    page.goto(f'{base}/lstm.html')
    assert light > 0.5 and page.evaluate(browser.brightness) < 0.5
    context.close()


# ------------------------------------------------------------------------------- names lead to their reference

def unlinked(text: str, known: set[str]) -> list[str]:
    "Names of functions and classes that stand in the running text of a page as plain code"
    prose = re.sub(r'<pre.*?</pre>|<header.*?</header>|<a .*?</a>', '', text.split('<main', 1)[1], flags=re.DOTALL)
    return [name for name in re.findall(r'<code>([^<]+)</code>', prose) if name in known]


def test_every_name_in_prose_leads_to_its_reference():
    from rnn_nbdev._modidx import d
    listed = {module: importlib.import_module(module).__all__ for module in d['syms']}     # the others have no heading
    known = {name.split('.')[2] for module, names in d['syms'].items() for name in names
             if name.count('.') == 2 and name.split('.')[2] in listed[module]}
    found = {name: lost for name in names if (lost := unlinked((site/name).read_text(encoding='utf-8'), known))}
    assert found == {}
    code = '<code>softmax</code>'
    good = f'<main><header>{code}</header><a href="x">{code}</a><pre>{code}</pre>'
    assert unlinked(good, known) == [] and unlinked(f'{good}<p>{code}</p>', known) == ['softmax']


# ----------------------------------------------------------------------- what a stranger finds within two clicks

every = docs_check.pages(site)


def place(name: str, target: str) -> str:
    "Where a link on a page leads, within the site"
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target.partition('#')[0]))


def clicks(start: str, wanted: re.Pattern) -> dict[str, set[str]]:
    "The pages within two clicks of `start` whose text matches, each with the words of the links that lead there"
    near = {start, *(place(start, target) for target, _ in every[start].links)} & {*every}
    found: dict[str, set[str]] = {}
    for name in near:
        for target, words in every[name].links:
            if (there := place(name, target)) in every and words: found.setdefault(there, set()).add(words)
    return {name: words for name, words in found.items()
            if wanted.search(Path(f'{site/name}.md').read_text(encoding='utf-8'))}


questions = {
    'how do I train on my own text': (
        'tutorials/character_model.html', 'your own text|character model', 'rnn_train'),
    'how do I classify sequences of unequal length': (
        'tutorials/who_is_speaking.html', 'unequal length|who is speaking', 'SequenceClassifier'),
    'what is Γ_o, and where is it computed': (
        'lstm.html', 'Γ_o|LSTM|long short-term', r'\\Gamma_o[\s\S]*def lstm_cell_forward[\s\S]*\bot = sigmoid'),
    'why does my gradient explode': (
        'explanations/why_gradients_vanish_and_explode.html', 'explode', r'explode[\s\S]*clip'),
}


@pytest.mark.parametrize('question', questions)
def test_a_stranger_finds_within_two_clicks(question):
    page, words, answer = questions[question]
    found = clicks('index.html', re.compile(answer, re.IGNORECASE))
    assert page in found, found
    assert any(re.search(words, said, re.IGNORECASE) for said in found[page]), found[page]


@pytest.mark.parametrize('question', questions)
def test_the_front_page_itself_names_the_way(question):
    "Not the sidebar alone: a link in the running text of the front page, or of a page that such a link leads to"
    page, words, _ = questions[question]
    def texts(name): return [(place(name, target), said) for target, said in every[name].running]
    first = texts('index.html')
    second = [link for name, _ in first if name in every for link in texts(name)]
    assert any(there == page and re.search(words, said, re.IGNORECASE) for there, said in first + second)


# ------------------------------------------------------------------------ the checks themselves can fail

good = '''<!doctype html><html lang="en"><head><title>A page</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>:root { color-scheme: light dark } body { background: #fff; color: #111; font-size: 16px }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } } STYLE</style></head>
<body><main><h1>A page</h1>
<p>Words, and <math><mi>x</mi><mo>=</mo><mn>1</mn></math>.</p>BODY</main>AFTER</body></html>'''
bad = {
    'console': ('BODY', '<script>console.error("no")</script>', 'console: no'),
    'script': ('BODY', '<script>absent()</script>', 'absent is not defined'),
    'missing file': ('BODY', '<img src="absent.png" alt="none">', '404'),
    'another host': ('BODY', '<img src="http://127.0.0.2:9/x.png" alt="none">', 'asks another host'),
    'no equation': ('BODY', '<p><span class="math inline">\\(x\\)</span></p>', 'equations are not MathML'),
    'equations missing': ('BODY', '<math><mi>y</mi></math>', '2 equations as MathML, where'),
    'too wide': ('BODY', '<pre style="width: 700px">wide</pre>', 'on a phone, pre'),
    'code cut off': ('BODY', f'<pre style="overflow-x: auto"><code class="python">{"x = 1 + " * 20}</code></pre>',
                     'code is wider than its box'),
    'equation cut off': ('BODY', '<p style="overflow-x: auto"><math display="block"><mi>' + 'wide' * 200
                         + '</mi></math></p>', 'equation is wider'),
    'another page is open': ('BODY', '<a href="other.html" aria-current="page">x</a>', 'is not the open page: x'),
    'small picture': ('BODY', '<img alt="a square" width="90" src="data:image/svg+xml,%3Csvg xmlns=\'http://www.w3.org/'
                      '2000/svg\' width=\'300\' height=\'300\'/%3E">', 'shown at 0.30 of its size'),
    'picture without words': ('BODY', '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', 'image-alt'),
    'contrast': ('BODY', '<p style="color: #999; background: #aaa">faint</p>', 'color-contrast'),
    'landmarks': ('AFTER', '<p>outside of every landmark</p>', 'region'),
    'no dark theme': ('STYLE', 'body { background: #fff !important; color: #111 !important }', 'dark: is not'),
}


def faults_of(text: str, chrome, folder: Path) -> list[str]:
    "What the browser finds wrong with one page"
    (folder/'page.html').write_text(re.sub('BODY|AFTER|STYLE', '', text), encoding='utf-8')
    with browser.served(folder) as address: return browser.page_faults(chrome, f'{address}/page.html', 1)


def test_a_good_page_passes(chrome, tmp_path):
    assert faults_of(good, chrome, tmp_path) == []


@pytest.mark.parametrize('name', bad)
def test_a_broken_page_is_seen(name, chrome, tmp_path):
    place, what, expected = bad[name]
    found = faults_of(good.replace(place, what), chrome, tmp_path)
    assert any(expected in fault for fault in found), found
