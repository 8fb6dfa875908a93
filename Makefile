# Everything runs in .venv, which the first target that needs it creates. Needs Python 3.11+, git and make.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-all lint bench docs clean

SHIPPED := --policy spane@pretrained --policy best@pretrained
RULES := --policy keep-64 --policy balance-fit --policy first-fit

# The shipped models beside heuristics at once; then train, choose and compare policies on a local Ray. A second
# call continues or shows the first one's result.
demo: .venv/installed
	@$(BIN)/python -m spane_rllib.evaluate $(SHIPPED) $(RULES) --episodes 200
	@if [ -e results/quick/config.yaml ]; then $(BIN)/python -m spane_rllib.tune --resume results/quick; \
	else $(BIN)/python -m spane_rllib.tune quick; fi

# A worker that dies ends the run: what it had still to do would be waited for without end.
PYTEST := $(BIN)/python -m pytest -n 2 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder

test: .venv/installed
	$(PYTEST) -m 'not slow'

# The slow rest of the tests: hostile files, kills, clusters, a browser, whole experiments.
test-all: .venv/installed
	$(PYTEST) -m slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The documentation site, in site/; warnings are errors.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: .venv/installed
	$(BIN)/python -m benchmarks

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "spane_rllib needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

.venv/docs: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv
