"""Look at rendered pages in a real browser: headless Chromium, driven by playwright.

`page_faults` says what is wrong with one page: an error in the console, a request to another host, an equation that is
not MathML or not visible, an element wider than a phone, and whatever axe-core finds wrong with contrast and landmarks.
"""
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

root = Path(__file__).resolve().parent.parent
axe = root/'.venv/axe/node_modules/axe-core/axe.min.js'
phone = 390
# No talk with anyone but the pages' own server.
flags = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync', '--disable-default-apps', '--hide-scrollbars']


def chromium() -> str | None:
    "The browser to drive: $CHROMIUM, or the first that is installed"
    names = (os.environ.get('CHROMIUM'), 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
    return next((path for name in names if name and (path := shutil.which(name))), None)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    "A folder at an address of this machine"
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try: yield f'http://127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def browser() -> Iterator:
    "Headless Chromium"
    from playwright.sync_api import sync_playwright
    path = chromium()
    if not path: raise RuntimeError('no Chromium: install it, or name it in the environment variable CHROMIUM')
    sandbox = [] if os.name == 'nt' or os.geteuid() else ['--no-sandbox']    # root has no sandbox
    with sync_playwright() as play:
        chrome = play.chromium.launch(executable_path=path, args=flags + sandbox)
        try: yield chrome
        finally: chrome.close()


# What sticks out: an element that ends beyond the window, is visible, and is in nothing that scrolls or clips.
sticking_out = '''width => [...document.querySelectorAll('body *')].filter(e => {
    const box = e.getBoundingClientRect()
    if (!box.width || !box.height || (box.right <= width + 1 && box.left >= -1)) return false
    if (!e.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})) return false
    for (let up = e; up; up = up.parentElement) {
        const style = getComputedStyle(up)
        const page = up === document.body || up === document.documentElement
        if (up !== e && !page && style.overflowX !== 'visible') return false
        if (style.position === 'fixed' || style.clipPath !== 'none') return false
        if (up.classList.contains('visually-hidden')) return false
    }
    return true
}).slice(0, 5).map(e => {
    const end = Math.round(e.getBoundingClientRect().right)
    return `${e.tagName.toLowerCase()}.${e.className} ends at ${end}: ${(e.textContent || '').trim().slice(0, 40)}`
})'''

equations = '''() => ({
    there: document.querySelectorAll('main math').length,
    flat: [...document.querySelectorAll('main math')].filter(e => {
        const box = e.getBoundingClientRect()
        return !e.closest('details:not([open])') && (!box.width || !box.height)
    }).length,
    raw: document.querySelectorAll('main .math:not(:has(math)), main mjx-container, main .katex').length,
})'''

judged = '''() => axe.run(document, {
    resultTypes: ['violations'],
    runOnly: {type: 'rule', values: RULES},
}).then(found => found.violations.flatMap(rule => rule.nodes.slice(0, 4).map(node =>
    `${rule.id}: ${node.target.join(' ')}: ` +
    (([...node.any, ...node.all, ...node.none][0] || rule).message || rule.help))))'''
# Contrast and landmarks, and what else a reader with a screen reader or a keyboard needs of a page to read.
rules = ['color-contrast', 'link-in-text-block', 'bypass', 'region', 'landmark-one-main', 'landmark-no-duplicate-main',
         'landmark-no-duplicate-banner', 'landmark-no-duplicate-contentinfo', 'landmark-main-is-top-level',
         'landmark-banner-is-top-level', 'landmark-contentinfo-is-top-level', 'landmark-unique',
         'document-title', 'html-has-lang', 'html-lang-valid', 'page-has-heading-one', 'heading-order', 'empty-heading',
         'image-alt', 'svg-img-alt', 'role-img-alt', 'link-name', 'button-name', 'label', 'list', 'listitem',
         'duplicate-id-aria', 'meta-viewport', 'aria-allowed-attr', 'aria-valid-attr', 'aria-valid-attr-value',
         'aria-required-attr', 'aria-roles', 'frame-title', 'td-headers-attr', 'th-has-data-cells']

# A picture that is shown too small to read: its letters have 8 points or more, at 100 pixels an inch, so that two
# thirds of its size leave them more than 7 pixels high.
small_pictures = '''() => [...document.querySelectorAll('main img')].map((e, i) => {
    const share = e.getBoundingClientRect().width / e.naturalWidth
    return share && share < 0.64 ? `picture ${i + 1} is shown at ${share.toFixed(2)} of its size` : ''
}).filter(Boolean)'''

# Code that has to be scrolled sideways hides what it says. Commands with words beside them may: their columns help.
cut_code = '''() => [...document.querySelectorAll('main pre > code.python')]
    .filter(e => [e.parentElement, e.closest('div.sourceCode') || e]
        .some(box => box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).display !== 'inline'))
    .map(e => `code is wider than its box: ${e.textContent.trim().slice(0, 40)}`)'''

# On a desk an equation is seen whole.
cut_equations = '''() => [...document.querySelectorAll('main math[display="block"]')]
    .filter(e => e.parentElement.scrollWidth > e.parentElement.clientWidth + 1)
    .map(e => `equation is wider than its box: ${e.textContent.trim().slice(0, 40)}`)'''

# One link at most is the open page, and it is.
not_current = '''() => [...document.querySelectorAll('[aria-current="page"]')]
    .filter((e, i) => i || e.pathname !== location.pathname)
    .map(e => `is not the open page: ${e.textContent.trim()}`)'''

brightness = '''() => {
    const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number)
    return (0.299 * r + 0.587 * g + 0.114 * b) / 255
}'''


class Watch:
    "What a page says and asks for while it is looked at"

    def __init__(self, page, scheme: str, host: str):
        self.found: list[str] = []
        self.scheme, self.host = scheme, host
        page.on('console', lambda message: self.note(f'console: {message.text}') if message.type == 'error' else None)
        page.on('pageerror', lambda error: self.note(f'script: {error}'))
        page.on('request', self.asked)

    def note(self, fault: str) -> None:
        "Add a fault with the theme in which it shows, once"
        if f'{self.scheme}: {fault}' not in self.found: self.found.append(f'{self.scheme}: {fault}')

    def asked(self, request) -> None:
        "Nobody but the pages' own server may be asked"
        parts = urlsplit(request.url)
        if parts.scheme.startswith('http') and parts.netloc != self.host: self.note(f'asks another host: {request.url}')


def page_faults(chrome, url: str, expected: int | None = None, axe_rules: list[str] = rules) -> list[str]:
    "What is wrong with a page, in the light and in the dark, on a desk and on a phone"
    found: list[str] = []
    for scheme in ('light', 'dark'):
        desk = {'width': 1280, 'height': 900}
        context = chrome.new_context(viewport=desk, color_scheme=scheme, reduced_motion='reduce')
        page = context.new_page()
        watch = Watch(page, scheme, urlsplit(url).netloc)
        page.goto(url, wait_until='load')
        if (page.evaluate(brightness) < 0.5) != (scheme == 'dark'): watch.note('is not what it should be')
        page.add_script_tag(path=axe)
        for look in (cut_equations, cut_code, not_current):
            for fault in page.evaluate(look): watch.note(fault)
        for fault in page.evaluate(judged.replace('RULES', str(axe_rules))): watch.note(fault)
        if scheme == 'light':
            look_at_equations(page, watch, expected)
            look_on_a_phone(page, watch)
        context.close()
        found += watch.found
    return found


def look_at_equations(page, watch: Watch, expected: int | None) -> None:
    "They are there, as MathML, and have a size"
    seen = page.evaluate(equations)
    if expected is not None and seen['there'] != expected:
        watch.note(f"{seen['there']} equations as MathML, where the source has {expected}")
    if seen['raw']: watch.note(f"{seen['raw']} equations are not MathML")
    if seen['flat']: watch.note(f"{seen['flat']} equations are not visible")


def look_on_a_phone(page, watch: Watch) -> None:
    "Nothing sticks out to the right, code is seen whole, and pictures are large enough to read"
    page.set_viewport_size({'width': phone, 'height': 844})
    wide = page.evaluate('document.documentElement.scrollWidth')
    for fault in page.evaluate(sticking_out, phone): watch.note(f'on a phone, {fault}')
    if wide > phone: watch.note(f'on a phone, the page is {wide} wide')
    for fault in page.evaluate(small_pictures) + page.evaluate(cut_code): watch.note(f'on a phone, {fault}')
