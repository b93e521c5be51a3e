# make demo     run the reference fleet on a simulated day
# make test     everything that CI runs
# make check    the same, without the slow tests
# make faults   fleets of workers under kill -9, frozen brokers, lost disks: the second part of make test
# make soak     the long forms of the fault and pattern tests: some hours, on a machine that has nothing else to do
# make bench    the benchmarks, as ratios
# make docs     build the documentation site into site/
# make venv     only set up .venv (every target above does it by itself)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := check

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.headrace-ready
PYTEST := $(BIN)/python -m pytest --doctest-modules src tests --ignore=src/headrace/cli/templates -n auto --dist loadfile

.PHONY: demo test check faults soak bench docs venv lint lock clean

demo: $(READY)
	@$(BIN)/python -m workers.demo

# pytest comes last: its closing line is the result. What puts whole fleets under faults has the machine for itself.
test: lint docs
	@$(PYTEST) -m "not faults"
	@$(BIN)/python -m pytest -m faults tests/kafka tests/parity

check: lint docs
	@$(PYTEST) -m "not slow and not faults"

faults: $(READY)
	@$(BIN)/python -m pytest -q -s -m faults tests/kafka tests/parity

soak: $(READY)
	@HEADRACE_SOAK=1 $(BIN)/python -m pytest -q -n auto tests/properties/test_patterns.py
	@HEADRACE_SOAK=1 $(BIN)/python -m pytest -q -s -m faults tests/kafka tests/parity

bench: $(READY)
	@$(BIN)/python -m benchmarks

# Not --quiet: it would hide the warnings from --strict too.
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict 2>&1 | sed '/^INFO/d'

venv: $(READY)

lint: $(READY)
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# A second run finds the stamp and installs nothing.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "headrace needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name another interpreter: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade
	@echo "setting up .venv (once; it takes some minutes)"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Needs uv; changes the pinned versions only where pyproject.toml makes it necessary.
lock:
	uv pip compile --quiet --all-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --universal --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf .venv site dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
