"""The last good map on disk."""

from pathlib import Path

import pytest

from core.assignments import Assignment, Copy
from core.errors import MalformedError
from core.fleet_map import Revision
from core.names import CopyId, NodeId, ShardId, tenant_name
from core.topology import Kind
from nodes.io.map_file import SavedMap, load_map, save_map
from tests.unit.core.fleets import two_geographies

FLEET = two_geographies()
PAIR = (Copy(NodeId("fra1-c1"), CopyId("a.1")), Copy(NodeId("ams1-c1"), CopyId("b.1")))
SAVED = SavedMap(
    Revision(1, 2, 3),
    [Assignment(ShardId(shard), Kind.COLLAB, 1, 7, *PAIR) for shard in range(3)],
    {tenant_name("tenants/eu/acme"): ShardId(2)},
    fresh_ms=1_700_000_000_000,
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save_map(tmp_path / "map.bin", FLEET, SAVED)
    assert load_map(tmp_path / "map.bin", FLEET) == SAVED
    assert [file.name for file in tmp_path.iterdir()] == ["map.bin"]


def test_no_file_is_no_map(tmp_path: Path) -> None:
    assert load_map(tmp_path / "map.bin", FLEET) is None


@pytest.mark.parametrize("place", [0, 20, 60, -1], ids=["checksum", "head", "middle", "end"])
def test_a_flipped_bit_is_found(tmp_path: Path, place: int) -> None:
    path = tmp_path / "map.bin"
    save_map(path, FLEET, SAVED)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(MalformedError):
        load_map(path, FLEET)


@pytest.mark.parametrize("length", [0, 10, 30])
def test_a_torn_file_is_found(tmp_path: Path, length: int) -> None:
    path = tmp_path / "map.bin"
    save_map(path, FLEET, SAVED)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(MalformedError):
        load_map(path, FLEET)
