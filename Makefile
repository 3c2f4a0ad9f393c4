# Targets for a checkout. They need Python 3.11 or newer and make; `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
SOURCES := gopher app worker scheduler cli testing benchmarks examples tests setup.py .ci/lock
# The first Python that is new enough; choose another one with `make PYTHON=/path/to/python3.12 ...`.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
# The lock must work with this version.
OLDEST_PYTHON ?= python3.11
# One lock for everything: requirements.txt pins both what is installed and the build tools; deploy/ has its hashes.
CONSTRAINTS := $(VENV)/constraints.txt
PIP_INSTALL := PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS) \
	$(BIN)/python -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo run build test test-deep bench capacity model chaos move fuzz mutants lint format types pictures ci lock sbom clean
.DELETE_ON_ERROR:
# Two concurrent installs would break the environment.
.NOTPARALLEL:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## Run ten real jobs through the API, a worker and the scheduler
	@$(BIN)/python -m gopher.cli.demo

run: $(VENV)/demo.stamp ## Run everything on http://localhost:8080 until Ctrl-C; data in .gopher/
	@$(BIN)/gopherctl up

# Several processes, each with its own server, because tests wait most of the time. All tests of a file run in one process
# and share what they start.
test: $(VENV)/test.stamp ## Run the tests against their own servers (PROCESSES=3 PYTEST_ARGS="-k lease")
	@$(BIN)/python -m pytest -n $(or $(PROCESSES),3) --dist loadfile --durations=10 $(PYTEST_ARGS)

test-deep: $(VENV)/lint.stamp $(VENV)/test.stamp $(VENV)/deep.stamp ## Run the tests that take minutes: failovers of Sentinel and Cluster under load (FAILOVERS=2)
	@FAILOVERS=$(or $(FAILOVERS),2) $(BIN)/python -m tests.deep $(PYTEST_ARGS)

fuzz: $(VENV)/test.stamp ## Fuzz the API (malformed requests, slow clients, cases from its document, extreme values), cron and the scripts
	@GOPHER_TEST_HOSTILE=$(or $(HOSTILE),20000) GOPHER_TEST_GENERATED=$(or $(GENERATED),5000) \
		GOPHER_TEST_ACCEPTED=$(or $(ACCEPTED),500) GOPHER_TEST_CRON=$(or $(CRON),10000) \
		GOPHER_TEST_SEQUENCES=$(or $(SEQUENCES),1000) \
		$(BIN)/python -m pytest tests/app/test_hostile.py tests/app/test_slow_clients.py tests/app/test_generated.py \
		tests/app/test_accepted_is_shown.py tests/core/jobs/test_cron_oracle.py tests/invariants $(PYTEST_ARGS)

chaos: $(VENV)/test.stamp ## Run all fault injections at full scale (DURATION=10m SEED=1)
	@$(BIN)/python -m tests.faults.chaos --duration $(or $(DURATION),10m) $(if $(SEED),--seed $(SEED))

move: $(VENV)/test.stamp ## Export and import a million jobs, killed again and again on the way (JOBS=1000000 KILLS=20)
	@$(BIN)/python -m tests.transfer.trial --jobs $(or $(JOBS),1000000) --kills $(or $(KILLS),20)

mutants: $(VENV)/test.stamp ## Break the Lua scripts in every place, one at a time, and see that a test fails (ONLY="fetch library/limits")
	@$(BIN)/python -m tests.mutants $(ONLY)

bench: $(VENV)/demo.stamp ## Compare Gopher with other queues (SECONDS=1 ROUNDS=3 ONLY=drain,wake,gopher,huey)
	@SECONDS=$(or $(SECONDS),1) $(BIN)/python -m benchmarks

capacity: $(VENV)/test.stamp ## Simulate autoscaling, for docs/autoscaling.md (REAL=1: with a real run of five minutes)
	@$(BIN)/python -m benchmarks.capacity

model: $(VENV)/demo.stamp ## Measure what jobs, workers and schedules cost the server, for docs/scaling.md (ROUNDS=5)
	@$(BIN)/python -m benchmarks.model

lint: $(VENV)/lint.stamp ## Check style, shell scripts, Dockerfile and compose file
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/ruff format --quiet --check $(SOURCES)
	@$(BIN)/shellcheck .ci/run
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml deploy/docker-compose.sentinel.yml
	@echo "lint: OK"

