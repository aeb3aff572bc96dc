# What a newcomer needs: `make help`. Everything below sets itself up; only python3 with python3-venv, git and make are
# needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Two test processes with one thread each are quicker on two cores than one with two.
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
SOURCES := codex_worker handlers patches sample bench tests worker_entry.py gitlab_jobs.py

# Debian's python3 comes without the part that makes environments, and says so at length.
define CHECK_PYTHON
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
  { echo "$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=python3.12" >&2; exit 1; }; \
$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
  { echo "$(PYTHON) cannot make environments; on Debian: apt install python3-venv" >&2; exit 1; }
endef

.DEFAULT_GOAL := help
.PHONY: help demo real test test-quick check acceptance chaos fuzz audit bench format lock clean

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(READY) ## Run a transcriber's and a voice's job on a sample project, and show what it holds then
	@$(BIN)/python -m sample.demo

real: $(READY) ## Make projects of real speech from Debian's voice prompts, in build/real (LANGUAGES="en ru es fr it")
	@$(BIN)/python -m sample.real_speech $(LANGUAGES)

test: $(READY) ## Run all tests (about 10 minutes on 2 cores)
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -q -n 2 --dist worksteal

test-quick: $(READY) ## Run the unit tests but the slow ones (under 1.5 minutes on 2 cores)
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -q -n 2 --dist worksteal -m 'not slow and not chaos and not acceptance' tests/unit

check: $(READY) ## Lint, types, and imports between packages
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

acceptance: $(READY) ## Longer proofs: it learns, it speaks, it survives (about 30 minutes)
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -q -n 2 --dist loadgroup -m acceptance tests

chaos: $(READY) ## Thousands of random schedules of workers, people and faults (about 40 minutes on 2 cores)
	$(BIN)/python -m tests.sim

fuzz: $(READY) ## Read 200,000 made-up files and messages (about half an hour; INPUTS=, SEED= for others)
	$(TEST_ENVIRONMENT) $(BIN)/python -m tests.hostile.fuzz --inputs $(or $(INPUTS),200000) --seed $(or $(SEED),1)

audit: ## Ask for known vulnerabilities of the locked packages
	@$(CHECK_PYTHON)
	@PYTHON=$(PYTHON) requirements/audit

bench: $(READY) ## Run every benchmark in bench/
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps --only-binary :all: -r requirements/bench.txt
	@for file in bench/[a-z]*.py; do name=$$(basename $$file .py); echo "== $$name"; $(BIN)/python -m bench.$$name || exit 1; done

format: $(READY) ## Format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

lock: ## Write the lock files anew (UPGRADE=1: with the newest versions)
	@$(CHECK_PYTHON)
	PYTHON=$(PYTHON) requirements/lock $(if $(UPGRADE),--upgrade)

clean: ## Remove what was built
	rm -rf $(VENV) build *.egg-info demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml requirements/install $(wildcard requirements/*.txt)
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)
	sh requirements/install $(BIN)/python dev
	@touch $@
