PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

.PHONY: install programs demo test quick drill check bench-peers screenshots clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Studyhall needs Python 3.11 or later; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# What the tests look through: a browser and a terminal.
programs:
	@missing=; for program in chromium tmux; do command -v $$program > /dev/null || missing="$$missing $$program"; done; \
	test -z "$$missing" && exit 0; \
	if test "$$(id -u)" != 0 || ! command -v apt-get > /dev/null; then \
		echo "the tests need$$missing: sudo apt-get install$$missing" >&2; exit 1; \
	fi; \
	echo "installing$$missing"; \
	install="apt-get install --quiet --quiet --yes --no-install-recommends$$missing"; \
	$$install > /dev/null 2>&1 || { apt-get update --quiet --quiet && $$install > /dev/null; }

demo: install
	$(BIN)/studyhall demo

test: install programs
	$(PYTEST)

quick: install programs
	$(PYTEST) -m 'not slow'

drill: install
	$(BIN)/studyhall drill
	$(BIN)/studyhall drill --private-server

check: install programs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(PYTEST)

bench-peers: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	$(BIN)/python -P benchmarks/peers.py

screenshots: install programs
	$(BIN)/python -P docs/screenshots.py

clean:
	rm -rf .venv build dist *.egg-info
