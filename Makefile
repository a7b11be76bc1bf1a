# Everything that a developer or CI runs. Each target first sets up what it needs, into .venv.
SHELL := /bin/sh
BIN := .venv/bin
PYTEST_ARGS ?=
GROUP ?=
REHEARSE_ARGS ?=
LOAD_ARGS ?=
MINUTES ?= 45
STAMP := .venv/installed.stamp
LOAD_STAMP := .venv/installed-load.stamp
CLUSTER_STAMP := .venv/installed-cluster.stamp

.DEFAULT_GOAL := help
.PHONY: help setup proto lock check test servers test-engines prove prove-model prove-mutants rehearse bench load format

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /make \1|/p' Makefile | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

setup: $(STAMP) ## Create .venv with the pinned packages and the twinhold command.

$(STAMP): requirements/dev.lock pyproject.toml tools/setup.sh
	@sh tools/setup.sh dev $(STAMP)

$(LOAD_STAMP): requirements/load.lock $(STAMP)
	@sh tools/setup.sh load $(LOAD_STAMP)

$(CLUSTER_STAMP): requirements/cluster.lock $(STAMP)
	@sh tools/setup.sh cluster $(CLUSTER_STAMP)

proto: $(STAMP) ## Generate the Python code beside each .proto file.
	$(BIN)/python tools/proto.py generate

lock: $(STAMP) ## Pin the newest versions that pyproject.toml allows.
	sh tools/lock.sh

format: $(STAMP) ## Format Python and proto files.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/buf format -w proto

check: $(STAMP) ## Format, lint, types, floors, staircase, proto lint and breaking, fresh generated code.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/staircase.py
	$(BIN)/python tools/proto.py lint
	$(BIN)/python tools/proto.py breaking
	$(BIN)/python tools/proto.py fresh

test: $(STAMP) ## Run every test that needs no server of somebody else's (at most 10 minutes).
	$(BIN)/python tools/run_tests.py $(PYTEST_ARGS)

servers: ## Fetch Cassandra and Consul into .tools (needs Java 17, Maven, apt).
	@sh tools/servers.sh

test-engines: $(CLUSTER_STAMP) ## Run the tests against the real Cassandra, Consul and Ray (at most 20 minutes).
	@sh tools/servers.sh || echo "twinhold: WHAT NEEDS IT IS SKIPPED BELOW" >&2
	$(BIN)/pytest -m engines $(PYTEST_ARGS)

prove: $(STAMP) ## Run fresh simulated schedules for MINUTES (45), every mutant and the larger model.
	$(BIN)/twinhold sim run --minutes $(MINUTES) --total docs/proof.json
	$(MAKE) prove-mutants
	$(MAKE) prove-model

prove-model: $(STAMP) ## Check the TLA+ model at large, and see every mutant of it caught (needs Java).
	$(BIN)/python -m tests.model.prove

prove-mutants: $(STAMP) ## Hunt every mutant within its budget, and write docs/mutants.md.
	$(BIN)/python -m tests.sim.mutants --write

rehearse: $(STAMP) ## Lose a data center on this machine and see that nothing is lost.
	$(BIN)/twinhold rehearse $(REHEARSE_ARGS)

bench: $(STAMP) ## Measure writes, failover and switchover into bench.json; GROUP= picks one group.
	$(BIN)/python -m chaos.bench $(GROUP)

load: $(LOAD_STAMP) ## Run the Locust load against a running fleet.
	$(BIN)/locust -f loadtests/locustfile.py $(LOAD_ARGS)
