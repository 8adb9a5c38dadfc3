# On a fresh machine: `make serve` runs the service on the shipped model, `make test` checks everything.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: serve test lint types browser node clean
.DEFAULT_GOAL := serve

serve: $(VENV)/serve.installed
	$(BIN)/python -m service

test: $(VENV)/dev.installed browser node lint types
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

# The browser tests drive the system's Chromium.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
	  command -v apt-get >/dev/null || { echo "install Chromium for the browser tests"; exit 1; }; \
	  [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; \
	}

# One test makes a client in TypeScript, by tools that npm installs into pytest's cache.
node:
	@command -v npm >/dev/null || { \
	  command -v apt-get >/dev/null || { echo "install Node.js and npm for the TypeScript client's test"; exit 1; }; \
	  [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nodejs npm; \
	}

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
