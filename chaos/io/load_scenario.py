"""Finds a scenario, the default one or a file, and reads it."""

from importlib import resources
from pathlib import Path

from chaos.scenario import Scenario, scenario
from core.errors import NotFoundError

DEFAULT = "default"
SMALL = "small"


def load_scenario(path: Path | None) -> Scenario:
    """Read a scenario; None: the default one.

    Raises:
        NotFoundError: the file can't be read.
        DocumentError: it can't be; names file and line.
    """
    if path is None:
        return shipped(DEFAULT)
    try:
        return scenario(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as cause:
        remedy = f"{cause}; name a YAML file, or leave it out for the default rehearsal"
        raise NotFoundError("scenario", path, remedy=remedy) from cause


def shipped(name: str) -> Scenario:
    """Read one of the scenarios that come with the package."""
    return scenario((resources.files("chaos") / "scenarios" / f"{name}.yaml").read_text(), f"{name}.yaml")