format: $(VENV)/lint.stamp ## Format the code
	@$(BIN)/ruff check --quiet --fix $(SOURCES) || true
	@$(BIN)/ruff format --quiet $(SOURCES)

types: $(VENV)/lint.stamp $(VENV)/test.stamp ## Check types
	@$(BIN)/mypy -p gopher

pictures: $(VENV)/test.stamp ## Update the pictures in the documentation (needs Chromium)
	@$(BIN)/python -m tests.docs.before_and_after docs/pictures/image-resize.webp
	@$(BIN)/python -m tests.dashboard.pictures docs/pictures

ci: ## Run all checks (.ci/run)
	@.ci/run

lock: ## Update requirements.txt and its hashes to the newest versions that setup.cfg allows (ONLY=hashes)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT \
		&& $(OLDEST_PYTHON) -m venv "$$dir" && "$$dir/bin/python" -m pip install --quiet --upgrade pip pip-tools \
		&& "$$dir/bin/python" .ci/lock $(if $(ONLY),$(ONLY))

# Of a copy, since setuptools leaves its own files in the source folder.
build: $(VENV)/lint.stamp ## Build the wheel and the sdist in dist/ (FILES_URL=https://host/path/of/files for links in the description)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && mkdir -p dist && rm -f dist/gopherctl-* \
		&& cp -R app cli gopher scheduler testing worker setup.cfg setup.py pyproject.toml README.md LICENSE CHANGELOG.md \
			"$$dir" \
		&& find "$$dir/gopher" -maxdepth 1 -type l -delete \
		&& GOPHER_FILES_URL="$(FILES_URL)" PIP_CONSTRAINT=$(CONSTRAINTS) $(BIN)/python -m build --outdir dist "$$dir" > "$$dir/log" 2>&1 \
		|| { cat "$$dir/log"; exit 1; }
	@$(BIN)/twine check --strict dist/gopherctl-*

# Of an environment like the image's, made by the maintained generator of CycloneDX.
sbom: ## Write the list of everything that a release consists of to dist/ (a CycloneDX SBOM)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && mkdir -p dist \
		&& $(PYTHON) -m venv "$$dir/gopher" && $(PYTHON) -m venv "$$dir/tool" \
		&& "$$dir/gopher/bin/pip" install -qq --require-hashes --requirement deploy/requirements.hashed.txt \
		&& cp -R app cli gopher scheduler testing worker setup.cfg setup.py pyproject.toml README.md LICENSE "$$dir/tool" \
		&& "$$dir/gopher/bin/pip" install -qq --no-deps --no-build-isolation "$$dir/tool" \
		&& "$$dir/gopher/bin/pip" uninstall -qq --yes setuptools pip \
		&& rm "$$dir"/gopher/lib/python*/site-packages/gopherctl-*.dist-info/direct_url.json \
		&& "$$dir/tool/bin/pip" install -qq 'cyclonedx-bom>=7,<8' \
		&& "$$dir/tool/bin/cyclonedx-py" environment --output-reproducible --output-file dist/gopherctl.cdx.json \
			"$$dir/gopher" \
		&& echo "dist/gopherctl.cdx.json"

clean: ## Remove the environment and build files; keep data in .gopher/ and files/
	@find gopher -maxdepth 1 -type l -delete
	@rm -rf $(VENV) .editable build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# If the Python of the environment was removed or moved, the environment is useless.
ifeq ($(wildcard $(BIN)/python),)
$(shell rm -rf $(VENV))
endif

$(VENV)/base.stamp:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Gopher needs Python 3.11 or newer$(if $(PYTHON), which $(PYTHON) is not)."; \
		echo "Install it, or give its path: make PYTHON=/path/to/python3.12"; exit 1; } >&2
	@echo "==> Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "Can't create a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(CONSTRAINTS): requirements.txt $(VENV)/base.stamp
	@sed -e '/^--editable/d' -e 's/^#: //' requirements.txt > $@

# Touched last, so that a failed install is repeated.
$(VENV)/%.stamp: setup.cfg setup.py pyproject.toml $(CONSTRAINTS)
	@echo "==> Installing Gopher [$(EXTRAS_$*)] into $(VENV): a minute or two the first time"
	@$(PIP_INSTALL) --editable '.[$(EXTRAS_$*)]'
	@touch $@

EXTRAS_demo := all,demo
EXTRAS_test := test
EXTRAS_lint := lint
EXTRAS_deep := deep
