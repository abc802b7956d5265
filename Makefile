# Every target does its own set-up: a private virtual environment in .venv, and the programs that tests need in .tools.
# Needed beforehand: Python 3.11 or later with its venv module, and make.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := $(shell find siger twisted_plugins -type f ! -name '*.pyc' ! -name '*.so' ! -name dropin.cache)
PACKAGE := setup.py pyproject.toml $(SOURCES)
# exec: a signal to make is to reach the program, not a shell in between.
WITH_PATHS := exec env PATH="$(CURDIR)/.tools/bin:$(CURDIR)/$(BIN):$$PATH"
# A build takes over what an earlier one left in build/lib, files that are gone from the source included.
INSTALL := rm -rf build/lib* build/bdist* && $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: help run test lint bench tools clean

help:
	@echo "make run    start the gateway on http://127.0.0.1:8080 with demo backends and a worker"
	@echo "make test   check style and types, and run all tests against real programs"
	@echo "make lint   check style and types alone"
	@echo "make bench  compare with other proxies on this machine and measure jobs, for about 35 minutes"
	@echo "make tools  get what tests need, without running them"
	@echo "make clean  take away everything that the other targets made"

run: .venv/.run
	@$(WITH_PATHS) $(BIN)/python -P -m siger.demo.quickstart --config configs/quickstart.yaml

test: .venv/.test tools
	@$(WITH_PATHS) sh .ci/check

lint: .venv/.test
	@$(WITH_PATHS) sh .ci/check lint

bench: .venv/.bench
	@sh .ci/get-peers .tools
	@$(WITH_PATHS) $(BIN)/python -m benchmarks $(BENCH)
	@$(if $(BENCH),:,$(WITH_PATHS) $(BIN)/python -m benchmarks.jobs)

tools: .venv/.test
	@sh .ci/get-consul .tools/bin
	@sh .ci/get-chromium .tools
	@sh .ci/get-peers .tools h2load nghttp nghttpd curl

clean:
	rm -rf .venv .tools build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .hypothesis
	find siger twisted_plugins tests benchmarks -name '__pycache__' -prune -exec rm -rf {} +
	find siger -name '*.so' -delete

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Siger needs Python 3.11 or later; this is "+sys.version)'
	@echo "Making a virtual environment in .venv"
	@$(PYTHON) -m venv --clear .venv || { rm -rf .venv; echo "On Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

.venv/.run: .venv/.created $(PACKAGE)
	@echo "Installing Siger into .venv"
	@$(INSTALL) '.[embedded,grpc]'
	@touch $@

.venv/.test: .venv/.created $(PACKAGE)
	@echo "Installing Siger, and what its tests need, into .venv"
	@$(INSTALL) '.[dev]'
	@touch .venv/.run $@

.venv/.bench: .venv/.created $(PACKAGE)
	@echo "Installing Siger, and what it is compared with, into .venv"
	@$(INSTALL) '.[bench]'
	@touch .venv/.run $@
