# The front door: `make demo` shows the solvers at work, `make test` proves them; `make help` lists the rest.
# Everything happens in .venv, which is reinstalled only when pyproject.toml changes.

PYTHON      ?= python3
VENV        ?= .venv
BIN         := $(VENV)/bin
PYTEST_ARGS ?= -n 2 --dist loadfile

.PHONY: help demo test lint types pytest test-slow test-gpu test-sanitize test-boundscheck docs \
        bench-cutest bench-libsvm bench-pde bench-ot bench-linear bench-coordinate report clean
.NOTPARALLEL:

help:
	@echo "make demo              install, then run every solver on a real problem next to its peers; writes report.html"
	@echo "make test              install the test extra, then lint, types, documentation and tests"
	@echo "make lint | types | docs | pytest        the parts of 'make test'"
	@echo "make test-slow         the tests marked slow"
	@echo "make test-sanitize     CUDA kernel bodies as C++ under the address, undefined-behaviour and thread sanitizers"
	@echo "make test-boundscheck  Numba kernels with bounds checking"
	@echo "make test-gpu          the tests that need a CUDA device"
	@echo "make bench-cutest | bench-libsvm | bench-pde | bench-ot | bench-linear | bench-coordinate    long benchmarks"
	@echo "make report            the page of the recorded benchmarks"
	@echo "make clean             remove what was built (keeps .venv and recorded runs)"

# --- installation ---------------------------------------------------------------------------------------------

# A comma in the text of a call would end its argument; in a variable it does not.
DEMO_EXTRAS := cutest,bench

# $(call install,EXTRAS): an editable installation, with the time it took (the demo promises it apart).
define install
	@$(PYTHON) -c 'import sys; sys.exit("numopt needs Python 3.11 or newer; try: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "Installing numopt into $(VENV) with the extras $(1); a first time takes a few minutes ..."
	@start=$$(date +%s) && $(PYTHON) -m venv $(VENV) \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(1)]" \
	  && echo "Installation took $$(( $$(date +%s) - start )) s."
endef

$(VENV)/.installed-demo: pyproject.toml
	$(call install,$(DEMO_EXTRAS))
	@touch $@

# The test extra holds all that the demo needs, so that a demo after it installs nothing.
$(VENV)/.installed-test: pyproject.toml
	$(call install,test)
	@touch $(VENV)/.installed-demo $@

# --- the two commands -----------------------------------------------------------------------------------------

demo: $(VENV)/.installed-demo
	$(BIN)/numopt bench quick --fresh --report report.html

# pytest comes last: its closing line is the verdict.
test: lint types docs pytest

# --- parts of `make test` -------------------------------------------------------------------------------------

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

# Static checkers do not see the import hook of an editable installation: give mypy a folder of links.
types: $(VENV)/.installed-test
	@mkdir -p build/typing/numopt
	@for k in kernels problems bench; do ln -sfn ../../../$$k build/typing/numopt/$$k; done
	$(BIN)/mypy

# The tables of the benchmark page are committed; they must be what the recorded runs give.
docs: $(VENV)/.installed-test
	$(BIN)/numopt report --docs docs/ --check
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "Documentation: docs/_build/html/index.html"

pytest: $(VENV)/.installed-test
	$(BIN)/pytest $(PYTEST_ARGS) -m "not slow and not gpu" --cov --cov-report=term:skip-covered

# --- further legs ---------------------------------------------------------------------------------------------

test-slow: $(VENV)/.installed-test
	$(BIN)/pytest -m "slow and not gpu"

test-gpu:
	$(BIN)/pytest -m gpu

test-sanitize: $(VENV)/.installed-test
	NUMOPT_SANITIZE=1 $(BIN)/pytest $(PYTEST_ARGS) tests/emulator

# The flag is not part of Numba's cache key: without a cache of its own this leg would reuse unchecked kernels.
test-boundscheck: $(VENV)/.installed-test
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(CURDIR)/build/numba-boundscheck $(BIN)/pytest $(PYTEST_ARGS) -m "not gpu" tests/kernels

# --- benchmarks -----------------------------------------------------------------------------------------------

bench-cutest: $(VENV)/.installed-demo
	$(BIN)/numopt bench cutest

bench-libsvm: $(VENV)/.installed-demo
	$(BIN)/numopt bench libsvm-constrained

bench-pde: $(VENV)/.installed-demo
	$(BIN)/numopt bench pde

bench-ot: $(VENV)/.installed-demo
	$(BIN)/numopt bench ot
	$(BIN)/numopt bench ot-paper

bench-linear: $(VENV)/.installed-demo
	$(BIN)/numopt bench linear
	$(BIN)/numopt bench linear-paper

# The peers are an extra of their own: whoever has not installed it sees scikit-learn and SciPy alone.
bench-coordinate: $(VENV)/.installed-demo
	$(BIN)/numopt bench libsvm
	$(BIN)/numopt bench coordinate
	$(BIN)/numopt bench coordinate-paper

report: $(VENV)/.installed-demo
	$(BIN)/numopt report

clean:
	rm -rf build dist *.egg-info docs/_build docs/auto_examples docs/api/generated docs/sg_execution_times.rst
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov report.html
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
