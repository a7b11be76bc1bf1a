#!/bin/sh
# Pin what pyproject.toml allows, with hashes and without any index address, for every supported Python.
# Usage: lock.sh, from the top of the repository. One lock per purpose, agreeing with each other.
set -eu

pin() { # pin LOCK ARGUMENTS...: write requirements/LOCK.lock.
    lock=$1
    shift
    .venv/bin/uv pip compile pyproject.toml "$@" --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header --no-annotate --quiet --output-file "requirements/$lock.lock"
}

pin dev --group dev
pin load --extra locust --constraint requirements/dev.lock
pin cluster --extra ray --extra cassandra --extra consul --extra media --constraint requirements/dev.lock
