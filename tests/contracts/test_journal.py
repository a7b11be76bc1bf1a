"""What every journal guarantees (PROTOCOL.md sections 1 to 5), in memory and on a real disk."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.assignments import Assignment, Copy
from core.copies import NOTHING_QUARANTINED, Quarantined
from core.errors import DamagedError, UnavailableError
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind
from nodes.apps.wire import Entry, entry_body
from nodes.io.journal_database import DATABASE, LOG, LOG_BYTES
from nodes.io.sqlite_journal import SqliteJournal
from nodes.memory_journal import MemoryDisk, MemoryJournal
from nodes.ports import CopyMeta, DiskError, Intent, Journal, Recovered, Span
from nodes.records import EMPTY, Generation, Record, Tip, following, tip_of

PATIENCE_S = 20.0
LIMIT_BYTES = 1 << 20
FIRST = Generation(1, 1, 1)
SECOND = Generation(1, 2, 5)
SEVEN = ShardId(7)
NINE = ShardId(9)
Done = Callable[[DiskError | None], None]
Deed = Callable[[Done], None]
Calls = SimpleQueue[Callable[[], None]]


class World(Protocol):
    """A disk, and what can happen to it."""

    calls: Calls

    @property
    def journal(self) -> Journal:
        """The running process's journal."""
        ...

    def reopen(self) -> None:
        """End the process and start another one on the same disk."""
        ...

    def open_another(self) -> object:
        """Start a second process beside the first."""
        ...

    def flip(self, shard: ShardId, lsn: int) -> None:
        """Change one bit of a record on the disk."""
        ...

    def flip_snapshot(self, shard: ShardId) -> None:
        """Change one bit of a snapshot on the disk."""
        ...

    def refusing(self) -> AbstractContextManager[None]:
        """Let the disk refuse for a while."""
        ...

    def orphans(self) -> list[tuple[int, list[int]]]:
        """List what truncation moved out of the way: shard, and lsns."""
        ...

    def orphan_snapshots(self) -> list[tuple[int, int, list[bytes]]]:
        """List the snapshots that a peer's took the place of: shard, lsn, and parts."""
        ...

    def close(self) -> None:
        """End everything."""
        ...


class MemoryWorld:
    """The in-memory adapter."""

    def __init__(self) -> None:
        self.calls: Calls = SimpleQueue()
        self.disk = MemoryDisk("d1")
        self.memory = MemoryJournal(self.disk, self.calls.put)

    @property
    def journal(self) -> Journal:
        return self.memory

    def reopen(self) -> None:
        self.memory.close()
        self.memory = MemoryJournal(self.disk, self.calls.put)

    def open_another(self) -> object:
        return MemoryJournal(self.disk, self.calls.put)

    def flip(self, shard: ShardId, lsn: int) -> None:
        self.disk.flip(shard, lsn)

    def flip_snapshot(self, shard: ShardId) -> None:
        self.disk.flip_snapshot(shard)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.disk.refusal = "database or disk is full"
        yield
        self.disk.refusal = ""

    def orphans(self) -> list[tuple[int, list[int]]]:
        return [(shard, [record.lsn for record in records]) for shard, records in self.disk.orphans]

    def orphan_snapshots(self) -> list[tuple[int, int, list[bytes]]]:
        return [(shard, tip.lsn, parts) for shard, tip, parts in self.disk.orphan_snapshots]

    def close(self) -> None:
        self.memory.close()


def opened(directory: Path, calls: Calls) -> SqliteJournal:
    return SqliteJournal(directory, call_soon=calls.put, call_soon_threadsafe=calls.put)


class SqliteWorld:
    """The real one."""

    def __init__(self, directory: Path) -> None:
        self.calls: Calls = SimpleQueue()
        self.directory = directory
        self.sqlite = opened(directory, self.calls)
        self.sqlite.recover()

    @property
    def journal(self) -> Journal:
        return self.sqlite

    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = opened(self.directory, self.calls)

    def open_another(self) -> object:
        return opened(self.directory, self.calls)

    def flip(self, shard: ShardId, lsn: int) -> None:
        self._change("SELECT body FROM records WHERE shard = ? AND lsn = ?", "records", "body", (shard, lsn))

    def flip_snapshot(self, shard: ShardId) -> None:
        self._change("SELECT body FROM snapshot_parts WHERE shard = ?", "snapshot_parts", "body", (shard,))

    @contextmanager
    def refusing(self) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def orphans(self) -> list[tuple[int, list[int]]]:
        files = [one for one in sorted((self.directory / "orphan").glob("*")) if "-snapshot-" not in one.name]
        lines = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
        return [(found[0]["shard"], [line["lsn"] for line in found]) for found in lines]

    def orphan_snapshots(self) -> list[tuple[int, int, list[bytes]]]:
        found = []
        for file in sorted((self.directory / "orphan").glob("shard-*-snapshot-*")):
            head, *parts = (json.loads(line)["row"] for line in file.read_text().splitlines())
            found.append((head[0], head[2], [b64decode(part[3]) for part in parts]))
        return found

    def close(self) -> None:
        self.sqlite.close()

    def _change(self, select: str, table: str, column: str, key: tuple[int, ...]) -> None:
        where = select.partition(" WHERE ")[2]
        database = sqlite3.connect(self.directory / DATABASE)
        (body,) = database.execute(select, key).fetchone()
        database.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (bytes((body[0] ^ 1,)) + body[1:], *key))
        database.commit()
        database.close()


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made: World = MemoryWorld() if request.param == "memory" else SqliteWorld(tmp_path)
    yield made
    made.close()


