# On a fresh machine: `make serve` runs the service on the shipped model, `make test` checks everything.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: serve test lint types tools clean
.DEFAULT_GOAL := serve

serve: $(VENV)/serve.installed
	$(BIN)/captioner serve

test: $(VENV)/dev.installed tools lint types
	$(BIN)/python -m pytest

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.installed
	$(BIN)/mypy

# The marks are older than these files whenever something must be installed again.
$(VENV)/serve.installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/dev.installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# Chromium, nginx, promtool, Java and npm, from Debian if they are missing.
tools:
	@.ci/tools

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
