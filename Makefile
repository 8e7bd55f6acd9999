# Two commands matter to a newcomer: `make demo` and `make test`. Both do all set-up by themselves.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One thread per library: the project schedules its own, and oversubscribed cores only add noise.
export OMP_NUM_THREADS ?= 2
# Images of containers set this often. Every process would compile every module it imports: seconds each, for torch.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check lint types docs docs-site bench bench-check torture mutants clean

setup: $(STAMP)

# Re-running is free until the project's requirements change. Torch first: its pinned version must not be
# replaced by whatever newer one another package would take. Python compiles what is imported, on its first import: to do
# so for every module of every package takes longer than to install them.
$(STAMP): pyproject.toml .ci/constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "needs Python 3.11 or newer, found: $$("$(PYTHON)" --version 2>&1)"; exit 2; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint .ci/constraints.txt setuptools torch
	$(BIN)/python -m pip install --quiet --no-compile --constraint .ci/constraints.txt --no-build-isolation --editable '.[test]'
	@touch $@

demo: $(STAMP)
	$(BIN)/ocrmaps demo

# Two files at a time: the tests of one file share what they made.
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: lint types test

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: $(STAMP)
	$(BIN)/python -m mypy

docs: $(STAMP)
	$(BIN)/python -m ocrmaps.cli.reference

docs-site: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --no-build-isolation --editable '.[docs]'
	$(BIN)/python -m tests.docs.site build/site

bench: $(STAMP)
	$(BIN)/ocrmaps bench all

# Against what `ocrmaps bench baseline` kept on the same machine before a change. Minutes, on a quiet machine: no part of
# what must pass, where another processor or a neighbor could fail it by luck.
BASELINE ?= bench-baseline.json
bench-check: $(STAMP)
	$(BIN)/ocrmaps bench check $(BASELINE)

torture: $(STAMP)
	$(BIN)/python -m tests.torture

mutants: $(STAMP)
	$(BIN)/python -m tests.mutants

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
