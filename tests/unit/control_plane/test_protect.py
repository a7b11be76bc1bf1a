"""Whose copies are gone although their nodes live."""

import pytest

from control_plane.protect import Relieve, bereft
from core.assignments import Assignment, Copy
from core.names import NodeId, ShardId, copy_id
from core.topology import Kind

AMS, FRA = NodeId("ams1-c1"), NodeId("fra1-c1")


def led(shard: int, disk: str, *, solo: bool = False) -> Assignment:
    standby = None if solo else Copy(FRA, copy_id("disk-fra", 1))
    return Assignment(ShardId(shard), Kind.COLLAB, 1, 1, Copy(AMS, copy_id(disk, 1)), standby)


@pytest.mark.parametrize(
    ("record", "lost"),
    [
        pytest.param(led(1, "disk-ams"), False, id="on its disk"),
        pytest.param(led(1, "disk.of.ams"), True, id="on another disk"),
        pytest.param(led(1, "old", solo=True), False, id="nobody could take over"),
    ],
)
def test_a_primary_that_was_on_another_disk_is_gone_although_its_node_lives(record: Assignment, lost: bool) -> None:
    found = list(bereft([record], "disk-ams"))
    assert found == ([Relieve(record, "ams1-c1 came back on another disk, without its copy")] if lost else [])


def test_a_copy_s_name_tells_its_disk_whatever_that_is_called() -> None:
    assert list(bereft([led(1, "disk.of.ams")], "disk.of.ams")) == []
