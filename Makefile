# The targets people guess. Each sets up what it needs (tools/bootstrap), and says so in one line where
# it may not. Programs that tests and demo start are taken down again, also after Ctrl-C.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
TESTBED := $(BIN)/python tools/testbed.py
RECORDS := build/requirements
# Two cores are the smallest machine we expect; more are used where they are. Tests on real parts wait half of
# their time for engines, servers and agents: there are half as many workers again as cores.
CORES := $(shell nproc 2>/dev/null || echo 2)
WORKERS ?= $(shell echo $$(($(CORES) + $(CORES) / 2)))

.PHONY: help demo test check static unit integration nightly requirements bench clean setup setup-demo setup-test

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: setup-demo ## a fleet manager, a device and an application, in one terminal
	@$(TESTBED) run --for demo -- $(BIN)/edgewright demo

test: setup-test ## every check and every test, on real parts
	@$(MAKE) --jobs=2 --output-sync=target static unit
	@$(MAKE) integration

check: ## the quick ones: static checks and unit tests
check: static unit

static: setup ## format, lint, types, layers
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup ## tests without sockets and processes
	$(PYTEST) -q -n 2 --record-requirements $(RECORDS)/unit.json tests/unit tests/contract

integration: setup-test ## tests on real servers, registries and container engines
	$(TESTBED) run -- $(PYTEST) -n $(WORKERS) --record-requirements $(RECORDS)/integration.json \
	    tests/end_to_end tests/integration

nightly: setup-test ## what takes long: every cell of the kill matrix, and hundreds of kills of real containers
	$(TESTBED) run -- $(PYTEST) -n $(WORKERS) -m "nightly or not nightly" \
	    --kill-matrix docs/reference/kill-matrix.md tests/integration/test_kill_matrix.py \
	    tests/integration/test_kill_containers.py tests/integration/test_kill_stress.py

requirements: ## one line per requirement: id, passing tests that carry it, text (of the last make test)
requirements: setup $(RECORDS)/unit.json $(RECORDS)/integration.json
	@PYTHONPATH=tests $(BIN)/python -m support.requirements $(RECORDS)/*.json

$(RECORDS)/unit.json:
	@$(MAKE) unit >&2

$(RECORDS)/integration.json:
	@$(MAKE) integration >&2

bench: setup ## measure what is promised, beside the goals
	@$(BIN)/python benchmarks/run.py
	@$(BIN)/python benchmarks/pages.py

clean: ## remove everything these targets made in this folder
	rm -rf build dist .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +

setup:
	@tools/bootstrap python

setup-demo:
	@tools/bootstrap demo

setup-test:
	@tools/bootstrap test
