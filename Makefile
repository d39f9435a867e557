# Two commands: `make demo` shows what stoker does, `make test` proves it. Both need only Python 3.11 or later and make.

PYTHON ?= python3
VENV ?= .venv
# Two tests at a time: much of their time is waiting. A file's tests stay together, in one process.
PYTEST = $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Tests start hundreds of processes: each would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick lint clean

demo: $(VENV)/.demo
	$(BIN)/stoker demo

test: $(VENV)/.test lint
	$(PYTEST) -m "not alone"
	$(BIN)/python -m pytest -q -m alone

quick: $(VENV)/.test
	$(PYTEST) -m "not slow"

lint: $(VENV)/.test
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[demo]"
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) --editable ".[demo,jax,torch,tensorflow,report,test]"
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
