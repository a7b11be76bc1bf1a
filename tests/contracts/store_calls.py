"""What tests of an assignment store ask of it, and the records that they ask about."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from control_plane.ports import (
    Adoption,
    AssignmentStore,
    Doc,
    Partition,
    PartitionState,
    ReadAnswer,
    Row,
    StoreIdentity,
    Unknown,
    WriteAnswer,
)
from core.assignments import Assignment, Copy, Evict, Leader, Promote, successor
from core.names import ControlPlaneId, CopyId, NodeId, ShardId, geography_id
from core.topology import Kind
from twinhold.v1 import event_pb2

Answer = TypeVar("Answer")

PATIENCE_S = 30.0
EU = Partition(geography_id("eu"), 0)
FRA = ControlPlaneId("fra1-cp")
AMS = ControlPlaneId("ams1-cp")
FRA_COPY = Copy(NodeId("fra1-c1"), CopyId("a.1"))
AMS_COPY = Copy(NodeId("ams1-c1"), CopyId("b.1"))
WAW_COPY = Copy(NodeId("waw1-c1"), CopyId("c.1"))


class Answered(Generic[Answer]):
    """Where a port's answer goes, later."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def __call__(self, answer: Answer) -> None:
        """Take the answer."""
        self._future.set_result(answer)

    async def value(self) -> Answer:
        """Wait for it."""
        assert not self._future.done(), "a port must not answer inside the call"
        return await asyncio.wait_for(self._future, PATIENCE_S)


def born(shard: int) -> Row:
    """Make the first record of a shard."""
    first = Assignment(ShardId(shard), Kind.COLLAB, 1, 1, FRA_COPY, AMS_COPY, "placed")
    return Row(None, first, None, Leader())


def evicted(old: Assignment) -> Row:
    """Make the primary go on alone."""
    return Row(old.fence, successor(old, Evict(), reason="silence"), Evict(), old.primary)


def promoted(old: Assignment) -> Row:
    """Make the standby take over."""
    return Row(old.fence, successor(old, Promote(), reason="lost"), Promote(), Leader())


async def write(
    store: AssignmentStore, *rows: Row, term: int = 1, docs: Sequence[Doc] = (), partition: Partition = EU
) -> WriteAnswer:
    answer = Answered[WriteAnswer]()
    store.write(partition, term, rows, docs, answer)
    return await answer.value()


async def read(store: AssignmentStore, partitions: Sequence[Partition] | None) -> ReadAnswer:
    answer = Answered[ReadAnswer]()
    store.read(partitions, answer)
    return await answer.value()


async def held(store: AssignmentStore, partition: Partition = EU) -> PartitionState:
    contents = await read(store, [partition])
    assert not isinstance(contents, Unknown), contents
    return contents[partition]


async def raised(store: AssignmentStore, term: int) -> WriteAnswer:
    answer = Answered[WriteAnswer]()
    store.raise_term(term, answer)
    return await answer.value()


async def append(store: AssignmentStore, *types: str, term: int = 1) -> WriteAnswer:
    answer = Answered[WriteAnswer]()
    store.append_events(term, [event_pb2.Event(type=one, term=term).SerializeToString() for one in types], answer)
    return await answer.value()


async def events(store: AssignmentStore, before_number: int | None, limit: int) -> list[tuple[int, str]]:
    answer = Answered[Sequence[bytes] | Unknown]()
    store.read_events(before_number, limit, answer)
    bodies = await answer.value()
    assert not isinstance(bodies, Unknown), bodies
    return [(event.number, event.type) for event in map(event_pb2.Event.FromString, bodies)]


async def identity(store: AssignmentStore) -> StoreIdentity | Unknown:
    answer = Answered[StoreIdentity | Unknown]()
    store.identity(answer)
    return await answer.value()


def raised_again(old: Assignment) -> Assignment:
    """Make the record that takes an older one's place."""
    return replace(old, incarnation=old.incarnation + 2, epoch=old.epoch + 1, reason="adopted")


async def adopt(
    store: AssignmentStore,
    *assignments: Assignment,
    term: int = 9,
    incarnations: tuple[int, int] = (1, 4),
    docs: Sequence[Doc] = (),
) -> WriteAnswer:
    answer = Answered[WriteAnswer]()
    store.adopt(term, Adoption(*incarnations, assignments, tuple(docs)), answer)
    return await answer.value()
