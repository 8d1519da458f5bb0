# Everything runs from one virtual environment with the versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
# Test processes; each runs single-threaded.
JOBS ?= 2

BIN := $(abspath $(VENV))/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs

# For the shell scripts in tools/, which call `python`.
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: gpu stress help install quickstart quickstart-cls test lint format type-check coverage bench docs \
    site figures

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/; s/\$$\(VENV\)/$(subst /,\/,$(VENV))/' | expand -t 16

install: $(STAMP)  ## create $(VENV) and install the package, editable, with its test tools

# The stamp is the last thing written and the first thing removed: an installation that was
# interrupted has none and starts from an empty environment.
$(STAMP): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v >= (3, 10) else \
	    f"PYTHON: expected Python 3.10 or newer, got {v[0]}.{v[1]}. Try: make PYTHON=python3.11")'
	@if test -f $@; then rm $@; else $(PYTHON) -m venv --clear $(VENV); fi
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt setuptools
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt \
	    --no-build-isolation -e '.[tests]'
	@touch $@

quickstart: install  ## demo data, CE / log-prior CE / GPaCo, table and pictures (FORCE=1 repeats)
	$(BIN)/paco-seg compare --suite quickstart $(if $(FORCE),--force)

quickstart-cls: install  ## the same for classification, on long-tailed digits
	$(BIN)/paco-seg compare --suite quickstart-cls $(if $(FORCE),--force)

test: install lint type-check  ## style, types, layers, then all tests (CPU, offline)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: install  ## ruff, spelling, and the layers core < engine < seg | cls < comparison < cli
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo --no-cache

format: install  ## rewrite the sources in the house style
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

type-check: install  ## mypy: strict on paco_seg.core, gradual elsewhere
	$(BIN)/mypy

coverage: install  ## line and branch coverage of the tests
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --cov --cov-report=term

docs: install  ## tables of the documents, and the site (CHECK=1 only compares the tables)
	$(BIN)/python docs/build.py $(if $(CHECK),--check)
	$(if $(CHECK),,$(MAKE) site)

site: $(DOCS_STAMP)  ## the documentation site in build/site, warnings are errors
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs . build/site
	@echo build/site/index.html

# What builds the site is installed when somebody asks for it: tests do without.
$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt \
	    --no-build-isolation -e '.[docs]'
	@touch $@

figures: install  ## the figures of docs/how_it_works.md and docs/evidence.md
	$(BIN)/python docs/figures.py

gpu:  ## everything that has to be done on a GPU, with PYTHON as it is (torch and Triton), < 8 min
	PYTHONPATH=. $(PYTHON) benchmarks/gpu.py

# Its own search path: it shares the helpers of the tests.
stress: install  ## what survives: kills, full disks, strangers' files, ... < 60 min (STRESS=short)
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 PYTHONPATH=.:tests \
	    $(BIN)/python -m stress

bench: install  ## speed and memory of the loss; results go to benchmarks/results/
	@for script in benchmarks/bench_*.py; do \
	    echo "$$script"; $(BIN)/python "$$script" || exit 1; done
