"""Clean a notebook when it is saved, as nbdev's own hook does. `make lab` adds this folder to JupyterLab's search path,
and the reader's own configuration stays as it is. Where nbdev is missing, notebooks are saved as they are."""

WIDGET = 'application/vnd.jupyter.widget-view+json'


def drop_widgets(model):
    """Widgets live as long as their kernel: saved, they would be an empty box on the docs site, and their ids a
    difference in every commit."""
    if model.get('type') != 'notebook' or not model.get('content'): return
    model['content']['metadata'].pop('widgets', None)
    for cell in model['content']['cells']:
        if 'outputs' in cell: cell['outputs'] = [o for o in cell['outputs'] if WIDGET not in o.get('data', {})]


def nbdev_clean_jupyter(**kwargs):
    drop_widgets(kwargs['model'])
    try: from nbdev.clean import clean_jupyter
    except ModuleNotFoundError: return
    clean_jupyter(**kwargs)


c.ContentsManager.pre_save_hook = nbdev_clean_jupyter  # noqa: F821 (Jupyter provides `c`)