def chain(count: int, *, after: Tip = EMPTY, generation: Generation = FIRST, size_bytes: int = 20) -> list[Record]:
    """Make records that follow each other."""
    made = list[Record]()
    for number in range(count):
        made.append(following(tip_of(made[-1]) if made else after, generation, b"%d" % number + b"x" * size_bytes))
    return made


def all_done(world: World, *deeds: Deed) -> list[DiskError | None]:
    """Give deeds, and wait for their answers."""
    answers: list[DiskError | None] = []
    for deed in deeds:
        deed(answers.append)
    assert answers == [], "a journal must not answer inside the call"
    while len(answers) < len(deeds):
        world.calls.get(timeout=PATIENCE_S)()
    return answers


def append(world: World, shard: ShardId, records: Sequence[Record], *, quiet: bool = False) -> Deed:
    return lambda done: world.journal.append(shard, records, done, quiet=quiet)


def save_meta(world: World, shard: ShardId, meta: CopyMeta) -> Deed:
    return lambda done: world.journal.save_meta(shard, meta, done)


def save_snapshot(world: World, shard: ShardId, tip: Tip, parts: Sequence[bytes], *, orphan: bool = False) -> Deed:
    return lambda done: world.journal.save_snapshot(shard, tip, parts, done, orphan=orphan)


def truncate(world: World, shard: ShardId, keep_lsn: int, *, orphan: bool, lossy: bool = False) -> Deed:
    return lambda done: world.journal.truncate(shard, keep_lsn=keep_lsn, orphan=orphan, done=done, lossy=lossy)


def set_aside(world: World, shard: ShardId) -> Deed:
    return lambda done: world.journal.set_aside(shard, done)


def born(world: World, shard: ShardId, records: Sequence[Record]) -> None:
    """Make a copy that holds records."""
    meta = CopyMeta(world.journal.fresh_copy_id(shard), FIRST)
    assert all_done(world, save_meta(world, shard, meta), append(world, shard, records)) == [None, None]


def restarted(world: World) -> dict[ShardId, Recovered]:
    """Start again, and read what there is."""
    world.reopen()
    return {one.shard: one for one in world.journal.recover()}


def held(world: World, shard: ShardId, *, after_lsn: int = 0) -> list[Record]:
    return world.journal.read(shard, after_lsn=after_lsn, limit_bytes=LIMIT_BYTES)


def test_a_new_disk_holds_nothing(world: World) -> None:
    assert restarted(world) == {}
    assert world.journal.recover_one(SEVEN) is None
    assert held(world, SEVEN) == []
    assert world.journal.load_snapshot(SEVEN) is None
    assert world.journal.fresh_copy_id(SEVEN) == f"{world.journal.disk_id}.1"


def test_what_is_done_is_read_back_before_and_after_a_restart(world: World) -> None:
    records = chain(150)
    born(world, SEVEN, records[:100])
    born(world, NINE, records[:3])
    assert all_done(world, append(world, SEVEN, records[100:])) == [None]
    assert held(world, SEVEN) == records
    found = restarted(world)
    assert held(world, SEVEN, after_lsn=98) == records[98:]
    assert [(one.tip, one.floor, one.damage) for one in found.values()] == [
        (tip_of(records[-1]), EMPTY, ""),
        (tip_of(records[2]), EMPTY, ""),
    ]


def test_nothing_shows_before_it_is_durable(world: World) -> None:
    answers: list[DiskError | None] = []
    append(world, SEVEN, chain(2))(answers.append)
    assert answers == []
    while not answers:
        world.calls.get(timeout=PATIENCE_S)()
    assert held(world, SEVEN) == chain(2)


