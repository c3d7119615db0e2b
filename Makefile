# `make demo` and `make test` each do everything from a fresh clone; `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
RUN := PATH="$(BIN):$$PATH" OMP_WAIT_POLICY=passive
# Processes that test side by side have a core each: with more threads they wait for each other
TEST := $(RUN) OMP_NUM_THREADS=1
READY := $(VENV)/.ready
MINKOWSKI := $(VENV)/.minkowski
# An index of PyTorch's builds, such as the one for CPUs that its start page names; empty: what pip takes by itself
TORCH_INDEX ?=
TESTERS ?= $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))
TOGETHER := --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install minkowski demo test coverage cpus core lowest quick lint bench ablation zoo clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(READY) ## virtual environment with the pinned dependencies

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed: make PYTHON=python3.11 ..."; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made (Debian/Ubuntu: apt-get install python3-venv)"; exit 1; }
	@rm -rf *.egg-info pipeline/*.egg-info # older ones, whose entry points would be found before those installed now
	@echo "Installing the pinned dependencies into $(VENV): 2 to 4 minutes, 7 GB of disk, of which the CUDA"
	@echo "libraries of PyTorch's default build are most; docs/install.md says how to do without them"
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=24" -c constraints.txt
	@[ -z "$(TORCH_INDEX)" ] || $(BIN)/python -m pip install --quiet --index-url "$(TORCH_INDEX)" $$(grep -E '^torch(vision)?==' constraints.txt)
	@$(BIN)/python -m pip install --quiet --editable ".[pipeline,2d,synthesis,viewer,clouds,demo,zoo,bench,test]" -c constraints.txt
	@touch $@

minkowski: $(MINKOWSKI) ## MinkowskiEngine, which the parity tests need: 5 to 11 minutes once, then a kept wheel

$(MINKOWSKI): install/minkowski.sh | $(READY)
	@install/minkowski.sh $(BIN)/python
	@touch $@

demo: $(READY) ## the whole pipeline on the embedded world: features, table, report
	@$(RUN) dvc repro
	@$(RUN) anyscene evaluation --show
	@git diff --quiet HEAD -- dvc.lock && echo "The same run as in Git: every artefact and figure has the hash that is committed (dvc.lock). Where DVC skipped the evaluation above, as nothing that it reads has changed, the table is the committed one." \
		|| echo "Not byte for byte the run that is in Git, as on another processor: dvc diff HEAD lists what has another hash, dvc metrics diff HEAD the scores that differ. Commit dvc.lock and reports before an experiment, which goes back to them."

test: lint $(MINKOWSKI) ## lint and tests (the slow ones: pytest -m slow)
	@$(TEST) python -m pytest $(TOGETHER) --durations=10

coverage: $(MINKOWSKI) ## the tests with the lines of pipeline/ that they run, at least 80 %: half as much processor time again
	@$(TEST) python -m pytest $(TOGETHER) --cov --cov-report=term

quick: $(READY) ## tests without dvc, browser, other processes, training: after every few lines
	@$(TEST) python -m pytest $(TOGETHER) -m 'not slow and not integration and not minkowski'

cpus: $(MINKOWSKI) ## the tests as processors without AVX-512, and without AVX, compute them
	@$(TEST) ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python -m pytest $(TOGETHER)
	@$(TEST) ATEN_CPU_CAPABILITY=default python -m pytest $(TOGETHER)

core: ## the tests of the core, in an environment of its own that has no extra
	@install/core.sh $(PYTHON) .cache/core

lowest: ## the tests of `make quick` with the lowest versions that are declared, in an environment of their own
	@install/lowest.sh $(PYTHON) .cache/lowest

lint: $(READY) ## ruff, the order of the rooms, and types (mypy)
	@$(RUN) ruff check .
	@$(RUN) ruff format --check --quiet .
	@$(RUN) lint-imports --no-cache >$(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }
	@$(RUN) mypy --no-error-summary

bench: demo ## benchmarks against named peers -> reports/benchmarks.json, docs/
	@$(RUN) python -m benchmarks.speed
	@$(RUN) python -m benchmarks.speed.codecs

ablation: demo ## the paper's Table 3 as an experiment of DVC -> reports/ablation.md
	@$(RUN) python -m benchmarks.quality.ablation

zoo: $(READY) ## train the demo's small models anew (models/demo/)
	@$(RUN) python -m anyscene_demo.commands.zoo

clean: ## remove what `make demo` computed (keeps the virtual environment)
	rm -rf data/freshness.json data/world data/scenes data/labels data/superpoints data/projection data/synthesis data/capability data/fusion reports/index.html reports/timings.html .cache/training .cache/timings .dvc/cache
	git clean -fdXq models
