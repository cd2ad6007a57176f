# Everything here works on a machine that has make and Python 3.11 or newer, and nothing else: each target first
# makes .venv and installs into it what it needs. The second time that costs nothing.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two targets in one command share .venv, and two pips at once would spoil it.
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
# The first that runs: a version manager puts commands on the PATH that do nothing but complain.
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python $(NEW_ENOUGH) 2>/dev/null && command -v $$python && break; done)
# No cache outside the tree; with the stamps below, nothing is installed twice anyway.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input --no-cache-dir

# Every run imports the package in a fresh interpreter, which takes twice as long without bytecode.
unexport PYTHONDONTWRITEBYTECODE

CONFIG ?= configs/wordcount.yaml
# What asks a shell is asked when a recipe uses it, and not for each target: `?=` and `=`, no `:=`.
CPUS = $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# Two more than there are cores: many tests wait for processes.
JOBS ?= $(shell expr $(CPUS) + 2)
SEEDS ?= 1000
SEED ?= 0
MINUTES ?= 1
COMPILED := build/compiled
# Where Python's headers and a C compiler are, the benchmarks measure the compiled core.
CORE ?= $(shell command -v cc >/dev/null && $(BIN)/python -c $(HAS_HEADERS) 2>/dev/null && echo compiled || echo python)
HAS_HEADERS := 'import os, sysconfig; open(os.path.join(sysconfig.get_path("include"), "Python.h")).close()'
SOURCES := $(wildcard $(addsuffix /*.py,actorflow actorflow/* actorflow/*/* actorflow/*/*/*))
# What tests look at besides the package, to be copied beside a compiled one.
BESIDE := CHANGELOG.md LICENSE Makefile README.md benchmarks configs docs examples hatch_build.py pyproject.toml tests

.PHONY: help
help:  ## Show this list.
	@awk -F ':.*  ## ' '/^[a-z][a-z-]*:.*  ## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/run.stamp  ## Run a topology: CONFIG=configs/wordcount.yaml, ARGS='--set …'.
	$(BIN)/actorflow run $(CONFIG) $(ARGS)

.PHONY: test
test: $(VENV)/dev.stamp  ## Run the tests: TESTS=tests/…, JOBS=2, ARGS='-k …'.
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS) $(TESTS)

.PHONY: check
check: $(VENV)/dev.stamp  ## Lint, formatting, types, and who may import whom.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: bench
bench: $(VENV)/bench.stamp  ## Run the benchmarks, with a report in build/bench: ARGS='--quick …', CORE=compiled or python.
	@$(MAKE) --no-print-directory bench-$(CORE)

.PHONY: bench-compiled
bench-compiled: $(VENV)/bench.stamp compiled
	PYTHONPATH=$(CURDIR)/$(COMPILED)/tree $(BIN)/actorflow bench --output build/bench $(ARGS)

.PHONY: bench-python
bench-python: $(VENV)/bench.stamp
	$(BIN)/actorflow bench --output build/bench $(ARGS)

.PHONY: compiled
compiled: $(COMPILED)/wheel.stamp  ## Build a wheel whose hot modules are compiled, into build/compiled; needs a C compiler.
	rm -rf $(BESIDE:%=$(COMPILED)/tree/%)
	cp -R $(BESIDE) $(COMPILED)/tree

.PHONY: test-compiled
test-compiled: compiled  ## Run the tests with what `make compiled` has built: TESTS=tests/…, ARGS='-k …'.
	cd $(COMPILED)/tree && PYTHONPATH="$$PWD" $(CURDIR)/$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS) $(TESTS)

.PHONY: simulate
simulate: $(VENV)/dev.stamp  ## Run whole topologies under the simulator: SEEDS=1000.
	$(BIN)/python -m actorflow.testing.campaign --seeds $(SEEDS) $(ARGS)

.PHONY: deliveries
deliveries: $(VENV)/dev.stamp  ## Simulate deliveries under crashes of stages and host: SEEDS=1000.
	$(BIN)/python -m tests.chaos.campaign --seeds $(SEEDS) $(ARGS)

.PHONY: chaos
chaos: $(VENV)/dev.stamp  ## Real processes under kills, stops, full disks: MINUTES=1, SEED=0.
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) --seed $(SEED) $(ARGS)

.PHONY: clean
clean:  ## Remove .venv, caches and build products.
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name .git -prune -o -type d -name __pycache__ -exec rm -rf {} +

# A .venv whose interpreter is gone counts as none: make follows the link, and rebuilds.
$(BIN)/python:
	@python='$(PYTHON)'; \
	test -n "$$python" || { echo 'actorflow needs Python 3.11 or newer, and there is none on the PATH.' \
		'Name one: make PYTHON=/path/to/python3.11' >&2; exit 1; }; \
	"$$python" $(NEW_ENOUGH) || { echo "actorflow needs Python 3.11 or newer;" \
		"$$python is $$("$$python" -V 2>&1)." >&2; exit 1; }; \
	echo "$$python -m venv $(VENV)"; "$$python" -m venv --clear $(VENV)

$(VENV)/run.stamp: pyproject.toml $(BIN)/python
	$(PIP) install -e .
	@touch $@

$(COMPILED)/wheel.stamp: $(SOURCES) hatch_build.py pyproject.toml | $(VENV)/dev.stamp
	rm -rf $(COMPILED)
	ACTORFLOW_COMPILED=1 $(PIP) wheel --no-deps --wheel-dir $(COMPILED) .
	mkdir $(COMPILED)/tree
	$(BIN)/python -m zipfile -e $(COMPILED)/*.whl $(COMPILED)/tree
	@touch $@

$(VENV)/bench.stamp: $(VENV)/dev.stamp
	$(PIP) install -e '.[dev,bench]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml $(BIN)/python
	$(PIP) install -e '.[dev]'
	@touch $(VENV)/run.stamp $@
