# make demo   the nine-day workflow on synthetic logs, ends with the comparison and the report's path
# make bench  training speed beside torch-rechub's and DeepCTR-Torch's and as tables grow, where a step's time goes
# make bench-gpu     the same beside the peers' on a GPU, in float32; an error where there is none
# make bench-spark   label and encode as logs grow, beside a plain copy, DuckDB and Polars
# make bench-serving latency of exported models beside the dense network
# make bench-workers training on two workers beside one
# make bench-neighbour training beside a busy process on each core
# make test   lint, types and the quick tests; make test-all adds the slow ones
# make docs   the documentation, in site/
# Each sets up what it needs: .venv here, a wheel of Horovod and nothing else under $(CACHE).
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ncs
READY := .venv/.ready
LAKE ?= lake/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint docs wheel lock clean bench bench-gpu bench-spark bench-serving bench-workers bench-neighbour

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: $(READY)

demo: $(READY)
	@$(BIN)/ncs run --conf conf/demo.yaml --lake $(LAKE) $(ARGS)

# Two processes, a Spark session each: a file's tests stay together, for they share what its fixtures have made. Files are
# taken in the order of tests/conftest.py, the longest first, and not by their numbers of tests.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: lint
	@$(PYTEST) $(ARGS)

test-all: lint
	@$(PYTEST) -m "" $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check -q . && $(BIN)/ruff format -q --check . && $(BIN)/mypy --no-error-summary && \
	{ $(BIN)/lint-imports --no-logo > .venv/imports.log || { cat .venv/imports.log; exit 1; }; }

wheel: $(READY)
	@rm -rf build && $(BIN)/uv build -q --wheel --no-build-isolation --python $(BIN)/python --out-dir dist && ls dist/*.whl

docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict && echo "documentation: site/index.html"

lock: $(READY)
	@cp requirements.txt .venv/lock && \
	$(BIN)/uv pip compile -q --no-annotate --no-header --all-extras --python 3.11 --output-file .venv/lock setup.cfg > /dev/null && \
	{ grep '^#' requirements.txt; cat .venv/lock; } > .venv/lock.new && mv .venv/lock.new requirements.txt

# The peers' packages stay out of .venv: an environment of their own, with the same versions of what is common.
BENCH := .venv-bench/bin

bench: .venv-bench/.ready
	@$(BENCH)/python -m bench.peers $(ARGS)
	@$(BENCH)/python -m bench.sizes
	@$(BENCH)/python -m bench.profile
	@$(BENCH)/python -m bench.inputs

bench-gpu: .venv-bench/.ready
	@$(BENCH)/python -m bench.peers --device cuda --threads 1 $(ARGS)

bench-spark: .venv-bench/.ready
	@$(BENCH)/python -m bench.spark $(ARGS)

bench-serving: $(READY)
	@$(BIN)/python -m bench.serving $(ARGS)

bench-workers: $(READY)
	@$(BIN)/python -m bench.scaling $(ARGS)

bench-neighbour: $(READY)
	@$(BIN)/python -m bench.neighbour $(ARGS)

.venv-bench/.ready: $(READY) bench/requirements.txt
	@$(BIN)/uv venv -q --clear --python $(BIN)/python .venv-bench
	@$(BIN)/uv pip install -q --python $(BENCH)/python -r .venv/packages.txt -r bench/requirements.txt
	@$(BIN)/uv pip install -q --python $(BENCH)/python --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf .venv .venv-bench lake site *.egg-info build dist

# need: one clear line for a missing tool. $(call need,test command,what,remedy)
need = @$(1) >/dev/null 2>&1 || { echo "ncs needs $(2). On Debian: apt-get install $(3)" >&2; exit 1; }

$(READY): requirements.txt setup.cfg pyproject.toml
	$(call need,test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; assert sys.version_info[:2] == (3$(comma) 11)',Python 3.11,python3.11)
	$(call need,$(PYTHON) -c 'import venv$(comma) ensurepip',Python's venv module,python3.11-venv)
	$(call need,java -version 2>&1 | grep -E '"(17|21)\.',Java 17 or 21 on the PATH,openjdk-17-jre-headless)
	$(call need,command -v g++,a C++ compiler (g++),g++)
	$(call need,test -e "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h",Python's headers,python3.11-dev)
	@test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/pip install -q uv; }
	@echo "installing the packages of requirements.txt (the first time: some minutes)"
	@grep -v '^horovod=' requirements.txt > .venv/packages.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python -r .venv/packages.txt
	@$(MAKE) --no-print-directory horovod
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/python -m ncs.lake.jars > .venv/jars.log 2>&1 || { tail -n 5 .venv/jars.log; echo "Delta's jars cannot be fetched, see .venv/jars.log" >&2; exit 1; }
	@$(BIN)/python -m ncs.lake.class_archive > .venv/classes.log 2>&1 || echo "Java will start more slowly: no archive of its classes, see .venv/classes.log"
	@touch $@

comma := ,

# Horovod's sources ask for C++14, torch's headers need C++17: a wrapper of the compiler appends the newer
# standard, so that no source is patched. The wheel is kept per version of Horovod, torch and Python.
.PHONY: horovod
horovod:
	@set -e; spec=$$(grep '^horovod=' requirements.txt); torch=$$(grep '^torch=' requirements.txt); \
	wheels="$(CACHE)/wheels/$${spec/==/-}-$${torch/==/-}-$$($(BIN)/python -c 'import sysconfig as s; print(s.get_config_var("SOABI"))')"; \
	if ! compgen -G "$$wheels/*.whl" >/dev/null; then \
	  echo "building $$spec for $$torch (once, 2 to 6 minutes; log in .venv/horovod.log)"; \
	  printf '#!/bin/sh\nexec g++ "$$@" -std=gnu++17\n' > .venv/cxx17; chmod +x .venv/cxx17; \
	  env PATH="$(CURDIR)/$(BIN):$$PATH" CXX="$(CURDIR)/.venv/cxx17" CMAKE_POLICY_VERSION_MINIMUM=3.5 MAKEFLAGS=-j$$(nproc) \
	    HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1 \
	    HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 HOROVOD_CPU_OPERATIONS=GLOO \
	    $(BIN)/pip wheel -q --no-build-isolation --no-deps -w .venv/wheels "$$spec" > .venv/horovod.log 2>&1 \
	    || { tail -n 5 .venv/horovod.log; echo "the build of $$spec failed, see .venv/horovod.log" >&2; exit 1; }; \
	  mkdir -p "$$(dirname "$$wheels")"; rm -rf "$$wheels"; mv .venv/wheels "$$wheels"; \
	fi; \
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps "$$wheels"/*.whl
