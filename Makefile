# make install   set up .venv with pinned versions (only what is missing or has changed)
# make demo      verify two small networks that come with netproof
# make benchmark-demo   train, choose images, make properties, verify and tabulate them, minutes
# make test      all tests                           (ARGS="-k name" is passed on to pytest)
# make campaign  engines against one another on random networks, and hostile questions about integer networks,
#                       minutes   (ARGS="--seed 7 --count 5000", ARGS="--parts questions", ARGS="--parts sets" for deployed networks)
# make campaign-float   the engine of float networks against sampling, HiGHS and rational arithmetic, with hostile
#                       questions (ARGS="--parts questions"); resumable, hours
#                       in full, NETPROOF_DATA names the published data (ARGS="--parts random --stop-after 600")
# make campaign-certificates   certificates of false claims about float networks, and damaged ones, against the checker
# make campaign-runtimes   networks as deployed against LiteRT, TensorFlow Lite Micro and onnxruntime, bit for bit; minutes
#                       (ARGS="--inputs 1000 --files 500"), NETPROOF_DATA names the real networks
# make mutants   which small changes of the code does no test notice? resumable, hours in full
#                       (ARGS="bounds/deciding/exact.py --stop-after 600" tries one file; docs/mutants.md)
# make queries   what twelve queries cost, in subproblems and processor time; a minute
#                       (ARGS="--compare tests/performance/counts.json" shows what a change does to the search)
# make coverage  which lines tests/unit runs, in coverage-output/html; fails below the floor in pyproject.toml
#                       (ARGS=tests measures all tests, which is more)
# make package   wheel and source distribution in dist/, each tried in a fresh environment (docs/releasing.md)
# make lint      what CI checks besides the tests
# make docs      the documentation as a site, in site/; fails where a link or a reference leads nowhere
# make man       docs/man/netproof.1, from the parser; a test says when it is stale
# make format    let ruff format and fix
# make clean     remove everything made here, .venv included
#
# PYTHON=/path/to/python chooses the interpreter for .venv: 3.10, 3.11, 3.12 or 3.13.

PYTHON ?= python3
ARGS ?=
# what .venv has beside netproof's own dependencies
EXTRAS ?= dev
# processes the tests run in: two finish sooner on any machine, more want more memory
PROCESSES ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt

.DEFAULT_GOAL := install
.DELETE_ON_ERROR:
.PHONY: install demo benchmark-demo test campaign campaign-float campaign-certificates campaign-runtimes mutants queries coverage package lint docs man format clean

install: $(STAMP)

# torch comes first and by its exact name: resolved together with the rest, pip may look at other
# releases of it, each of which brings gigabytes. setuptools comes along and builds netproof itself.
$(STAMP): constraints.txt pyproject.toml
	@if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	  $(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null || { \
	    echo "error: $(PYTHON) is $$($(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null || echo missing), netproof needs Python 3.10 to 3.13;" \
	      "name one, for example: make install PYTHON=python3.12" >&2; exit 2; }; \
	  echo "making $(VENV) with $$($(PYTHON) --version)"; \
	  rm -rf $(VENV); $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }; fi
	@echo "installing into $(VENV): minutes the first time, most of them for torch"
	@$(PIP) torch==2.13.0 setuptools
	@$(PIP) --quiet --no-build-isolation --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/netproof demo

benchmark-demo: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python examples/benchmark_demo.py $(ARGS)

test: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) $(ARGS)

campaign: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/differential/campaign.py $(ARGS)

campaign-float: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/differential/float_campaign.py $(ARGS)

campaign-certificates: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/differential/evidence_campaign.py $(ARGS)

campaign-runtimes: $(STAMP)
	@cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m differential.runtime_campaign $(ARGS)

mutants: $(STAMP)
	@$(BIN)/python -c 'import mutmut' 2>/dev/null || $(PIP) --quiet --no-build-isolation --editable '.[dev,mutants]'
	@OMP_NUM_THREADS=1 $(BIN)/python tests/mutation/run.py $(ARGS)

queries: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/performance/run.py $(ARGS)

coverage: $(STAMP)
	@rm -rf coverage-output
	@OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -n $(PROCESSES) $(or $(ARGS),tests/unit)
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage html --quiet --fail-under=0 --directory coverage-output/html
	@$(BIN)/python -m coverage report

package: $(STAMP)
	@$(BIN)/python -c 'import build' 2>/dev/null || $(PIP) --quiet build
	@.ci/package

lint: $(STAMP)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

docs: $(STAMP)
	@$(BIN)/python -c 'import mkdocs, material, mkdocstrings' 2>/dev/null || $(PIP) --quiet --no-build-isolation --editable '.[dev,docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

man: $(STAMP)
	@$(BIN)/python docs/_extensions/man_page.py

format: $(STAMP)
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

clean:
	rm -rf $(VENV) build dist site src/*.egg-info demo-output benchmark-demo-output campaign-output mutants-output coverage-output .nox .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +
