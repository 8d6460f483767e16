# `make` alone lists the targets. Only make and Python 3.11 or newer are needed.

PYTHON  ?=# the interpreter to build .venv with; empty: the first suitable one below
PYTHONS  = python3 python3.14 python3.13 python3.12 python3.11
JOBS    ?= auto# test processes; auto: as many as there are cores
ARGS    ?=# additional arguments for pytest, the benchmarks or the demo (make demo ARGS=--serve)
UPGRADE ?=# make lock UPGRADE=--upgrade takes the newest versions; otherwise pinned versions stay
SBOM     = cyclonedx-bom==7.5.0 cyclonedx-python-lib[json-validation]==11.12.0
UV       = uv==0.13.9

VENV    := .venv
BIN     := $(VENV)/bin
DOCS    := build/docs-venv# a separate environment to build the documentation site
RUN     := $(BIN)/python -m
PIP     := $(RUN) pip --disable-pip-version-check

# Sets $$python, or stops with a remedy. A Debian without python3-venv has venv but no ensurepip.
# A name on the PATH proves nothing (pyenv adds one for each version that it knows), so each is run.
define FIND_PYTHON
python= bare=; \
for each in $(or $(PYTHON),$(PYTHONS)); do \
  "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
  if "$$each" -c 'import ensurepip, venv' 2>/dev/null; then python=$$each; break; fi; \
  bare=$${bare:-$$each}; \
done; \
if [ -z "$$python" ] && [ -n "$$bare" ]; then \
  echo "$$bare cannot make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python3-venv) and try again, or name another Python with PYTHON=." >&2; exit 1; \
elif [ -z "$$python" ]; then \
  echo "delegraph needs Python 3.11 or newer and found none (tried: $(or $(PYTHON),$(PYTHONS))): install one, or name it with PYTHON=/path/to/python3." >&2; exit 1; \
fi
endef

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all servers lint types check check-all fmt jars browser screenshots examples reference docs stack stack-down story soak soak-collect bench bench-check bench-full wheel sbom lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.extras ## make .venv with the pinned versions and the command .venv/bin/delegraph

# The demo needs few packages, so that it starts quickly; with pages it needs all.
demo: $(VENV)/$(if $(findstring --serve,$(ARGS)),.extras,.ready) ## show a whole incident: who did it, what a revocation ends, and the proof
	@$(BIN)/delegraph demo $(ARGS)

test: setup servers ## run the tests except the slow ones (ARGS="-k cascade"), also on a real Kafka and PostgreSQL
	$(RUN) pytest -n $(JOBS) -m "not slow" $(ARGS)

test-all: setup servers ## run every test, the slow ones too (ARGS=--cov), as CI does
	$(RUN) pytest -n $(JOBS) $(ARGS)

servers: setup
	@$(RUN) compose.native fetch || echo "continuing: the tests that need Kafka are listed at the end" >&2
	@$(RUN) compose.native browser || echo "continuing: the tests that need a browser are listed at the end" >&2

lint: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .

types: setup
	$(RUN) mypy

check: lint types test ## lint, types, tests: must pass before a commit

check-all: lint types test-all ## the same with the slow tests: what CI runs

jars: setup ## fetch Apache Kafka's jars by Maven, and Cerbos by npm, into build/, once
	@$(RUN) compose.native fetch

browser: setup ## install Chromium for the tests of the pages, if it is missing (as root, by apt-get)
	@$(RUN) compose.native browser

screenshots: browser ## take a screenshot of every page of the demo incident into build/screenshots/
	$(RUN) benchmarks.screenshots $(ARGS)

examples: setup ## replay the conversation of the HTTP API's examples, and record the current answers
	$(RUN) tests.support.conversations

reference: setup ## write the pages of docs/ that are generated from the code
	$(RUN) docs.site $(ARGS)

docs: $(DOCS)/.ready ## build the documentation site into build/site (read it: python3 -m http.server -d build/site)
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --strict
	@echo "ready: build/site/index.html"

stack: setup ## start Kafka, PostgreSQL and two consumers on this machine, without containers
	@$(RUN) compose.native up

stack-down: ## stop what make stack started; its data stays in build/stack
	@if [ -x $(BIN)/python ]; then $(RUN) compose.native down; fi

fmt: $(VENV)/.ready ## format, and fix what ruff can fix
	$(RUN) ruff check --fix-only --quiet .
	$(RUN) ruff format .

story: stack ## revoke a leaked token on that stack: plan, order, two gateways, and the verdict until it is CLOSED
	@$(BIN)/python examples/story.py build/stack

soak: setup ## kill processes hundreds of times on a real Kafka and PostgreSQL, then check (ARGS="--kills 300")
	$(RUN) benchmarks.soak $(ARGS)

soak-collect: setup ## kill the collector while all its inputs are written to, then check (ARGS="--kills 200")
	$(RUN) benchmarks.collect_soak $(ARGS)

bench: setup ## run the benchmarks, quick, and compare what things cost with the last release
	$(RUN) benchmarks $(ARGS)

bench-check: setup ## compare what things cost with the last release, and fail where it is 25 % more
	$(RUN) benchmarks --check

bench-full: setup ## run the benchmarks at full size
	$(RUN) benchmarks --full $(ARGS)

wheel: setup ## build the wheel into dist/ and try it in a separate environment
	rm -rf dist build/again
	$(RUN) build --no-isolation --outdir dist .
	$(RUN) build --no-isolation --wheel --outdir build/again . >/dev/null
	@cmp dist/*.whl build/again/*.whl && echo "reproducible: two builds gave the same wheel"
	bash .ci/try-wheel dist/*.whl

sbom: ## list what a deployment installs, as CycloneDX, in dist/delegraph.cdx.json
	@$(FIND_PYTHON); [ -x build/sbom/bin/cyclonedx-py ] || "$$python" -m venv --clear build/sbom
	@build/sbom/bin/python -m pip --disable-pip-version-check install --quiet '$(word 1,$(SBOM))' '$(word 2,$(SBOM))'
	@mkdir -p dist
	@build/sbom/bin/cyclonedx-py requirements requirements-extras.lock --pyproject pyproject.toml \
	  --output-reproducible --of JSON --sv 1.6 --validate -o dist/delegraph.cdx.json 2>/dev/null
	@build/sbom/bin/python .ci/check-sbom dist/delegraph.cdx.json requirements-extras.lock

lock: ## rebuild the lock files from pyproject.toml (UPGRADE=--upgrade: newest versions)
	@$(FIND_PYTHON); "$$python" -m venv --clear build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check install --quiet $(UV)
	$(COMPILE) pyproject.toml --group dev --output-file requirements.lock
	$(COMPILE) pyproject.toml --all-extras --constraint requirements.lock --output-file requirements-extras.lock
	$(COMPILE) --group docs --output-file requirements-docs.lock
	@if grep -nE '://|^-' requirements.lock requirements-extras.lock requirements-docs.lock; then \
	  echo "A lock file names an index or a path: it would not work elsewhere." >&2; exit 1; fi

clean: stack-down ## remove everything that make made, .venv too
	rm -rf $(VENV) build dist .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One version of each package for every Python and platform, with hashes, and independent of the machine.
COMPILE = env -u UV_FIND_LINKS UV_CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/uv pip compile --quiet \
  --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-annotate \
  --no-emit-index-url --no-emit-find-links $(UPGRADE)

$(VENV)/.ready: pyproject.toml requirements.lock
	@$(BIN)/python -c 'import pip' 2>/dev/null || { $(FIND_PYTHON); echo "making $(VENV) with $$python"; "$$python" -m venv --clear $(VENV); }
	@echo "installing the pinned packages"
	@$(PIP) install --quiet --no-deps --require-hashes --requirement requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "ready: $(BIN)/delegraph"

$(VENV)/.extras: requirements-extras.lock $(VENV)/.ready
	@echo "installing the pinned extras"
	@$(PIP) install --quiet --no-deps --require-hashes --requirement requirements-extras.lock
	@touch $@

$(DOCS)/.ready: requirements-docs.lock
	@$(FIND_PYTHON); "$$python" -m venv --clear $(DOCS)
	@echo "installing the pinned packages of the documentation site"
	@$(DOCS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes --requirement requirements-docs.lock
	@touch $@
