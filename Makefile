# The commands of this project. Each sets up what it needs; nothing but Python 3.11+, pip and make is expected.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup setup-dev demo serve test lint format bench screenshots lock clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 20

setup: $(VENV)/.ready  ## install Fleetward into .venv
setup-dev: $(VENV)/.ready-dev  ## the same, with what tests and lint need

demo: setup  ## tell the whole story live, then stay up
	@$(BIN)/fleetward demo

serve: setup  ## run the server on ./fleetward-data
	@$(BIN)/fleetward serve

test: setup-dev  ## all tests
	$(BIN)/pytest -n 3 --dist loadfile -rR

lint: setup-dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev  ## how fast Fleetward is, next to its peers, measured here (ARGS="--quick", ARGS="--only gateway tls")
	$(BIN)/python benchmarks/bench.py $(ARGS)

screenshots: setup-dev  ## the pictures of the console in docs/images, from the demo (needs Chromium; about two minutes)
	$(BIN)/python docs/make_screenshots.py

lock: setup-dev  ## pin anew what the set-up installs
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --extra dev pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "'$(PYTHON)' does not run, or is older than Python 3.11; name another with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: $(VENV)/bin/python requirements.lock pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@
