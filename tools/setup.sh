#!/bin/sh
# Fill .venv from a lock file; whatever is missing is one line that names the command to install it.
# Usage: setup.sh LOCK STAMP, from the top of the repository; STAMP is touched at the end.
set -eu

say() { printf 'twinhold: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

install_hint() { # Name the command that installs Python (and venv), for the package manager at hand.
    if command -v apt-get >/dev/null 2>&1; then echo "apt-get install -y $1 $1-venv"
    elif command -v dnf >/dev/null 2>&1; then echo "dnf install -y python3.12"
    elif command -v zypper >/dev/null 2>&1; then echo "zypper install -y python312"
    else echo "your package manager's python3.12"; fi
}

find_python() { # Print the first interpreter of a version that we support.
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if suits "$candidate"; then command -v "$candidate"; return; fi
    done
    found=$(python3 -V 2>/dev/null || echo 'no python3')
    fail "needs Python 3.11, 3.12 or 3.13 but found $found; install one with: $(install_hint python3)"
}

create_venv() {
    python=$(find_python)
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$version has no venv module; install it with: $(install_hint "$version")"
    rm -rf .venv
    "$python" -m venv .venv
}

[ "$(uname -s)" = Linux ] ||
    fail "runs on Linux only, this is $(uname -s); in a container: docker run --rm -it -v \"\$PWD\":/twinhold -w /twinhold python:3.12 make rehearse"
suits .venv/bin/python || create_venv

say "installing the pinned packages of requirements/$1.lock into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "requirements/$1.lock" ||
    fail "the pinned packages could not be installed; pip needs a package index that it can reach (see: pip config list)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
touch "$2"
