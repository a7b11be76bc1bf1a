"""Writes: batched per partition and turn, never claimed done or not done when that is not known."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from chaos.sim.time import Host, World
from control_plane.catalog import partitions_of
from control_plane.memory_store import Fate, MemoryStore, Vault
from control_plane.ports import Applied, Doc, Partition, Refused, Row, Unknown
from control_plane.writer import Answer, Writer
from core.assignments import Add, Assignment, Copy, Leader, Promote, successor
from core.names import ControlPlaneId, CopyId, NodeId, ShardId
from core.topology import Kind
from tests.unit.control_plane.lands import two_lands

TOPOLOGY = two_lands()
HOMES = partitions_of(TOPOLOGY)
ME = ControlPlaneId("fra1-cp")
A, B = Copy(NodeId("fra1-c1"), CopyId("a.1")), Copy(NodeId("par1-c1"), CopyId("b.1"))


def first(shard: int) -> Assignment:
    return Assignment(ShardId(shard), Kind.COLLAB, 1, 1, A, B)


def create(shard: int) -> Row:
    return Row(None, first(shard), None, Leader())


def promote(shard: int) -> Row:
    base = first(shard)
    return Row(base.fence, successor(base, Promote(), reason="lost"), Promote(), Leader())


@dataclass
class Desk:
    """A writer on a store in memory, whose every call fares as the next fate says."""

    fates: list[Fate] = field(default_factory=list)
    calls: list[Sequence[Partition]] = field(default_factory=list)
    learned: list[Assignment] = field(default_factory=list)
    filed: list[Doc] = field(default_factory=list)
    deposed: list[int] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    barred: str = ""

    def __post_init__(self) -> None:
        self.world = World(1)
        host = Host(self.world, "me", offset_s=50.0)
        self.vault = Vault(TOPOLOGY, host)
        store = MemoryStore(self.vault, ME, clock=host, weather=self.weather, deadline_s=1.0)
        self.writer = Writer(
            store,
            host,
            1,
            learned=self.learned.extend,
            filed=self.filed.append,
            deposed=self.deposed.append,
            forgot=self.forgotten.append,
            barred=lambda shard: self.barred,
        )

    def weather(self, caller: ControlPlaneId, partitions: Sequence[Partition]) -> Fate:
        self.calls.append(tuple(partitions))
        return self.fates.pop(0) if self.fates else Fate(0.01, 0.01)

    def put(self, *rows: Row) -> list[Answer]:
        self.answers = []
        for row in rows:
            self.writer.put(HOMES[row.new.shard], row, self.answers.append)
        self.world.run(self.world.now + 5.0)
        return self.answers


def test_the_rows_of_one_turn_and_partition_go_in_one_write() -> None:
    desk = Desk()
    assert desk.put(*(create(shard) for shard in range(60))) == [Applied()] * 60
    assert len(desk.calls) == 1
    assert len(desk.learned) == 60


def test_a_row_that_moved_on_is_refused_and_what_the_store_holds_is_learned() -> None:
    desk = Desk()
    desk.put(create(1), create(2))
    desk.vault.write(HOMES[ShardId(1)], 1, [promote(1)], [])
    other = successor(first(1), Promote(), reason="by another")
    refused, applied = desk.put(Row(first(1).fence, other, Promote(), Leader()), promote(2))
    assert refused == Refused(promote(1).new)
    assert applied == Applied()
    assert promote(1).new in desk.learned


@pytest.mark.parametrize(
    ("fate", "answer"),
    [
        pytest.param(Fate(0.01, None), Applied(), id="the answer is lost: read back as applied"),
        pytest.param(Fate(None, None), Unknown, id="the call is lost: it may still come"),
        pytest.param(Fate(2.5, 0.01), Unknown, id="the call is late: it is not there when read back"),
    ],
)
def test_an_unanswered_write_is_read_back_before_it_is_answered(fate: Fate, answer: Answer | type[Unknown]) -> None:
    desk = Desk()
    desk.put(create(1))
    desk.fates = [fate]
    found = desk.put(promote(1))
    assert found == [answer] if isinstance(answer, Applied) else isinstance(found[0], Unknown)


def test_without_any_answer_nothing_is_claimed_and_nothing_learned() -> None:
    desk = Desk(fates=[Fate(None, None), Fate(None, None)])
    assert isinstance(desk.put(create(1))[0], Unknown)
    assert desk.learned == []


def test_the_same_row_again_counts_as_applied() -> None:
    desk = Desk()
    desk.put(create(1))
    assert desk.put(promote(1)) == [Applied()]
    assert desk.put(promote(1)) == [Applied()]


def test_a_newer_term_deposes_and_nothing_is_written_any_more() -> None:
    desk = Desk()
    desk.vault.write(HOMES[ShardId(1)], 7, [], [])
    assert isinstance(desk.put(create(1))[0], Unknown)
    assert desk.deposed == [7]
    calls = len(desk.calls)
    assert isinstance(desk.put(create(70))[0], Unknown)
    assert len(desk.calls) == calls


def test_docs_are_filed_as_the_store_holds_them() -> None:
    desk = Desk()
    answers: list[Answer] = []
    mine, theirs = Doc("cordons/fra1", 1, b"mine"), Doc("cordons/fra1", 1, b"theirs")
    desk.writer.file(theirs, answers.append)
    desk.world.run(1.0)
    desk.writer.file(mine, answers.append)
    desk.world.run(2.0)
    assert answers == [Applied(), Refused(theirs)]
    assert desk.filed == [theirs, theirs]


def test_closing_answers_what_waits() -> None:
    desk = Desk()
    answers: list[Answer] = []
    desk.writer.put(HOMES[ShardId(1)], create(1), answers.append)
    desk.writer.close()
    assert [type(answer) for answer in answers] == [Unknown]
    assert desk.writer.pending == 0


def test_a_store_that_holds_less_than_a_write_was_made_on_has_forgotten_it() -> None:
    desk = Desk()
    desk.writer.put(HOMES[ShardId(1)], create(1), desk.answers.append)
    desk.writer.file(Doc("cordons/waw1", 1, b"x"), desk.answers.append)
    desk.world.run(1.0)
    backup = desk.vault.backup()
    desk.writer.put(HOMES[ShardId(1)], promote(1), desk.answers.append)
    desk.writer.file(Doc("cordons/waw1", 2, b"y"), desk.answers.append)
    desk.world.run(2.0)
    assert desk.answers == [Applied()] * 4
    assert desk.forgotten == []
    desk.vault.restore(backup, noticed=False)
    solo = promote(1).new
    add = Row(solo.fence, successor(solo, Add(A), reason=""), Add(A), solo.primary)
    desk.writer.put(HOMES[ShardId(1)], add, desk.answers.append)
    desk.writer.file(Doc("cordons/waw1", 3, b"z"), desk.answers.append)
    desk.world.run(3.0)
    assert desk.forgotten == ["shard 1 at 1.2", "version 2 of cordons/waw1"]


def test_what_lost_a_race_was_not_forgotten() -> None:
    desk = Desk()
    desk.writer.put(HOMES[ShardId(1)], create(1), desk.answers.append)
    desk.world.run(1.0)
    for _ in range(2):
        desk.writer.put(HOMES[ShardId(1)], promote(1), desk.answers.append)
    desk.writer.put(HOMES[ShardId(1)], create(1), desk.answers.append)
    desk.world.run(2.0)
    assert desk.answers[-1] == Refused(promote(1).new)
    assert desk.forgotten == []


def test_nothing_is_sent_while_it_is_barred() -> None:
    desk = Desk(barred="the store was restored")
    desk.writer.put(HOMES[ShardId(1)], create(1), desk.answers.append)
    desk.writer.file(Doc("cordons/waw1", 1, b"x"), desk.answers.append)
    desk.world.run(5.0)
    assert desk.calls == []
    assert desk.answers == [Unknown("the store was restored")] * 2
    assert desk.writer.pending == 0
