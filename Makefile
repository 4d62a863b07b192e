PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

ENGINES := slurm ray hosts kubectl pods

.PHONY: install programs engines demo test quick drill check acceptance test-engines test-gpu test-compose bench-peers screenshots clean

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

# What the tests of engines need: Slurm, and Ray for the virtual environment. Docker's come with test-compose.
engines: install
	@missing=; for program in slurmctld slurmd sbatch munged ip; do command -v $$program > /dev/null || missing="$$missing $$program"; done; \
	test -z "$$missing" && exit 0; \
	if test "$$(id -u)" != 0 || ! command -v apt-get > /dev/null; then \
		echo "the tests need$$missing: sudo apt-get install slurmctld slurmd slurm-client munge iproute2" >&2; exit 1; \
	fi; \
	echo "installing for$$missing"; \
	install="apt-get install --quiet --quiet --yes --no-install-recommends slurmctld slurmd slurm-client munge iproute2"; \
	$$install > /dev/null 2>&1 || { apt-get update --quiet --quiet && $$install > /dev/null; }
	$(BIN)/python -c 'import ray' 2> /dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'

demo: install
	$(BIN)/studyhall demo

test: install programs
	$(PYTEST)

quick: install programs
	$(PYTEST) -m 'not slow and not engine and not gpu'

drill: install
	$(BIN)/studyhall drill
	$(BIN)/studyhall drill --private-server

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(PYTEST) tests/unit tests/conformance tests/integration

# The command line in real processes, a browser and a terminal: slow, and so apart; CI runs both.
acceptance: install programs
	$(PYTEST) tests/acceptance

# Studies on real engines, which this host plays; as root. One module after the other: each takes all cores.
test-engines: engines
	$(BIN)/pytest -m engine tests/unit
	for engine in $(ENGINES); do $(BIN)/pytest -m engine tests/acceptance/test_$$engine.py || exit 1; done

# One after the other: each takes the GPU's memory and time as its own.
test-gpu: install
	$(BIN)/pytest -m gpu tests/gpu

# Takes ten minutes the first time, when it makes the images.
test-compose: install
	tests/helpers/docker_programs.sh
	$(BIN)/pytest -m engine tests/acceptance/test_compose.py

bench-peers: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	$(BIN)/python -P benchmarks/peers.py

screenshots: install programs
	$(BIN)/python -P docs/screenshots.py

clean:
	rm -rf .venv build dist *.egg-info
