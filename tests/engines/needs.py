"""Says loudly what a test against a real server lacks on this machine."""

import os
import shutil

import pytest

from regions.io.server_process import TOOLS


def need(path: str, *programs: str) -> None:
    """Skip what can't run here, for a reason that names the remedy; in CI that is a failure.

    Args:
        path: what has to be in `.tools`.
        programs: what has to be installed besides.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    missing += [] if (TOOLS / path).exists() else [path]
    if not missing:
        return
    line = f"{' and '.join(missing)} not found: run `make servers`, which says what this machine lacks"
    if os.environ.get("CI") == "true":
        pytest.fail(line)
    pytest.skip(line)