def test_deeds_of_many_shards_are_answered_in_the_order_in_which_they_came(world: World) -> None:
    order: list[int] = []
    records = chain(3)
    for number in range(90):
        shard, record = ShardId(number % 30), records[number // 30]
        append(world, shard, [record], quiet=number % 3 > 0)(lambda error, number=number: order.append(number))  # type: ignore[misc]  # mypy can't infer a lambda with a default
    world.journal.hasten()
    while len(order) < 90:
        world.calls.get(timeout=PATIENCE_S)()
    assert order == list(range(90))


def test_a_quiet_deed_is_told_of_when_somebody_waits(world: World) -> None:
    answers: list[DiskError | None] = []
    born(world, NINE, chain(1))
    append(world, SEVEN, chain(2), quiet=True)(answers.append)
    until = time.monotonic() + PATIENCE_S
    while held(world, SEVEN) != chain(2):
        assert time.monotonic() < until, "it never became durable"
        if not world.calls.empty():
            world.calls.get()()
    while not world.calls.empty():
        world.calls.get()()
    assert answers == []
    world.journal.hasten()
    assert answers == [], "a journal must not answer inside the call"
    while not answers:
        world.calls.get(timeout=PATIENCE_S)()
    assert answers == [None]


def test_a_quiet_deed_that_somebody_waits_for_before_it_is_done_is_told_of_at_once(world: World) -> None:
    answers: list[DiskError | None] = []
    append(world, SEVEN, chain(2), quiet=True)(answers.append)
    world.journal.hasten()
    while not answers:
        world.calls.get(timeout=PATIENCE_S)()
    assert answers == [None]


def test_a_quiet_deed_is_told_of_before_a_later_one(world: World) -> None:
    told: list[str] = []
    append(world, SEVEN, chain(2), quiet=True)(lambda _: told.append("quiet"))
    append(world, NINE, chain(2))(lambda _: told.append("not quiet"))
    while len(told) < 2:
        world.calls.get(timeout=PATIENCE_S)()
    assert told == ["quiet", "not quiet"]


def test_a_quiet_deed_that_the_disk_refuses_is_told_of_at_once(world: World) -> None:
    born(world, SEVEN, chain(1))
    answers: list[DiskError | None] = []
    with world.refusing():
        append(world, SEVEN, chain(2)[1:], quiet=True)(answers.append)
        while not answers:
            world.calls.get(timeout=PATIENCE_S)()
    assert isinstance(answers[0], DiskError)


def test_a_read_takes_at_least_one_record_and_then_keeps_to_its_limit(world: World) -> None:
    records = chain(10, size_bytes=1000)
    born(world, SEVEN, records)
    assert world.journal.read(SEVEN, after_lsn=0, limit_bytes=1) == records[:1]
    assert world.journal.read(SEVEN, after_lsn=4, limit_bytes=3100) == records[4:7]
    assert world.journal.read(SEVEN, after_lsn=10, limit_bytes=1) == []
    assert world.journal.read(SEVEN, after_lsn=99, limit_bytes=1) == []


def test_places_are_looked_up_within_the_journal(world: World) -> None:
    records = chain(5)
    born(world, SEVEN, records)
    assert [world.journal.tip_at(SEVEN, lsn) for lsn in (0, 3, 5, 6)] == [
        EMPTY,
        tip_of(records[2]),
        tip_of(records[4]),
        None,
    ]


def test_the_epoch_table_is_read_from_the_records(world: World) -> None:
    old = chain(3)
    new = chain(2, after=tip_of(old[-1]), generation=SECOND)
    born(world, SEVEN, [*old, *new])
    assert restarted(world)[SEVEN].spans == (Span(FIRST, 1), Span(SECOND, 4))


def test_meta_is_replaced_whole_and_kept(world: World) -> None:
    primary = Copy(NodeId("fra1-c1"), CopyId("d1.1"))
    standby = Copy(NodeId("ams1-c1"), CopyId("d2.4"))
    meta = CopyMeta(
        CopyId("d1.1"),
        SECOND,
        Assignment(SEVEN, Kind.COLLAB, 1, 2, primary, standby, "placed"),
        (Intent("swap", 1, 2, standby, 14), Intent("drain", 1, 2, None, 15)),
    )
    born(world, SEVEN, chain(3))
    assert all_done(world, save_meta(world, SEVEN, meta)) == [None]
    assert restarted(world)[SEVEN].meta == meta


@pytest.mark.parametrize("lsn", [1, 3, 5])
def test_a_flipped_bit_is_found_at_read_and_at_start_and_named(world: World, lsn: int) -> None:
    born(world, SEVEN, chain(5))
    born(world, NINE, chain(5))
    world.flip(SEVEN, lsn)
    with pytest.raises(DamagedError, match=f"shard 7 is damaged at lsn {lsn} "):
        held(world, SEVEN)
    assert held(world, NINE) == chain(5)
    found = restarted(world)
    assert f"shard 7 is damaged at lsn {lsn} " in found[SEVEN].damage
    assert found[SEVEN].tip.lsn == lsn - 1, "what is good before it is told"
    assert found[NINE].damage == ""
    alone = world.journal.recover_one(SEVEN)
    assert alone is not None
    assert f"lsn {lsn} " in alone.damage
    with pytest.raises(DamagedError, match=f"shard 7 is damaged at lsn {lsn} "):
        held(world, SEVEN)


def test_a_flipped_bit_in_a_snapshot_is_found_at_read_and_at_start(world: World) -> None:
    records = chain(5)
    born(world, SEVEN, records)
    assert all_done(world, save_snapshot(world, SEVEN, tip_of(records[3]), [b"part 1", b"part 2"])) == [None]
    world.flip_snapshot(SEVEN)
    with pytest.raises(DamagedError, match=r"shard 7 is damaged at lsn 4 .*snapshot"):
        world.journal.load_snapshot(SEVEN)
    assert "snapshot" in restarted(world)[SEVEN].damage


def test_truncation_moves_what_it_drops_to_the_orphans(world: World) -> None:
    records = chain(6)
    born(world, SEVEN, records)
    assert all_done(world, truncate(world, SEVEN, 4, orphan=True), truncate(world, SEVEN, 4, orphan=True)) == [None] * 2
    others = chain(2, after=tip_of(records[3]), generation=SECOND)
    assert all_done(world, append(world, SEVEN, others)) == [None]
    assert world.orphans() == [(7, [5, 6])]
    assert held(world, SEVEN) == [*records[:4], *others]
    assert restarted(world)[SEVEN].tip == tip_of(others[-1])
    assert held(world, SEVEN) == [*records[:4], *others]


def test_what_may_have_been_acknowledged_is_counted_by_tenant_for_good(world: World) -> None:
    bodies = [entry_body(Entry(f"tenants/eu/{who}", "chat", 1, "ada", "id", b"", 1, (), b"")) for who in "aabbbc"]
    records = list[Record]()
    for body in bodies:
        records.append(following(tip_of(records[-1]) if records else EMPTY, FIRST, body))
    born(world, SEVEN, records)
    assert world.journal.quarantined(SEVEN) == NOTHING_QUARANTINED
    assert all_done(world, truncate(world, SEVEN, 5, orphan=True)) == [None]
    assert world.journal.quarantined(SEVEN) == NOTHING_QUARANTINED, (
        "an ordinary cut takes nothing away that was acknowledged"
    )
    assert all_done(world, truncate(world, SEVEN, 4, orphan=True, lossy=True)) == [None]
    assert all_done(world, truncate(world, SEVEN, 1, orphan=True, lossy=True)) == [None]
    counts = Quarantined((("tenants/eu/b", 3), ("tenants/eu/a", 1)))
    assert world.journal.quarantined(SEVEN) == counts
    assert all_done(world, save_snapshot(world, SEVEN, tip_of(records[0]), [b"own"])) == [None]
    assert all_done(world, truncate(world, SEVEN, 0, orphan=True, lossy=True)) == [None]
    assert world.journal.quarantined(SEVEN) == replace(counts, snapshot_lsn=1)
    restarted(world)
    assert world.journal.quarantined(SEVEN) == replace(counts, snapshot_lsn=1)
    assert world.journal.quarantined(NINE) == NOTHING_QUARANTINED


@pytest.mark.parametrize("orphan", [True, False])
def test_a_peers_snapshot_moves_the_one_before_to_the_orphans_if_asked_to(world: World, orphan: bool) -> None:
    records = chain(4)
    born(world, SEVEN, records)
    own, theirs = tip_of(records[-1]), Tip(9, SECOND, bytes(range(16)))
    assert all_done(world, save_snapshot(world, SEVEN, own, [b"own state"], orphan=orphan)) == [None]
    assert world.orphan_snapshots() == [], "its own snapshot takes nobody's place"
    assert all_done(world, save_snapshot(world, SEVEN, theirs, [b"their state"], orphan=orphan)) == [None]
    assert world.orphan_snapshots() == ([(7, 4, [b"own state"])] if orphan else [])
    assert world.journal.load_snapshot(SEVEN) == (theirs, [b"their state"])


def test_to_keep_nothing_is_to_drop_the_snapshot_too(world: World) -> None:
    records = chain(6)
    born(world, SEVEN, records)
    floor = tip_of(records[3])
    assert all_done(world, save_snapshot(world, SEVEN, floor, [b"state"])) == [None]
    (refused,) = all_done(world, truncate(world, SEVEN, 2, orphan=True))
    assert refused is not None, "entry 2 is in the snapshot"
    assert "up to 4" in refused.cause
    assert all_done(world, truncate(world, SEVEN, 0, orphan=True)) == [None]
    assert world.orphan_snapshots() == [(7, 4, [b"state"])]
    assert world.orphans() == [(7, [5, 6])]
    assert world.journal.load_snapshot(SEVEN) is None
    others = chain(2, generation=SECOND)
    assert all_done(world, append(world, SEVEN, others)) == [None]
    found = restarted(world)[SEVEN]
    assert (found.floor, found.tip, found.damage) == (EMPTY, tip_of(others[-1]), "")
    assert held(world, SEVEN) == others


def test_truncation_to_nothing_leaves_an_empty_journal(world: World) -> None:
    born(world, SEVEN, chain(3))
    assert all_done(world, truncate(world, SEVEN, 0, orphan=False)) == [None]
    assert world.orphans() == []
    assert restarted(world)[SEVEN].tip == EMPTY


def test_a_snapshot_of_its_own_takes_the_place_of_the_records_up_to_it(world: World) -> None:
    records = chain(6)
    born(world, SEVEN, records)
    floor = tip_of(records[3])
    assert all_done(world, save_snapshot(world, SEVEN, floor, [b"a", b"b"])) == [None]
    for _ in range(2):
        assert world.journal.load_snapshot(SEVEN) == (floor, [b"a", b"b"])
        assert held(world, SEVEN, after_lsn=4) == records[4:]
        assert held(world, SEVEN, after_lsn=2) == []
        assert [world.journal.tip_at(SEVEN, lsn) for lsn in (3, 4, 6)] == [None, floor, tip_of(records[5])]
        found = restarted(world)[SEVEN]
        assert (found.floor, found.tip, found.spans, found.damage) == (floor, tip_of(records[5]), (Span(FIRST, 5),), "")
    assert all_done(world, append(world, SEVEN, chain(1, after=tip_of(records[5])))) == [None]


@pytest.mark.parametrize("lsn", [2, 4, 6, 9], ids=["below its floor", "inside", "at its tip", "beyond"])
def test_a_snapshot_from_a_peer_takes_the_place_of_everything(world: World, lsn: int) -> None:
    records = chain(6)
    born(world, SEVEN, records)
    assert all_done(world, save_snapshot(world, SEVEN, tip_of(records[2]), [b"own"])) == [None]
    theirs = tip_of(chain(lsn, generation=SECOND)[-1])
    assert all_done(world, save_snapshot(world, SEVEN, theirs, [b"theirs"])) == [None]
    tail = chain(2, after=theirs, generation=SECOND)
    assert all_done(world, append(world, SEVEN, tail)) == [None]
    for _ in range(2):
        assert world.journal.load_snapshot(SEVEN) == (theirs, [b"theirs"])
        assert held(world, SEVEN, after_lsn=lsn) == tail
        found = restarted(world)[SEVEN]
        assert (found.floor, found.tip, found.damage) == (theirs, tip_of(tail[-1]), "")


def test_a_copy_set_aside_is_unknown_and_the_next_one_has_another_id(world: World) -> None:
    born(world, SEVEN, chain(3))
    born(world, NINE, chain(3))
    before = world.journal.fresh_copy_id(SEVEN)
    world.flip(SEVEN, 2)
    assert all_done(world, set_aside(world, SEVEN)) == [None]
    for _ in range(2):
        assert world.journal.recover_one(SEVEN) is None
        assert world.journal.fresh_copy_id(SEVEN) != before
        assert list(restarted(world)) == [NINE]
    born(world, SEVEN, chain(1, generation=SECOND))
    assert restarted(world)[SEVEN].tip == tip_of(chain(1, generation=SECOND)[0])


def test_a_disk_that_refuses_says_so_in_one_line_and_keeps_what_it_had(world: World) -> None:
    records = chain(3, size_bytes=50_000)
    born(world, SEVEN, records[:1])
    with world.refusing():
        refused = all_done(world, append(world, SEVEN, records[1:2]), append(world, SEVEN, records[2:]))
    assert all(isinstance(error, DiskError) and "\n" not in error.cause for error in refused)
    found = world.journal.recover_one(SEVEN)
    assert found is not None
    assert (found.tip, found.damage) == (tip_of(records[0]), "")
    assert all_done(world, append(world, SEVEN, records[1:])) == [None], "when it takes writes again, all is well"
    assert held(world, SEVEN) == records


def test_a_refusal_is_told_to_all_that_were_asked_for_together_and_reads_go_on(world: World) -> None:
    born(world, SEVEN, chain(1))
    born(world, NINE, chain(1))
    seven, nine = chain(2, size_bytes=50_000)[1:], chain(2)[1:]
    seven = [following(tip_of(chain(1)[0]), FIRST, seven[0].body)]
    with world.refusing():
        refused = all_done(world, append(world, NINE, nine), append(world, SEVEN, seven))
        assert [held(world, shard) for shard in (SEVEN, NINE)] == [chain(1), chain(1)]
    assert all(isinstance(error, DiskError) for error in refused)
    assert all_done(world, append(world, NINE, nine), append(world, SEVEN, seven)) == [None, None]
    assert {shard: one.tip.lsn for shard, one in restarted(world).items()} == {SEVEN: 2, NINE: 2}


def test_what_does_not_follow_the_last_record_is_refused(world: World) -> None:
    records = chain(4)
    other = chain(2, generation=SECOND)
    born(world, SEVEN, records[:2])
    refused = all_done(
        world, append(world, SEVEN, records[3:]), append(world, SEVEN, other), append(world, SEVEN, other[1:])
    )
    assert all(isinstance(error, DiskError) for error in refused)
    assert all_done(world, append(world, SEVEN, records[2:])) == [None]


def test_a_disk_has_one_process(world: World) -> None:
    with pytest.raises(UnavailableError, match="in use by"):
        world.open_another()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "truncate", "snapshot", "from peer", "set aside", "reopen"]),
        st.sampled_from([SEVEN, NINE]),
        st.integers(0, 8),
    ),
    max_size=30,
)


