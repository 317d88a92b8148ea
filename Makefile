# Every target does its own set-up: the stamp in .venv is made once and again when the dependencies change.

PYTHON ?= $(firstword $(foreach p,python3.11 python3,$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up

# Two test workers with one thread each: more threads only fight over two cores. With worksteal each begins with half of
# the files, so that what a file's tests share is made once, and none is idle at the end.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
WORKERS ?= 2

.PHONY: setup demo test test-slow check bench tables mutants

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
ifeq ($(PYTHON),)
	@echo "gliamap needs Python 3.11 or newer, and neither python3.11 nor python3 is one." >&2
	@echo "Install it (Debian, Ubuntu: apt install python3.11 python3.11-venv), or name it: make PYTHON=/path/to/python3" >&2
	@exit 1
else
	@echo "Setting up $(VENV) with $(PYTHON) (once, a few minutes) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "'$(PYTHON) -m venv' failed; on Debian, Ubuntu: apt install python3.11-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
endif

demo: $(STAMP)
	@$(BIN)/gliamap demo --out demo

test: $(STAMP)
	@$(TEST_ENV) $(BIN)/pytest -n $(WORKERS) --dist worksteal

# -m on the command line replaces the 'not slow' of pyproject.toml.
test-slow: $(STAMP)
	@$(TEST_ENV) $(BIN)/pytest -n $(WORKERS) --dist worksteal -m slow

check: $(STAMP)
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/check_sizes.py
	@$(BIN)/python tools/tables.py --check

bench: $(STAMP)
	@$(BIN)/python bench/run.py

tables: $(STAMP)
	@$(BIN)/python tools/tables.py

# Makes one of the models that come along, from the data sets in GLIAMAP_DATA; what is done already is not done again.
model-%: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python tools/make_model.py $* --ship $(MODEL_OPTIONS)

# Breaks important functions on purpose; every break should be noticed by a test.
mutants: $(STAMP)
	@$(TEST_ENV) $(BIN)/python tools/mutants.py
