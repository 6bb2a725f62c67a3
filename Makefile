# Two commands to know: `make demo` and `make test`. `make help` lists the rest.
# Needs Python 3.11 or newer and nothing else; everything else goes into .venv and var/.

.DEFAULT_GOAL := help
.SUFFIXES:
.NOTPARALLEL:

# A Python that works, not just a name on the PATH: version managers leave names that only complain.
ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$python" && break; done)
endif

# Tools run as modules: a console script's first line cannot hold a path with spaces.
VENV := .venv/bin/python
RUN := $(VENV) -m

# These would lead Python out of .venv or out of this folder.
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH

# Without stored bytecode each of the demo's processes compiles every package anew, which doubles its start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: .dev  ## Make .venv and install everything for development

.PHONY: demo
demo: .demo  ## Run the whole service with a simulated Twilio; ONCE=1 stops after the first delivered message
	@exec $(RUN) dev.demo $(if $(filter-out 0,$(ONCE)),--once)

.PHONY: reset
reset: .python  ## Remove the data of the demo (var/)
	@exec "$(PYTHON)" -m dev.reset

.PHONY: check
check: lint  ## Run lint, types and unit tests: takes less than a minute
	@exec $(RUN) pytest tests/unit

# `auto` is twice the cores: tests wait for processes and timeouts half of the time.
.PHONY: test
test: lint  ## Run lint, types, unit, integration (SQLite and PostgreSQL) and end-to-end tests
	@exec $(RUN) pytest -n $(or $(WORKERS),auto) -m 'not deep' --durations 10 tests/unit tests/integration tests/e2e

.PHONY: test-deep
test-deep: lint  ## Run all of them with many more generated examples, and those that take minutes: before a release
	@TEST_DEEP=1 exec $(RUN) pytest -n $(or $(WORKERS),auto) --timeout 3600 tests/unit tests/integration tests/e2e

.PHONY: lint
lint: .dev  ## Check style, types, layers and spelling
	@$(RUN) ruff check --quiet
	@$(RUN) ruff format --check --quiet
	@$(RUN) mypy
	@.venv/bin/python -c 'from importlinter.cli import lint_imports_command as run; run()' --no-cache
	@$(RUN) codespell_lib

.PHONY: format
format: .dev  ## Rewrite the code in house style
	@$(RUN) ruff check --fix --quiet
	@$(RUN) ruff format

.PHONY: faults
faults: .dev  ## Kill, freeze and flush services under load; fail if a message is lost or doubled
	@exec $(RUN) tests.faults

.PHONY: bench
bench: .dev  ## Measure how fast this machine sends and receives
	@exec $(RUN) bench

.PHONY: openapi
openapi: .dev  ## Write openapi.json as the service serves it
	@exec $(RUN) smsapp openapi

.PHONY: audit
audit: .dev  ## Look for known vulnerabilities in the locked packages (needs the network); fails if it could not look
	@exec $(RUN) dev.supply_chain audit

.PHONY: sbom
sbom: .dev  ## Write what production is made of to build/sbom.cdx.json (CycloneDX)
	@exec $(RUN) dev.supply_chain sbom

# Versions stay as they are unless UPGRADE=1. The files may name no index: they must work with anyone's.
LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-emit-find-links --no-strip-extras --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
UV := $(shell command -v uv || echo .venv/bin/uv)

.PHONY: lock
lock: .dev  ## Pin the packages of requirements*.in with hashes; UPGRADE=1 takes newer versions
	@test -x "$(UV)" || $(RUN) pip install --quiet --require-hashes -r requirements-uv.txt
	@$(LOCK) requirements.in -o requirements.txt
	@$(LOCK) requirements-demo.in -o requirements-demo.txt
	@$(LOCK) requirements-dev.in -o requirements-dev.txt
	@$(LOCK) requirements-uv.in -o requirements-uv.txt
	@$(LOCK) tests/generators/requirements.in -o tests/generators/requirements.txt
	@$(RUN) dev.pin_extras requirements.txt requirements-demo.txt requirements-dev.txt requirements-uv.txt

# The environments: quick when there is nothing to do, so they run each time.
.PHONY: .python .demo .dev
.python:
	@test -n "$(PYTHON)" || { echo 'smsapp needs Python 3.11 or newer, and found none on the PATH.' >&2; \
	    echo 'Install one (https://www.python.org/downloads/), or name it: make demo PYTHON=/path/to/python3' >&2; \
	    exit 1; }

.demo .dev: .python
	@"$(PYTHON)" dev/bootstrap.py $(patsubst .%,%,$@)