def deed_of(world: World, what: str, shard: ShardId, number: int, held_now: Recovered | None) -> Deed | None:
    """Make a deed that a driver could give to a copy in this state; None: there is none."""
    floor, tip = (EMPTY, EMPTY) if held_now is None else (held_now.floor, held_now.tip)
    within = min(floor.lsn + number, tip.lsn)
    match what:
        case "append":
            return append(world, shard, chain(number + 1, after=tip, generation=Generation(1, number + 1, 1)))
        case "truncate":
            return truncate(world, shard, within, orphan=number % 2 == 0)
        case "snapshot":
            place = world.journal.tip_at(shard, within)
            return None if place is None else save_snapshot(world, shard, place, [b"own %d" % within])
        case "from peer":
            theirs = tip_of(chain(number + 1, generation=Generation(9, 9, 9))[-1])
            return save_snapshot(world, shard, theirs, [b"theirs"] * number)
        case _:
            return set_aside(world, shard)


def shown(world: World, shard: ShardId) -> object:
    """All that a journal shows of a copy, but for the disk's id."""
    found = world.journal.recover_one(shard)
    lsns = range(30)
    return (
        None if found is None else (found.tip, found.floor, found.spans, found.damage),
        held(world, shard, after_lsn=0 if found is None else found.floor.lsn),
        [world.journal.tip_at(shard, lsn) for lsn in lsns],
        world.journal.load_snapshot(shard),
        world.journal.fresh_copy_id(shard).rpartition(".")[2],
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_memory_and_disk_show_the_same_after_any_deeds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, ShardId, int]]
) -> None:
    worlds: list[World] = [MemoryWorld(), SqliteWorld(tmp_path_factory.mktemp("journal"))]
    for what, shard, number in steps:
        for world in worlds:
            if what == "reopen":
                restarted(world)
                continue
            deed = deed_of(world, what, shard, number, world.journal.recover_one(shard))
            assert deed is None or all_done(world, deed) == [None]
        memory, disk = ([shown(world, shard) for shard in (SEVEN, NINE)] for world in worlds)
        assert memory == disk
    for world in worlds:
        world.close()


