PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

.PHONY: install demo test quick drill check bench-peers clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Studyhall needs Python 3.11 or later; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/studyhall demo

test: install
	$(PYTEST)

quick: install
	$(PYTEST) -m 'not slow'

drill: install
	$(BIN)/studyhall drill
	$(BIN)/studyhall drill --private-server

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(PYTEST)

bench-peers: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	$(BIN)/python -P benchmarks/peers.py

clean:
	rm -rf .venv build dist *.egg-info
