# On a fresh machine: `make serve` runs the service on the shipped model, `make test` checks everything,
# `make check` what can be checked within a minute.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: serve check test fast lint types tools clean
.DEFAULT_GOAL := serve

serve: $(VENV)/serve.installed
	$(BIN)/captioner serve

check: $(VENV)/dev.installed
	$(MAKE) --jobs=2 --output-sync=target types lint fast

test: $(VENV)/dev.installed tools lint types
	$(BIN)/python -m pytest

# One thread: networks of a few units leave more nothing to do but to wait for each other, and for mypy beside them.
fast: $(VENV)/dev.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow and not browser'

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.installed
	$(BIN)/mypy

# The marks are older than these files whenever something must be installed again.
$(VENV)/serve.installed: requirements-serve.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/dev.installed: requirements-serve.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# Chromium, nginx, promtool, Java, npm and exiftool, from Debian if they are missing.
tools:
	@.ci/tools

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