class TestMemory:
    """What the simulated world may do to a disk."""

    @pytest.mark.parametrize(
        ("keep", "tear", "tip_lsn", "damaged"),
        [
            pytest.param(0, False, 2, False, id="all that waits is lost"),
            pytest.param(1, False, 3, False, id="a part had reached the disk"),
            pytest.param(1, True, 3, True, id="the next record is torn"),
            pytest.param(2, False, 4, False, id="all had reached the disk"),
        ],
    )
    def test_a_crash_loses_a_suffix_and_calls_nobody_back(
        self, keep: int, tear: bool, tip_lsn: int, damaged: bool
    ) -> None:
        world = MemoryWorld()
        records = chain(4)
        born(world, SEVEN, records[:2])
        answers: list[DiskError | None] = []
        append(world, SEVEN, records[2:3])(answers.append)
        append(world, SEVEN, records[3:])(answers.append)
        world.memory.crash(keep=keep, tear=tear)
        found = restarted(world)[SEVEN]
        while not world.calls.empty():
            world.calls.get()()
        assert answers == []
        assert (found.tip.lsn, bool(found.damage)) == (tip_lsn, damaged)

    def test_what_is_asked_for_while_the_disk_works_waits_for_its_next_turn(self) -> None:
        world = MemoryWorld()
        born(world, SEVEN, chain(1))
        answers: list[DiskError | None] = []
        for record in chain(4)[1:]:
            append(world, SEVEN, [record])(answers.append)
        shown = []
        while not world.calls.empty():
            world.calls.get()()
            shown.append((len(answers), len(held(world, SEVEN))))
        assert shown == [(1, 2), (3, 4)]

    def test_a_process_that_dies_between_two_deeds_has_asked_for_the_first_alone(self) -> None:
        world = MemoryWorld()
        born(world, SEVEN, chain(1))
        answers: list[DiskError | None] = []
        append(world, SEVEN, chain(2)[1:])(answers.append)

        def die() -> None:
            world.memory.crash(keep=1)
            raise RuntimeError

        world.memory.before = die
        with pytest.raises(RuntimeError):
            append(world, SEVEN, chain(3)[2:])(answers.append)
        assert restarted(world)[SEVEN].tip.lsn == 2
        assert answers == []

    @pytest.mark.parametrize("kept", [False, True])
    def test_a_failed_fsync_may_or_may_not_have_kept_its_group(self, kept: bool) -> None:
        world = MemoryWorld()
        born(world, SEVEN, chain(1))
        world.memory.fail_next("fsync failed", kept=kept)
        assert all_done(world, append(world, SEVEN, chain(2)[1:])) == [DiskError("fsync failed")]
        assert restarted(world)[SEVEN].tip.lsn == 1 + kept


