# `make demo` and `make test` start from git, Python >= 3.10 and make alone.
PYTHON ?= python3
# Threads that spin while they wait make a busy machine twenty times slower.
export OMP_WAIT_POLICY ?= passive
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test lint docs wheel bench test-distributed fuzz crash minkowski install clean

demo: install
	$(BIN)/python tools/demo.py

test: install
	$(BIN)/python -m pytest -n 2 -m "not distributed"

test-distributed: install
	$(BIN)/python -m pytest -m distributed

fuzz: install
	$(BIN)/python -m tests.fuzz --minutes 10

crash: install
	$(BIN)/python -m tests.crash

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install
	$(PIP) install -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: install
	rm -rf dist
	$(BIN)/python -m build --no-isolation

bench: install
	$(PIP) install -c constraints.txt -e '.[bench]'
	$(BIN)/python tools/benchmark.py all

install: $(BIN)/.installed

$(BIN)/.installed: setup.cfg constraints.txt pyproject.toml
	@sh tools/system_libraries.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[all,test]'
	touch $@

minkowski: install
	sh tools/minkowski.sh $(abspath $(BIN)/python)

clean:
	rm -rf $(VENV) build dist *.egg-info
