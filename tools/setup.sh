#!/bin/sh
# Fill .venv from a lock file; whatever is missing is one line that names the command to install it.
# Usage: setup.sh LOCK STAMP, from the top of the repository; STAMP is touched at the end.
set -eu

say() { printf 'twinhold: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
has_venv() { "$1" -c 'import venv, ensurepip' 2>/dev/null; }
suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

install_hint() { # Name the command that installs Python (and venv), for the package manager at hand.
    if command -v apt-get >/dev/null 2>&1; then echo "apt-get install -y $1 $1-venv"
    elif command -v dnf >/dev/null 2>&1; then echo "dnf install -y python3.12"
    elif command -v zypper >/dev/null 2>&1; then echo "zypper install -y python312"
    else echo "your package manager's python3.12"; fi
}

interpreters() { # Print every interpreter on the PATH that may do, the one that `python3` means first.
    for name in python3 python3.13 python3.12 python3.11; do
        (
            IFS=:
            for folder in $PATH; do [ ! -x "$folder/$name" ] || echo "$folder/$name"; done
        )
    done
}

cost() { # Print what a little everyday Python costs there: one built without optimisation costs up to a third more.
    "$1" -c '
import time
def work(kept):
    begun = time.process_time_ns()
    for n in range(60_000):
        kept[n & 255] = (n, isinstance(kept.get(n & 127), tuple))
    return time.process_time_ns() - begun
print(min(work({}) for _ in range(7)) // 1000)'
}

fastest() { # Print the interpreter that costs least; a little less is no reason to pass over the usual one.
    best='' least=''
    while read -r python; do
        suits "$python" && has_venv "$python" || continue
        took=$(cost "$python")
        if [ -z "$best" ] || [ "$took" -lt $((least * 92 / 100)) ]; then best=$python least=$took; fi
    done
    echo "$best"
}

find_python() { # Print the interpreter to use: PYTHON if it is set, else the fastest of a version that we support.
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" && { command -v "$PYTHON"; return; }
    else
        chosen=$(interpreters | fastest)
        [ -z "$chosen" ] || { echo "$chosen"; return; }
        for python in $(interpreters); do ! suits "$python" || { echo "$python"; return; }; done
    fi
    found=$("${PYTHON:-python3}" -V 2>/dev/null || echo "no ${PYTHON:-python3}")
    fail "needs Python 3.11, 3.12 or 3.13 but found $found; install one with: $(install_hint python3)"
}

create_venv() {
    python=$(find_python)
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    has_venv "$python" ||
        fail "$version has no venv module; install it with: $(install_hint "$version")"
    say "creating .venv with $python ($version)"
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
