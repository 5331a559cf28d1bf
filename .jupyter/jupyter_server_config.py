"""Clean a notebook when it is saved, as nbdev's own hook does. `make lab` adds this folder to JupyterLab's search path,
and the reader's own configuration stays as it is. Where nbdev is missing, notebooks are saved as they are."""


def nbdev_clean_jupyter(**kwargs):
    try: from nbdev.clean import clean_jupyter
    except ModuleNotFoundError: return
    clean_jupyter(**kwargs)


c.ContentsManager.pre_save_hook = nbdev_clean_jupyter  # noqa: F821 (Jupyter provides `c`)