_WRITE_ON = """
import sys
from pathlib import Path
from queue import SimpleQueue
from nodes.io.sqlite_journal import SqliteJournal
from nodes.ports import CopyMeta
from tests.contracts.test_journal import FIRST, NINE, SEVEN, chain

calls = SimpleQueue()
journal = SqliteJournal(Path(sys.argv[1]), call_soon=calls.put, call_soon_threadsafe=calls.put)
journal.recover()
for shard in (SEVEN, NINE):
    journal.save_meta(shard, CopyMeta(journal.fresh_copy_id(shard), FIRST), lambda error: None)
for record in chain(5000):
    for shard in (SEVEN, NINE):
        told = lambda error, shard=shard, lsn=record.lsn: print(shard, lsn, error, flush=True)
        journal.append(shard, [record], told, quiet=False)
    if record.lsn % 7 == 0:
        calls.get()()
while True:
    calls.get()()
"""

_HOLD = """
import sys
from pathlib import Path
from nodes.io.sqlite_journal import SqliteJournal

journal = SqliteJournal(Path(sys.argv[1]), call_soon=print, call_soon_threadsafe=print)
journal.recover()
print("held", flush=True)
sys.stdin.read()
"""


class TestSqlite:
    """What real files and processes may suffer."""

    def test_whatever_was_done_outlives_a_kill(self, tmp_path: Path) -> None:
        acknowledged = {SEVEN: 0, NINE: 0}
        with subprocess.Popen(
            [sys.executable, "-c", _WRITE_ON, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if not line.endswith("\n"):
                    break  # Cut off by the kill: it was not told.
                shard, lsn, error = line.split()
                assert error == "None"
                acknowledged[ShardId(int(shard))] = int(lsn)
                if int(lsn) == 700:
                    process.kill()
        world = SqliteWorld(tmp_path)
        found = restarted(world)
        assert [one.damage for one in found.values()] == ["", ""]
        for written, last_lsn in acknowledged.items():
            assert found[written].tip.lsn >= last_lsn >= 699
            assert held(world, written)[:last_lsn] == chain(last_lsn)
        world.close()

    def test_what_one_turn_of_the_loop_asks_for_is_done_together(self, tmp_path: Path) -> None:
        world = SqliteWorld(tmp_path)
        born(world, SEVEN, chain(2))
        answers: list[DiskError | None] = []
        append(world, SEVEN, chain(4)[2:])(answers.append)
        append(world, NINE, chain(3))(answers.append)
        assert world.calls.qsize() == 1, "the end of the turn"
        world.calls.get()()
        world.calls.get(timeout=PATIENCE_S)()
        assert answers == [None, None]
        world.close()

    def test_a_log_that_ends_too_early_is_found(self, tmp_path: Path) -> None:
        world = SqliteWorld(tmp_path)
        born(world, SEVEN, chain(2))
        before = _files(tmp_path)
        assert all_done(world, append(world, SEVEN, chain(4)[2:])) == [None]
        assert all_done(world, save_meta(world, NINE, CopyMeta(CopyId("x.1"), SECOND))) == [None]
        marks = (tmp_path / "marks").read_bytes()
        world.close()
        _put_back(tmp_path, {**before, "marks": marks})
        found = restarted_on(tmp_path)
        assert "shard 7 is damaged at lsn 3 " in found[SEVEN].damage
        assert "meta" in found[NINE].damage

    def test_every_one_of_many_copies_has_its_mark(self, tmp_path: Path) -> None:
        world = SqliteWorld(tmp_path)
        shards = [ShardId(number) for number in range(600)]
        assert all_done(world, *(append(world, shard, chain(2)) for shard in shards)) == [None] * 600
        world.close()
        assert {one.damage for one in restarted_on(tmp_path).values()} == {""}
        database = sqlite3.connect(tmp_path / DATABASE)
        database.execute("DELETE FROM records WHERE lsn = 2")
        database.commit()
        database.close()
        found = restarted_on(tmp_path)
        assert [shard for shard, one in found.items() if "is damaged at lsn 2 " in one.damage] == shards

    def test_a_new_database_beside_old_marks_is_a_new_disk(self, tmp_path: Path) -> None:
        world = SqliteWorld(tmp_path)
        born(world, SEVEN, chain(2))
        world.close()
        (tmp_path / DATABASE).unlink()
        assert restarted_on(tmp_path) == {}

    def test_the_lock_names_the_process_and_the_remedy(self, tmp_path: Path) -> None:
        world = SqliteWorld(tmp_path)
        with pytest.raises(UnavailableError, match=rf"process {os.getpid()}, .*kill -KILL {os.getpid()}"):
            opened(tmp_path, SimpleQueue())
        world.close()
        SqliteWorld(tmp_path).close()

    def test_a_frozen_process_keeps_its_directory(self, tmp_path: Path) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            try:
                with pytest.raises(UnavailableError, match=f"process {process.pid}, which may be frozen"):
                    opened(tmp_path, SimpleQueue())
            finally:
                process.kill()
        SqliteWorld(tmp_path).close()

    def test_a_file_that_is_no_database_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / DATABASE).write_bytes(b"not a database" * 1000)
        with pytest.raises(UnavailableError, match=r"can't be opened: file is not a database: .*move"):
            SqliteWorld(tmp_path)

    def test_no_room_at_start_is_one_line(self, tmp_path: Path) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            with pytest.raises(UnavailableError, match="free space"):
                opened(tmp_path, SimpleQueue())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def test_no_commit_makes_the_log_longer(self, tmp_path: Path) -> None:
        world = SqliteWorld(tmp_path)
        log = tmp_path / LOG
        records = chain(400, size_bytes=16_000)
        born(world, SEVEN, records[:1])
        assert log.stat().st_size == LOG_BYTES
        for record in records[1:]:
            assert all_done(world, append(world, SEVEN, [record])) == [None]
        assert log.stat().st_size == LOG_BYTES
        assert restarted(world)[SEVEN].tip == tip_of(records[-1])
        world.close()

    def test_a_disk_without_room_for_a_whole_log_takes_entries_all_the_same(self, tmp_path: Path) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_BYTES // 2, before[1]))
        try:
            world = SqliteWorld(tmp_path)
            assert (tmp_path / LOG).stat().st_size < LOG_BYTES // 2
            born(world, SEVEN, chain(10))
            world.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert restarted_on(tmp_path)[SEVEN].tip == tip_of(chain(10)[-1])

    def test_records_that_a_snapshot_replaced_are_deleted_in_the_end(self, tmp_path: Path) -> None:
        world = SqliteWorld(tmp_path)
        records = chain(2000)
        born(world, SEVEN, records)
        assert all_done(world, save_snapshot(world, SEVEN, tip_of(records[1989]), [b"state"])) == [None]
        others = iter(chain(10_000))
        while _row_count(tmp_path) > 2000 - 1990 + 10_000:
            assert all_done(world, append(world, NINE, [next(others)])) == [None]
        assert held(world, SEVEN, after_lsn=1990) == records[1990:]
        world.close()

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), file=st.sampled_from([DATABASE, "wal"]))
    def test_any_flipped_bit_is_harmless_or_found(
        self, tmp_path_factory: pytest.TempPathFactory, place: float, bit: int, file: str
    ) -> None:
        directory = tmp_path_factory.mktemp("flip")
        name = DATABASE if file == DATABASE else LOG
        files = _written(directory)
        at = int(place * len(files[name].rstrip(b"\0")))
        flipped = bytearray(files[name])
        flipped[at] ^= 1 << bit
        _put_back(directory, {**files, name: bytes(flipped)})
        try:
            world = SqliteWorld(directory)
        except UnavailableError:
            return
        found = restarted(world)
        for shard in (SEVEN, NINE):
            assert shard in found, "a copy does not vanish"
            _whole_or_damaged(world, found[shard])
        world.close()


