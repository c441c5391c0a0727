# On a fresh machine with Python 3.11+ and make:
#   make lab     sets everything up, runs the notebooks on the embedded cluster, leaves the results under out/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup toolchain lab jupyter study clean

help:  ## what there is to do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(VENV)/.installed: requirements.lock pyproject.toml
	@scripts/setup $(PYTHON) $(VENV)
	@touch $@

setup: $(VENV)/.installed  ## a virtual environment with everything that Python needs

toolchain: setup  ## the control plane's binaries: found, downloaded or built (once per machine)
	@labkit toolchain fetch

lab: toolchain  ## run every notebook on the embedded cluster; results in out/
	@scripts/lab

jupyter: toolchain  ## open the notebooks in JupyterLab, on a running lab
	@labkit up && JUPYTER_PATH=$(CURDIR)/cluster/jupyter:$$JUPYTER_PATH jupyter lab --notebook-dir=notebooks

study: toolchain  ## the comparison of notebook 06: half an hour on the embedded cluster; goes on where it stopped
	@scripts/study

clean:  ## what was made in this checkout (not the cache of binaries)
	rm -rf $(VENV) out build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

### BEGIN AUTHORS
#   make test    all gates and all tests (CI leaves out those marked `long`)
# The gates are scripts, one each, the same for people and CI: see scripts/.
.PHONY: test test-kind gates unit embedded notebooks bench fidelity gpu-profile lock

# So many tests at a time, each with a lab of its own: a lab waits more than it works, so two fit on two cores.
WORKERS ?= 2

# Notebooks measure, so they begin when the tests that load the machine (fork bombs, clusters killed) are over.
test: gates unit embedded notebooks  ## all gates and all tests
.NOTPARALLEL:

gates: setup  ## ruff, mypy, import-linter, notebooks without outputs
	@scripts/lint
	@scripts/types
	@scripts/layers
	@scripts/strip-notebooks --check

unit: toolchain  ## tests that need no cluster
	@pytest -n $(WORKERS) --dist worksteal tests/unit

embedded: toolchain  ## tests on a running embedded cluster
	@pytest -n $(WORKERS) --dist loadfile tests/embedded

notebooks: toolchain  ## every notebook through papermill, with solutions and as a learner gets it
	@labkit toolchain fetch kwok
	@pytest -n $(WORKERS) --dist worksteal tests/notebooks

test-kind: toolchain  ## tests and notebooks on a kind cluster (needs Docker or Podman)
	@labkit toolchain fetch kind
	@pytest tests/kind

bench: toolchain  ## the figures that we hold ourselves to; table on screen, JSON in out/
	@scripts/bench

fidelity: toolchain  ## one scenario on embedded and on kind, every difference explained; table in out/
	@python -m tests.fidelity embedded kind

gpu-profile: setup  ## measure the timing profile of this machine's GPU (needs torch)
	@python -m labkit.gpus.measure

lock: setup  ## renew requirements.lock
	@scripts/lock
### END AUTHORS
