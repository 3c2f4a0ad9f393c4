# Everything from a checkout: needs Python 3.11 or newer and make. `make help` lists the targets.

VENV := .venv
BIN := $(VENV)/bin
SOURCES := gopher app worker scheduler cli testing benchmarks tests setup.py .ci/lock
# The first Python that is new enough; another one with `make PYTHON=/path/to/python3.12 ...`.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
# What the lock must fit.
OLDEST_PYTHON ?= python3.11
# One lock for all: the pins of requirements.txt bind what is installed and what builds it.
CONSTRAINTS := $(VENV)/constraints.txt
PIP_INSTALL := PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS) \
	$(BIN)/python -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo run test test-deep bench chaos fuzz lint format types pictures ci lock clean
.DELETE_ON_ERROR:
# Two installs into one environment at once would break it.
.NOTPARALLEL:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## Show everything: real jobs through the API, a worker and the scheduler
	@$(BIN)/python -m gopher.cli.demo

run: $(VENV)/demo.stamp ## Run it all on http://localhost:8080 until Ctrl-C; data in .gopher/
	@$(BIN)/gopherctl up

# Several processes, each with a server of its own: a test waits more than it works. A file stays in one process, which
# starts what all of its tests share once.
test: $(VENV)/test.stamp ## Run the tests against servers of their own (PROCESSES=3 PYTEST_ARGS="-k lease")
	@$(BIN)/python -m pytest -n $(or $(PROCESSES),3) --dist loadfile --durations=10 $(PYTEST_ARGS)

test-deep: $(VENV)/test.stamp ## Run the tests that take minutes: failovers of Sentinel and Cluster under load
	@$(BIN)/python -m pytest -m deep $(PYTEST_ARGS)

fuzz: $(VENV)/test.stamp ## Ask the API 20,000 hostile requests, and 5,000 made of its own document
	@GOPHER_TEST_HOSTILE=$(or $(HOSTILE),20000) GOPHER_TEST_GENERATED=$(or $(GENERATED),5000) \
		$(BIN)/python -m pytest tests/app/test_hostile.py tests/app/test_slow_clients.py tests/app/test_generated.py $(PYTEST_ARGS)

chaos: $(VENV)/test.stamp ## Cause every fault at full size, and count (DURATION=8m SEED=1)
	@$(BIN)/python -m tests.faults.chaos --duration $(or $(DURATION),8m) $(if $(SEED),--seed $(SEED))

bench: $(VENV)/demo.stamp ## Measure Gopher beside its peers (SECONDS=1 ROUNDS=3 ONLY=drain,wake,gopher,huey)
	@SECONDS=$(or $(SECONDS),1) $(BIN)/python -m benchmarks

lint: $(VENV)/lint.stamp ## Check style, shell scripts, image and compose file
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/ruff format --quiet --check $(SOURCES)
	@$(BIN)/shellcheck .ci/run
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	@echo "lint: nothing to mend"

format: $(VENV)/lint.stamp ## Bring the code into shape
	@$(BIN)/ruff check --quiet --fix $(SOURCES) || true
	@$(BIN)/ruff format --quiet $(SOURCES)

# The type checker knows nothing of setup.cfg's package_dir, so it is shown the package as it is when installed.
types: $(VENV)/lint.stamp $(VENV)/test.stamp ## Check types
	@rm -rf .links && mkdir -p .links/gopher
	@cd .links/gopher && ln -s ../../gopher/* ../../app ../../worker ../../scheduler ../../cli ../../testing .
	@cd .links && ../$(BIN)/mypy --config-file ../setup.cfg --cache-dir ../.mypy_cache -p gopher

pictures: $(VENV)/test.stamp ## Take the documents' pictures of the dashboard anew (needs Chromium)
	@$(BIN)/python -m tests.dashboard.pictures docs/pictures

ci: ## All checks: what .ci/run does
	@.ci/run

lock: ## Write requirements.txt anew, with the newest versions that setup.cfg allows
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT \
		&& $(OLDEST_PYTHON) -m venv "$$dir" && "$$dir/bin/python" -m pip install --quiet --upgrade pip \
		&& "$$dir/bin/python" .ci/lock

clean: ## Remove what make has made; data in .gopher/ and files/ stays
	@rm -rf $(VENV) .links build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A Python that was removed or moved leaves a dead link behind: then nothing of the environment is worth keeping.
ifeq ($(wildcard $(BIN)/python),)
$(shell rm -rf $(VENV))
endif

$(VENV)/base.stamp:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Gopher needs Python 3.11 or newer$(if $(PYTHON), and $(PYTHON) is not)."; \
		echo "Install one, or say where it is: make PYTHON=/path/to/python3.12"; exit 1; } >&2
	@echo "==> Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "Can't make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(CONSTRAINTS): requirements.txt $(VENV)/base.stamp
	@sed -e '/^--editable/d' -e 's/^#: //' requirements.txt > $@

# Touched last, so that an install that failed is tried again.
$(VENV)/%.stamp: setup.cfg pyproject.toml $(CONSTRAINTS)
	@echo "==> Installing Gopher [$(EXTRAS_$*)] into $(VENV): a minute or two the first time"
	@$(PIP_INSTALL) --editable '.[$(EXTRAS_$*)]'
	@touch $@

EXTRAS_demo := demo,embedded
EXTRAS_test := test
EXTRAS_lint := lint
