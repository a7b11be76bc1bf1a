"""Names and ids: the only place where they are parsed and printed.

Resource names follow AIP-122: ``tenants/{geography}/{slug}``, ``shards/{number}``, ``dataCenters/{dc}``,
``nodes/{node}``, ``controlPlanes/{dc}``, ``operations/{id}``.
"""

import re
from dataclasses import dataclass
from typing import NewType

from core.errors import MalformedError

GeographyId = NewType("GeographyId", str)
RegionId = NewType("RegionId", str)
DcId = NewType("DcId", str)
NodeId = NewType("NodeId", str)
"""``{dc}-{kind letter}{number}``, e.g. ``fra1-c2``: the second collaboration node of fra1."""
CopyId = NewType("CopyId", str)
"""``{disk id}.{generation}``: random with the disk; the generation grows when a damaged copy is set aside."""
ShardId = NewType("ShardId", int)
ControlPlaneId = NewType("ControlPlaneId", str)
"""``{dc}-cp``: a control plane lives in a data center and dies with it."""

SLUG_LENGTH_MAX = 63
_LABEL = re.compile(r"[a-z][a-z0-9]*")
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NODE = re.compile(r"([a-z][a-z0-9]*)-([cm])(\d+)")
_CONTROL_PLANE = re.compile(r"([a-z][a-z0-9]*)-cp")


@dataclass(frozen=True, slots=True, order=True)
class TenantName:
    """A customer company, inside the geography that its data may not leave."""

    geography: GeographyId
    slug: str

    def __str__(self) -> str:
        return f"tenants/{self.geography}/{self.slug}"


def tenant_name(text: str) -> TenantName:
    """Parse ``tenants/{geography}/{slug}``.

    Raises:
        MalformedError: another form, or a slug that is not 1 to 63 of ``a-z 0-9 -`` with no hyphen at an end.
    """
    parts = text.split("/")
    if len(parts) != 3 or parts[0] != "tenants":
        raise MalformedError("tenant name", text, expected="tenants/{geography}/{slug}")
    return TenantName(geography_id(parts[1]), tenant_slug(parts[2]))


def tenant_slug(text: str) -> str:
    """Check the last part of a tenant's name and return it."""
    if not _SLUG.fullmatch(text):
        raise MalformedError("tenant slug", text, expected="1 to 63 of a-z, 0-9 and -, no hyphen at an end")
    return text


def fleet_id(text: str) -> str:
    """Check a fleet's id, e.g. ``reference``."""
    if not _SLUG.fullmatch(text):
        raise MalformedError("fleet", text, expected="1 to 63 of a-z, 0-9 and -, no hyphen at an end")
    return text


def geography_id(text: str) -> GeographyId:
    """Check a geography's id, e.g. ``eu``."""
    return GeographyId(_label("geography", text))


def region_id(text: str) -> RegionId:
    """Check a region's id, e.g. ``de``."""
    return RegionId(_label("region", text))


def dc_id(text: str) -> DcId:
    """Check a data center's id, e.g. ``fra1``; the resource form ``dataCenters/fra1`` is taken too."""
    return DcId(_label("data center", text.removeprefix("dataCenters/")))


def node_id(text: str) -> NodeId:
    """Check a node's id, e.g. ``fra1-c2``; the resource form ``nodes/fra1-c2`` is taken too."""
    bare = text.removeprefix("nodes/")
    if not _NODE.fullmatch(bare):
        raise MalformedError("node", text, expected="{dc}-c{number} or {dc}-m{number}, e.g. fra1-c2")
    return NodeId(bare)


def control_plane_id(text: str) -> ControlPlaneId:
    """Check a control plane's id, e.g. ``fra1-cp``; ``controlPlanes/fra1-cp`` is taken too."""
    bare = text.removeprefix("controlPlanes/")
    if not _CONTROL_PLANE.fullmatch(bare):
        raise MalformedError("control plane", text, expected="{dc}-cp, e.g. fra1-cp")
    return ControlPlaneId(bare)


def shard_id(text: str) -> ShardId:
    """Parse ``shards/{number}`` or a bare number."""
    bare = text.removeprefix("shards/")
    if not bare.isdecimal() or len(bare) > 7:
        raise MalformedError("shard", text, expected="shards/{number}")
    return ShardId(int(bare))


def dc_of(owner: NodeId | ControlPlaneId) -> DcId:
    """Name the data center in which a node or a control plane stands."""
    return DcId(owner.rsplit("-", 1)[0])


def collab_node(dc: DcId, number: int) -> NodeId:
    """Name the n-th collaboration node of a data center, from 1."""
    return NodeId(f"{dc}-c{number}")


def control_plane_in(dc: DcId) -> ControlPlaneId:
    """Name the control plane that lives in a data center."""
    return ControlPlaneId(f"{dc}-cp")


def copy_id(disk_id: str, generation: int) -> CopyId:
    """Name the copy of a shard on a disk; a higher generation is a new copy, member of nothing."""
    return CopyId(f"{disk_id}.{generation}")


def disk_of(copy: CopyId) -> str:
    """Say on which disk a copy is."""
    return copy.rpartition(".")[0]


def _label(what: str, text: str) -> str:
    if not _LABEL.fullmatch(text) or len(text) > 32:
        raise MalformedError(what, text, expected="a lower-case letter, then letters and digits, 32 at most")
    return text