def restarted_on(directory: Path) -> dict[ShardId, Recovered]:
    world = SqliteWorld(directory)
    found = restarted(world)
    world.close()
    return found


def _files(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir() if file.is_file() and file.name != "lock"}


def _put_back(directory: Path, files: dict[str, bytes]) -> None:
    for file in [file for file in directory.iterdir() if file.is_file()]:
        file.unlink()
    for name, content in files.items():
        if not name.endswith("-shm"):
            (directory / name).write_bytes(content)


def _row_count(directory: Path) -> int:
    database = sqlite3.connect(directory / DATABASE)
    (count,) = database.execute("SELECT count(*) FROM records").fetchone()
    database.close()
    return int(count)


def _written(directory: Path) -> dict[str, bytes]:
    """Fill a journal, some of it in the database and some in its log, and take its files as a kill would leave them."""
    world = SqliteWorld(directory)
    records = chain(60, size_bytes=300)
    born(world, SEVEN, records[:40])
    born(world, NINE, records)
    assert all_done(world, save_snapshot(world, SEVEN, tip_of(records[9]), [b"s" * 6000])) == [None]
    world.reopen()
    world.journal.recover()
    assert all_done(world, append(world, SEVEN, records[40:])) == [None]
    files = _files(directory)
    world.close()
    return files


def _whole_or_damaged(world: SqliteWorld, found: Recovered) -> None:
    if found.damage:
        assert f"shard {found.shard} is damaged at lsn " in found.damage
        return
    records = chain(60, size_bytes=300)
    assert found.tip == tip_of(records[-1])
    assert held(world, found.shard, after_lsn=found.floor.lsn) == records[found.floor.lsn :]
    snapshot = world.journal.load_snapshot(found.shard)
    assert snapshot == ((found.floor, [b"s" * 6000]) if found.shard == SEVEN else None)
