# Two commands: `make run` and `make test`. Everything lives in .venv; `make clean` removes it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: run test test-all lint format bench environment clean

run: environment
	$(BIN)/rlp-bench run --method rlp_spg

test: environment
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: environment
	$(BIN)/python -m pytest -n 2

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: environment
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: environment
	$(BIN)/python -m pytest benchmarks -p no:xdist --benchmark-only

environment: .venv/ready

# Made again where the dependencies changed: entry points are read from the installed package.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'error: Python 3.11 or newer is needed, $(PYTHON) is older; give one by `make PYTHON=...`' >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks
