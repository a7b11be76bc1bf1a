"""Installs the app of another package (``tests/packages/counter_app``) as its user would, without a package index."""

import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "packages" / "counter_app"
_INSTALL = (
    "-m pip install --quiet --no-deps --no-index --no-build-isolation --disable-pip-version-check --target".split()
)


def install_counter(folder: Path) -> None:
    """Put the package and its entry point into a folder, to stand on Python's path."""
    subprocess.run([sys.executable, *_INSTALL, str(folder), str(PACKAGE)], check=True)
