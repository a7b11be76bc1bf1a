"""The last good map on disk: with it a node serves, and tells newcomers where to go, while every control plane is dead.

Written whole or not at all, and checksummed: a damaged file is as good as none.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from struct import Struct

from google.protobuf.message import DecodeError

from core.assignments import Assignment
from core.errors import MalformedError
from core.fleet_map import Revision
from core.names import ShardId, TenantName
from core.topology import Topology
from core.wire import revision_from_pb, snapshot_from_pb, snapshot_to_pb
from twinhold.v1 import assignment_pb2 as pb

MAP_FILE = "map.bin"
_DIGEST_BYTES = 16
_HEAD = Struct("<q")


@dataclass(frozen=True, slots=True)
class SavedMap:
    """A map, and when it was known to be fresh."""

    revision: Revision
    assignments: Sequence[Assignment]
    overrides: Mapping[TenantName, ShardId]
    fresh_ms: int
    """Wall clock, milliseconds since 1970, when the leader was last heard."""


def save_map(path: Path, topology: Topology, saved: SavedMap) -> None:
    """Write the file; slow (fsync), so not for a loop's thread."""
    whole = snapshot_to_pb(saved.revision, saved.assignments, saved.overrides, topology)
    body = _HEAD.pack(saved.fresh_ms) + whole.SerializeToString()
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(blake2b(body, digest_size=_DIGEST_BYTES).digest() + body)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def load_map(path: Path, topology: Topology) -> SavedMap | None:
    """Read the file; None: there is none.

    Raises:
        MalformedError: it is damaged, or another fleet's.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if len(body) < _HEAD.size or blake2b(body, digest_size=_DIGEST_BYTES).digest() != digest:
        raise MalformedError("map file", path.name, expected="a content that matches its checksum")
    try:
        whole = pb.MapSnapshot.FromString(body[_HEAD.size :])
    except DecodeError as cause:
        raise MalformedError("map file", path.name, expected="a map") from cause
    assignments, overrides = snapshot_from_pb(whole)
    revision = revision_from_pb(whole.revision, topology.fleet)
    return SavedMap(revision, assignments, overrides, _HEAD.unpack_from(body)[0])
