"""Finds a fleet's description, by preset or by path, and reads it."""

from importlib import resources
from pathlib import Path

from core.errors import NotFoundError
from core.topology import Topology
from regions.document import Entry, parsed
from regions.topology import topology

PRESETS = ("reference", "small", "laptop")


def load(name: str, *, address_base: int | None = None) -> Topology:
    """Load a fleet.

    Args:
        name: a preset, or the path of a YAML file.
        address_base: the second octet of the first data center's addresses, instead of the document's.

    Raises:
        NotFoundError: there is neither such a preset nor such a file.
        DocumentError: the description can't be; names file and line.
    """
    return topology(document(name), address_base=address_base)


def document(name: str) -> Entry:
    """Read a preset or a YAML file, parsed but not judged; raises as ``load`` does."""
    if name in PRESETS:
        return parsed((resources.files("regions") / "presets" / f"{name}.yaml").read_text(), f"{name}.yaml")
    try:
        return parsed(Path(name).read_text(), name)
    except (OSError, UnicodeDecodeError) as cause:
        remedy = f"{cause}; name a YAML file, or one of {', '.join(PRESETS)}"
        raise NotFoundError("topology", name, remedy=remedy) from cause
