"""Drive a real JupyterLab in a browser: open a notebook, run all its cells, look at what they gave, save it.

One server and one browser serve for all notebooks; `run_all` keeps three of them running at a time. The server works on
a copy of the project, with nbdev's hook that cleans a notebook when it is saved, as `make lab` has it.
"""
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

quiet = {     # nothing asks for news or updates, and every cell is in the page, not only those that are on the screen
    '@jupyterlab/apputils-extension/notification': {'fetchNews': 'false', 'checkForUpdates': False},
    '@jupyterlab/notebook-extension/tracker': {'windowingMode': 'none', 'recordTiming': False},
}


@contextmanager
def server(project: Path, home: Path) -> Iterator[str]:
    "JupyterLab on a copy of the project, with settings of its own; its address"
    for name, values in quiet.items():
        path = home/'settings'/f'{name}.jupyterlab-settings'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding='utf-8')
    env = {**os.environ, 'PYTHONPATH': str(project), 'JUPYTER_CONFIG_PATH': str(project/'.jupyter'),
           'JUPYTER_CONFIG_DIR': str(home/'config'), 'JUPYTER_RUNTIME_DIR': str(home/'runtime'),
           'JUPYTER_DATA_DIR': str(home/'data'), 'JUPYTERLAB_SETTINGS_DIR': str(home/'settings'),
           'JUPYTERLAB_WORKSPACES_DIR': str(home/'workspaces'), 'IPYTHONDIR': str(home/'ipython')}
    env.pop('MPLBACKEND', None)    # the notebook's own, so that pictures are shown
    command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--ServerApp.port=0', '--ServerApp.ip=127.0.0.1',
               '--IdentityProvider.token=', '--ServerApp.password=', '--ServerApp.allow_root=True',
               '--LabApp.expose_app_in_browser=True', '--LabApp.news_url=',
               '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate', f'--ServerApp.root_dir={project}']
    with (home/'log').open('w') as log:
        process = subprocess.Popen(command, cwd=project, env=env, stdout=log, stderr=subprocess.STDOUT)
    try: yield address(process, home)
    finally:
        process.terminate()
        try: process.wait(timeout=20)
        except subprocess.TimeoutExpired: process.kill()


def address(process: subprocess.Popen, home: Path, patience: float = 60) -> str:
    "Where the server answers, once it does"
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        for path in (home/'runtime').glob('jpserver-*.json'):
            try: found = json.loads(path.read_text(encoding='utf-8'))['url'].rstrip('/')
            except ValueError: continue    # half written
            try:
                with urlopen(f'{found}/api/status', timeout=5): return found
            except URLError: pass
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab does not start:\n{(home/'log').read_text(encoding='utf-8')[-2000:]}")


def opened(chrome, base: str):
    "A page with JupyterLab in it, ready for commands"
    page = chrome.new_context(viewport={'width': 1500, 'height': 1000}).new_page()
    page.goto(f'{base}/lab?reset', wait_until='load')
    page.wait_for_function('window.jupyterapp && window.jupyterapp.restored', timeout=90_000)
    page.evaluate('() => window.jupyterapp.restored.then(() => null)')
    return page


# Opens a notebook, with a change to a cell if one is asked for, and runs all cells. The result is left in `window`,
# so that the caller can look after another notebook meanwhile.
run = '''([path, change]) => { window.done = null; (async () => {
    const app = window.jupyterapp
    const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook'})
    await panel.context.ready
    await panel.sessionContext.ready
    app.shell.activateById(panel.id)
    if (change) {
        const cells = panel.content.widgets.filter(cell => cell.model.type === 'code')
        const cell = cells.find(cell => cell.model.sharedModel.source.trim())
        cell.model.sharedModel.setSource(cell.model.sharedModel.source + change)
    }
    await app.commands.execute('notebook:run-all-cells')
    await new Promise(wake => setTimeout(wake, 300))     // the last outputs are drawn
    window.done = {faults: look(panel), cells: panel.content.widgets.length}
    await app.commands.execute('docmanager:save')
    await panel.sessionContext.shutdown()
    panel.dispose()
})().catch(error => window.done = {faults: [String(error)], cells: 0}).finally(() => window.over = true) }'''

# What is wrong with a notebook that was run: the code cells that did not run, errors, and outputs that cannot be seen
# whole: cut off after the first fifty, dropped because there were too many a second, or wider than the page.
look = '''() => { window.look = panel => {
    const faults = []
    panel.content.widgets.forEach((cell, number) => {
        if (cell.model.type !== 'code') return
        const source = cell.model.sharedModel.source.trim()
        const say = what => faults.push(`cell ${number}: ${what}: ${source.slice(0, 80)}`)
        if (source && !cell.model.executionCount) say('was not run')
        const outputs = cell.model.outputs.toJSON()
        for (const out of outputs) {
            if (out.output_type === 'error') say(`${out.ename}: ${out.evalue}`)
            const text = out.text ? [].concat(out.text).join('') : ''
            if (/IOPub (data|message) rate exceeded/.test(text)) say('gave more than the server passes on')
            if (out.name === 'stderr' && /Warning|Error/.test(text)) say(`complains: ${text.slice(0, 120)}`)
        }
        if (cell.node.querySelector('.jp-TrimmedOutputs')) say('has more outputs than are shown')
        const shown = [...cell.node.querySelectorAll('.jp-OutputArea-output')]
        if (!cell.outputHidden && shown.length < outputs.length) say(`shows ${shown.length} of ${outputs.length}`)
        for (const node of shown) {
            const [wide, seen] = [node.scrollWidth, node.clientWidth]
            if (wide > seen + 2) say(`is ${wide} wide, ${seen} are shown`)
            for (const image of node.querySelectorAll('img'))
                if (!image.complete || !image.naturalWidth) say('has a picture that is not shown')
        }
    })
    return faults
} }'''


class Run:
    "One notebook on its way through one page"

    def __init__(self, page, path: str, change: str = ''):
        self.page, self.path, self.start = page, path, time.monotonic()
        page.evaluate('() => { window.over = false }')
        page.evaluate(look)
        page.evaluate(run, [path, change])

    def over(self, patience: float) -> list[str] | None:
        "The faults, once it has ended"
        if self.page.evaluate('window.over'):
            found = self.page.evaluate('window.done')
            return found['faults'] + ([] if found['cells'] else ['has no cell'])
        return [f'Run All has not ended after {patience:.0f} s'] if time.monotonic() - self.start > patience else None


def run_all(chrome, base: str, paths: list[str], patience: float = 300, at_once: int = 3) -> dict[str, tuple]:
    "Run notebooks, three at a time; the faults of each, and the seconds that it took"
    waiting, running, found = list(paths), [], {}
    free = [opened(chrome, base) for _ in range(min(at_once, len(paths)))]
    while waiting or running:
        while waiting and free: running.append(Run(free.pop(), waiting.pop(0)))
        time.sleep(0.1)
        for one in list(running):
            if (faults := one.over(patience)) is None: continue
            found[one.path] = faults, round(time.monotonic() - one.start, 1)
            running.remove(one)
            if time.monotonic() - one.start < patience: free.append(one.page)
            else: free.append(opened(chrome, base))    # the old page still waits
    return found
