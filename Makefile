# Everything a clone needs, one command each: `make help` lists them.
# All paths are relative, so that a folder with spaces in its name works too.

PYTHON ?=
ARGS   ?=
BIN    := .venv/bin
STAMPS := .venv/.installed
# The package is installed again when what it asks for may have changed.
DATA   := settings.ini setup.py pyproject.toml
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help train fast bench test lab nbtest pytest oracle export clean minutes readme prepare check mutations export-check readme-check \
        wheel-check lint types dist docs docs-check pages-check lab-check browser-check hooks venv-clean FORCE

help:  ## list the commands
	@echo 'make COMMAND    (PYTHON=/path/to/python chooses the interpreter; 3.11 or newer)'
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

# ------------------------------------------------------------------------------------------------- for everybody

train: $(STAMPS)/run  ## train the character model on Python's own standard library (ARGS="--help" tells the options)
	$(BIN)/rnn_train $(ARGS)

fast: $(STAMPS)/fast  ## install the compiled kernels, which the commands use from then on

bench: $(STAMPS)/fast  ## measure speed against whatever else is installed (ARGS=--quick for a short one; `make oracle` installs the others)
	$(BIN)/rnn_bench $(ARGS)

test: nbtest pytest  ## run every notebook and every test (ARGS goes to pytest)

lab: $(STAMPS)/lab hooks  ## open the book in JupyterLab, with nbdev's hooks in place
	@$(BIN)/nbdev_trust
	JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" \
	    $(BIN)/jupyter lab --LabApp.default_url=/lab/tree/nbs/index.ipynb $(ARGS)

# --------------------------------------------------------------------------------------------------- for editing

prepare: export clean minutes readme  ## before a commit: export, clean, reading times, README and CONTRIBUTING

export: $(STAMPS)/dev  ## write the package from the notebooks
	$(BIN)/nbdev_export
	$(BIN)/python tools/door.py

clean: $(STAMPS)/dev  ## strip from the notebooks what does not belong in git
	$(BIN)/nbdev_clean

minutes: $(STAMPS)/dev  ## write on each page how long it takes to read
	$(BIN)/python tools/minutes.py

readme: $(STAMPS)/dev  ## write README.md from nbs/index.ipynb, and CONTRIBUTING.md from nbs/contributing.ipynb
	$(BIN)/python tools/readme.py

# Newer than their notebooks, so that nbdev leaves both files alone: tools/readme.py alone writes them.
docs: $(STAMPS)/dev  ## build the docs site into _docs (needs Quarto); a warning is a fault
	@command -v quarto >/dev/null || { echo 'make docs needs Quarto (1.7.34 is what the site is built with); `make docs-check` builds the site without it.' >&2; exit 1; }
	@touch README.md CONTRIBUTING.md
	rm -rf _proc _docs
	PYTHONPATH=tools $(BIN)/nbdev_docs >$(STAMPS)/docs.log 2>&1 || { cat $(STAMPS)/docs.log; exit 1; }
	@cat $(STAMPS)/docs.log
	@! grep -nE 'WARN|[Ww]arning|ERROR' $(STAMPS)/docs.log || { echo 'Quarto or nbdev warned' >&2; exit 1; }
	$(BIN)/python tools/docs_check.py --site _docs

dist: $(STAMPS)/dev  ## build the source archive and the wheel into dist
	rm -rf build dist
	$(BIN)/python -m build

# -------------------------------------------------------------------------------------------------- for checking

# Notebooks run side by side, and what they multiply is small: more threads would only fight over the cores.
nbtest pytest lab-check mutations: export OPENBLAS_NUM_THREADS ?= 1
nbtest pytest lab-check mutations: export OMP_NUM_THREADS ?= 1

nbtest: $(STAMPS)/dev  ## run every notebook
	$(BIN)/nbdev_test

pytest: $(STAMPS)/dev  ## run every test but those of the wheel and the browser, on up to four cores (ARGS="-n0 ..." for one)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

