# Everything runs in a virtual environment that make builds itself: nothing has to be activated.
# Another interpreter: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -X dev -m pytest
WORKERS ?= 4

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install-dev run test test-unit test-integration test-interop test-long debian-packages \
	lint lint-ruff lint-mypy lint-imports format bench fuzz docs clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One environment, two stamps: `run` needs little and is quick, `dev` holds what `run` needs and more.
$(VENV)/pyvenv.cfg:
	@scripts/make-venv '$(PYTHON)' '$(VENV)'

$(VENV)/.demo: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing into $(VENV), once: half a minute or so" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing what development needs into $(VENV), once: a minute or so" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.demo $@

$(VENV)/.fuzz: pyproject.toml | $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	@touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/.dev
	@echo "installing what the documentation needs into $(VENV), once" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

install-dev: $(VENV)/.dev ## Make .venv with all that development needs

run: $(VENV)/.demo ## Run the demo: two real SDKs against a local provider, no key, no network
	@$(BIN)/interlay demo

# The many come last, so that the closing line is theirs.
test: debian-packages ## Run all tests but the interop and the long ones
	@$(MAKE) --no-print-directory test-integration test-unit

test-unit: $(VENV)/.dev ## Run the quick tests on four workers
	$(PYTEST) -n $(WORKERS) $(wildcard tests/unit tests/recorded tests/properties tests/hostile tests/fuzz)

test-integration: $(VENV)/.dev ## Run the tests against real servers, disks and killed processes
	@scripts/pytest-some $(PYTEST) tests/services tests/faults

test-interop: $(VENV)/.dev ## Run the tests with other packages, interpreters and builds
	@scripts/pytest-some $(PYTEST) tests/interop

test-long: $(VENV)/.dev ## Run fuzzing, memory and endurance (many minutes)
	@scripts/pytest-some $(PYTEST) -m long --timeout 3600 tests

debian-packages:
	@scripts/debian-packages tests/services/apt.txt

lint: lint-ruff lint-mypy lint-imports ## Run every static check

lint-ruff: $(VENV)/.dev ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-mypy: $(VENV)/.dev ## Check types, strictly
	$(BIN)/mypy

lint-imports: $(VENV)/.dev ## Check which room imports which, and that importing does nothing
	$(BIN)/lint-imports --no-logo
	$(PYTEST) --quiet tests/unit/test_import_safety.py

format: $(VENV)/.dev ## Fix what can be fixed and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## Measure overhead side by side
	$(BIN)/python -m benchmarks

SECONDS ?= 60
fuzz: $(VENV)/.fuzz ## Fuzz the codecs, each of their doors for SECONDS of CPU
	$(BIN)/python -m tests.fuzz $(SECONDS)

docs: $(VENV)/.docs ## Build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## Remove what the other targets made
	rm -rf $(VENV) .venv-interop site dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .fuzz
