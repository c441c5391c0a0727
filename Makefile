# On a fresh machine with Python 3.11+ and make:
#   make lab     sets everything up, runs the notebooks on the embedded cluster, leaves the results under out/

PYTHON ?= python3
# One environment for all editions: an edition in a course's folder (learn/) works with the course's own.
VENV := $(if $(and $(wildcard .labkit-release.json),$(wildcard ../.venv/.installed)),../.venv,.venv)
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# They may be set for another Python, and would mislead ours.
unexport PYTHONHOME PYTHONPATH

.PHONY: help setup toolchain lab jupyter shell study clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

ifeq ($(VENV),.venv)
$(VENV)/.installed: requirements.lock pyproject.toml cluster/pyproject.toml
	@scripts/setup $(PYTHON) $(VENV)
	@touch $@
endif

setup: $(VENV)/.installed  ## create the virtual environment with all Python packages

toolchain: setup  ## the control plane's binaries: found, downloaded or built (once per machine)
	@labkit toolchain fetch >$(if $(filter toolchain,$(MAKECMDGOALS)),/dev/stdout,/dev/null)

# How many labs run side by side: one for each core with 4 GiB of memory.
WORKERS ?= $(shell $(PYTHON) -c 'from os import cpu_count, sysconf; \
	print(max(1, min(8, cpu_count() or 1, sysconf("SC_PHYS_PAGES") * sysconf("SC_PAGE_SIZE") >> 32)))')

lab: toolchain  ## run every notebook on the embedded cluster; results in out/
	@LABS=$${LABS:-$(WORKERS)} scripts/lab

# Its flags: make jupyter JUPYTER_ARGS="--no-browser --port=8899"
jupyter: toolchain  ## work through the course: your edition (learn/) in JupyterLab, on a running lab
	@exec labkit jupyter $(JUPYTER_ARGS)

shell: setup  ## start a shell with labkit, kubectl and jupyter on PATH
	@exec "$${SHELL:-/bin/sh}"

study: toolchain  ## the comparison of notebook 06: half an hour on the embedded cluster; continues where it stopped
	@scripts/study

clean:  ## delete what was made in this checkout (not the cache of binaries)
	rm -rf $(VENV) out build .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache

### BEGIN AUTHORS
#   make test        what CI runs: all gates and all tests but those marked `long`
#   make test-all    those, too: hours on two cores
# The gates are scripts, one each, the same for people and CI: see scripts/.
.PHONY: test test-all test-kind gates unit embedded notebooks browser bench conformance fidelity gpu-profile lock

CHOSEN ?= -m "not long"

# Notebooks measure, so they begin when the tests that load the machine (fork bombs, clusters killed) are over.
test: gates unit embedded notebooks browser  ## what CI runs: all gates, and all tests except the long ones

test-all: CHOSEN =
test-all: test test-kind  ## every test: hours on two cores
.NOTPARALLEL:

gates: setup  ## ruff, mypy, import-linter, notebooks without outputs, one version of Kubernetes, the page of fields
	@scripts/lint
	@scripts/types
	@scripts/layers
	@scripts/strip-notebooks --check
	@scripts/kubernetes-version --check
	@scripts/fields --check

unit: toolchain  ## tests that need no cluster
	@scripts/tests $(CHOSEN) -n $(WORKERS) --dist worksteal tests/*/unit

# In the files' order: by itself, the file whose one test takes five minutes would come last.
embedded: toolchain  ## tests on a running embedded cluster
	@scripts/tests $(CHOSEN) -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/*/live

notebooks: toolchain  ## every notebook through papermill, with solutions and as a learner gets it
	@labkit toolchain fetch kwok
	@scripts/tests $(CHOSEN) -n $(WORKERS) --dist worksteal tests/notebooks

browser: toolchain  ## your edition in JupyterLab and a real browser (needs Chromium); pictures in out/browser/
	@scripts/browser $(BIN)/python
	@scripts/tests $(CHOSEN) tests/browser

test-kind: toolchain  ## tests and notebooks on a kind cluster (needs Docker or Podman)
	@labkit toolchain fetch kind
	@scripts/tests $(CHOSEN) tests/*/kind

bench: toolchain  ## measure the figures of docs/how-real.md; table on screen, JSON in out/
	@scripts/bench

# Areas, --failed, --slice, --provider kind: make conformance CONFORMANCE="--failed node"
conformance: toolchain  ## Kubernetes' own end-to-end suite on the embedded cluster; what ran is not run again
	@python -m tests.conformance $(CONFORMANCE)

fidelity: toolchain  ## one scenario on embedded and on kind, every difference explained; table in out/
	@python -m tests.fidelity embedded kind

gpu-profile: setup  ## measure the timing profile of this machine's GPU (needs torch)
	@python -m localcluster.gpus.measure

lock: setup  ## update requirements.lock
	@scripts/lock
### END AUTHORS