mutations: $(STAMPS)/dev  ## break the package on purpose, a line at a time; a test must notice (ARGS="--sample 30", or a WORD)
	$(BIN)/python tests/mutations.py $(ARGS)

oracle: $(STAMPS)/oracle  ## install PyTorch, ONNX Runtime and JAX, which tests and benchmark compare with

check: export-check readme-check docs-check lint types wheel-check  ## every check that CI makes beyond the tests

export-check: $(STAMPS)/dev  ## nbdev_export and nbdev_clean leave no difference
	$(BIN)/python tools/unchanged.py

readme-check: $(STAMPS)/dev  ## README.md and CONTRIBUTING.md say what their notebooks say
	$(BIN)/python tools/readme.py --check
	$(BIN)/python tools/minutes.py --check

docs-check: $(STAMPS)/dev  ## build the docs site without Quarto into _docs, and look for faults: links, pictures, citations
	$(BIN)/python tools/docs_check.py --keep _docs

browser-check: pages-check lab-check  ## look at every page and every notebook in a real browser

pages-check: docs-check $(STAMPS)/browser  ## every page of the site in Chromium: console, equations, phone, contrast, both themes
	$(BIN)/python -m pytest -m browser tests/test_pages.py -n auto --maxprocesses 4 --dist worksteal $(ARGS)

lab-check: $(STAMPS)/browser  ## every notebook in JupyterLab in Chromium: run all, no error, no cut output, clean when saved
	$(BIN)/python -m pytest -m browser tests/test_lab.py tests/test_explore.py $(ARGS)

lint: $(STAMPS)/dev  ## ruff
	$(BIN)/ruff check --quiet rnn_nbdev tests tools setup.py

types: $(STAMPS)/dev  ## mypy
	$(BIN)/mypy --no-error-summary

wheel-check: $(STAMPS)/dev  ## the built wheel installs and runs in new environments: lowest, pinned and newest requirements
	$(BIN)/python -m pytest -m wheel tests/test_wheel.py $(ARGS)

# ---------------------------------------------------------------------------------------------------- the set-up

hooks: $(STAMPS)/dev  ## tell git to merge notebooks cell by cell, and to trust them afterwards
	@sh tools/hooks.sh

venv-clean:  ## remove .venv; the next command makes it anew
	rm -rf .venv

# Made anew where it is missing or no longer runs, as after an upgrade of the system's Python.
ifneq ($(shell $(BIN)/python -c 'import sys, pip; print(sys.version_info >= (3, 11))' 2>/dev/null),True)
.venv/pyvenv.cfg: FORCE
endif
.venv/pyvenv.cfg:
	@sh tools/venv.sh '$(PYTHON)'
FORCE:

$(STAMPS)/run: $(DATA) .venv/pyvenv.cfg
	@echo 'installing rnn_nbdev and what it needs into .venv'
	@$(PIP) --editable .
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(DATA) .venv/pyvenv.cfg
	@echo 'installing what developing needs into .venv'
	@$(PIP) --editable '.[dev]'
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/run

$(STAMPS)/fast: $(STAMPS)/run
	@echo 'installing the compiled kernels into .venv'
	@$(PIP) --editable '.[fast]'
	@touch $@

$(STAMPS)/lab: $(STAMPS)/dev
	@echo 'installing JupyterLab into .venv'
	@$(PIP) --editable '.[dev,lab]'
	@touch $@

# axe-core is no Python package; its version is exact, because a newer one finds more. Chromium is what the machine has,
# in a container where nothing can be spoilt what Debian has.
$(STAMPS)/browser: $(STAMPS)/dev tools/chromium.sh
	@echo 'installing JupyterLab and what drives a browser into .venv'
	@$(PIP) --editable '.[dev,browser]'
	@npm install --prefix .venv/axe --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --silent axe-core@4.14.1
	@sh tools/chromium.sh
	@touch $@

$(STAMPS)/oracle: $(STAMPS)/dev
	@echo 'installing PyTorch, ONNX Runtime and JAX into .venv'
	@$(PIP) --editable '.[dev,oracle]'
	@touch $@
