# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where pip finds PyTorch's CPU build. It is left out where an NVIDIA GPU is, and by `make … TORCH_INDEX=`.
TORCH_INDEX ?= $(shell command -v nvidia-smi >/dev/null 2>&1 || echo https://download.pytorch.org/whl/cpu)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
TORCH := torch $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX) --retries 1 --timeout 15)
# Tests share the cores: more threads would only be in each other's way.
TEST_PROCESSES ?= $(shell nproc)
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadgroup -q
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: install dev demo bench test check format servers openapi clean

install: $(VENV)/installed  ## Make .venv with what the platform needs to run.

dev: $(VENV)/installed-dev  ## Make .venv with what its tests and checks need as well.

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH)
	$(PIP) --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[test,check]'
	touch $@

demo: install  ## Watch a model learn and answer, over the real API.
	$(BIN)/maas demo $(DEMO)

bench: dev  ## Measure against the references, in one run.
	$(PIP) --editable '.[bench]'
	$(BIN)/maas bench $(BENCH)

check: dev  ## Lint, types, import contracts, fast tests: under a minute.
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(PYTEST) tests/unit

test: dev servers  ## Every test.
	$(PYTEST) tests

format: dev
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

# Postgres for the SQL contract; MAAS_TEST_POSTGRES_URL names another.
servers:
	@if [ -z "$$MAAS_TEST_POSTGRES_URL" ] && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then \
		if command -v apt-get >/dev/null 2>&1; then \
			$(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql; \
		else echo "no Postgres here: its tests are skipped; install one, or name it by MAAS_TEST_POSTGRES_URL"; fi; fi

clean:
	rm -rf $(VENV) build dist demo-output bench-output .mypy_cache .ruff_cache .pytest_cache .hypothesis
