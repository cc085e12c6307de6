# One entry point for people and for CI. A fresh machine needs make and Python 3.11 to 3.13, nothing else.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
# The first Python that will do; say PYTHON=... for another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$python; break; }; done)
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
IMAGE ?= llm-gateway

.DEFAULT_GOAL := help
.PHONY: help run install compile test bench lint fmt build docker-build clean

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null || grep '##' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## Set up and serve on 127.0.0.1:8080 (ANONYMOUS=1: without keys; ARGS="--port 9000")
	@$(BIN)/python manage.py bootstrap --migrate $(if $(filter-out 0,$(ANONYMOUS)),--anonymous)
	@exec $(BIN)/python manage.py serve $(ARGS)

install: $(VENV)/.development ## Make .venv with everything that tests need

compile: install ## Compile the hot path to machine code (needs a C compiler; GATEWAY_COMPILED=1 uses it)
	@echo "Compiling the hot path (once, a minute or two) ..."
	@$(BIN)/python -m gateway_project.compiling

test: install lint ## Check style and types, run all tests that need no outside server (ARGS="-k drain")
	$(BIN)/python -m pytest $(ARGS)

lint: install ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: install ## Put the code in its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## Measure, with the hot path compiled where there is a C compiler (SOURCE=1: as it stands)
	@if [ -z "$(SOURCE)" ] && command -v cc >/dev/null; then \
		$(MAKE) --no-print-directory compile >/dev/null && GATEWAY_COMPILED=1 $(BIN)/python -m tests.bench $(ARGS); \
	else $(BIN)/python -m tests.bench $(ARGS); fi

build: install ## Make a wheel in dist/
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

docker-build: ## Make the container image
	docker build --tag $(IMAGE) .

clean: ## Remove what was made, but never data/
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and not found."; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt | $(VENV)/bin/python
	@echo "Installing what the gateway runs on (once) ..."
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.development: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	@echo "Installing what tests need (once) ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@ $(VENV)/.runtime
