"""What every archive guarantees: a piece is there whole or not at all, and what was altered is never given out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import UnavailableError
from core.names import GeographyId, ShardId
from nodes.archive import Piece, Sealed, entries, snapshot
from nodes.archive_memory import ArchiveShelf, MemoryArchive
from nodes.io.archive_files import SUFFIX, folder_of
from nodes.io.directory_archive import DirectoryArchive
from nodes.ports import Archive, ArchiveFailure, Listing
from nodes.records import tip_of
from tests.archived import FENCE, bare, sealed, sealed_state, talked
from tests.engines.needs import need
from tests.unit.nodes.test_ledger import SHARD

PATIENCE_S = 60.0
numbers = count()
"""Every test has a keyspace of its own."""
EU = GeographyId("eu")
Answer = TypeVar("Answer")
Calls = SimpleQueue[Callable[[], None]]


class World(Protocol):
    """An archive, and what can happen to it."""

    calls: Calls

    @property
    def archive(self) -> Archive:
        """The running process's way to it."""
        ...

    def reopen(self) -> None:
        """End the process and start another one."""
        ...

    def flip(self, piece: Piece, at: int) -> None:
        """Change one bit of what a piece holds."""
        ...

    def refusing(self) -> AbstractContextManager[None]:
        """Let the archive be away for a while."""
        ...

    def close(self) -> None:
        """End everything."""
        ...


class MemoryWorld:
    """The in-memory adapter."""

    def __init__(self) -> None:
        self.calls: Calls = SimpleQueue()
        self.shelf = ArchiveShelf()
        self.archive: Archive = MemoryArchive(self.shelf, self.calls.put)

    def reopen(self) -> None:
        self.archive = MemoryArchive(self.shelf, self.calls.put)

    def flip(self, piece: Piece, at: int) -> None:
        self.shelf.flip(piece, part=0, at=at)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.shelf.refusal = "it is away"
        yield
        self.shelf.refusal = ""

    def close(self) -> None:
        pass


class DirectoryWorld:
    """The adapter on a real disk."""

    def __init__(self, directory: Path) -> None:
        self.calls: Calls = SimpleQueue()
        self.directory = directory
        self.opened = self._open()

    @property
    def archive(self) -> Archive:
        return self.opened

    def reopen(self) -> None:
        self.opened.close()
        self.opened = self._open()

    def path(self, piece: Piece) -> Path:
        return folder_of(self.directory / EU, piece.shard) / f"{piece.name}{SUFFIX}"

    def flip(self, piece: Piece, at: int) -> None:
        body = bytearray(self.path(piece).read_bytes())
        body[body.find(b"\n") + 1 + 8 + at] ^= 1
        self.path(piece).write_bytes(body)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        away = self.directory.with_name("away")
        self.directory.rename(away)
        yield
        away.rename(self.directory)

    def close(self) -> None:
        self.opened.close()

    def _open(self) -> DirectoryArchive:
        return DirectoryArchive(self.directory, EU, call_soon_threadsafe=self.calls.put)


@pytest.fixture(scope="module")
def cassandra_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Real servers, started for the first test that needs them."""
    need("cassandra/lib", "java")
    # Its driver is there only where `make test-engines` has installed it.
    from tests.engines.cassandra_archive_world import started_servers

    servers = started_servers(tmp_path_factory.mktemp("archive"))
    yield servers
    servers.kill()


@pytest.fixture(params=["memory", "directory", pytest.param("cassandra", marks=pytest.mark.engines)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    opened: World
    match request.param:
        case "memory":
            opened = MemoryWorld()
        case "directory":
            opened = DirectoryWorld(tmp_path / "archive")
        case _:
            from tests.engines.cassandra_archive_world import CassandraWorld

            servers = request.getfixturevalue("cassandra_servers")
            opened = CassandraWorld(servers, f"t{next(numbers)}")
    yield opened
    opened.close()


def awaited(world: World, answers: list[Answer]) -> Answer:
    """Run what is to be run until the answer is there; it never comes inside the call."""
    assert not answers
    while not answers:
        world.calls.get(timeout=PATIENCE_S)()
    return answers[0]


def put(world: World, it: Sealed) -> ArchiveFailure | None:
    answers = list[ArchiveFailure | None]()
    world.archive.put(it.piece, it.parts, answers.append)
    return awaited(world, answers)


def asked(world: World, shard: ShardId = SHARD, from_lsn: int = 0) -> Listing | ArchiveFailure:
    answers = list[Listing | ArchiveFailure]()
    world.archive.pieces(shard, from_lsn=from_lsn, done=answers.append)
    return awaited(world, answers)


def listed(world: World, shard: ShardId = SHARD, from_lsn: int = 0) -> Listing:
    found = asked(world, shard, from_lsn)
    assert isinstance(found, Listing)
    return found


def read(world: World, piece: Piece) -> Sequence[bytes] | ArchiveFailure:
    answers = list[Sequence[bytes] | ArchiveFailure]()
    world.archive.read(piece, answers.append)
    return awaited(world, answers)


def test_what_was_put_is_listed_and_read_back_after_a_restart(world: World) -> None:
    records = bare(10)
    pieces = [sealed(records, 1, 4), sealed(records, 5, 10)]
    assert [put(world, it) for it in pieces] == [None, None]
    world.reopen()
    assert listed(world) == Listing(tuple(it.piece for it in pieces))
    for it in pieces:
        assert read(world, it.piece) == list(it.parts)
        assert entries(it.piece, it.parts) == records[it.piece.before.lsn : it.piece.after.lsn]


def test_a_snapshot_keeps_its_parts_apart_however_large_they_are(world: World) -> None:
    _, records = talked(["one", "two"])
    tip, parts = tip_of(records[2]), sealed_state(records, 3).parts
    it = snapshot(SHARD, FENCE, tip, tip, [*parts, b"", bytes(3_000_000), b"x" * (1 << 20)])
    assert put(world, it) is None
    assert read(world, it.piece) == list(it.parts)


def test_shards_do_not_see_each_other(world: World) -> None:
    put(world, sealed(bare(3), 1, 3))
    assert listed(world, ShardId(99)) == Listing(())


def test_only_pieces_from_a_place_on_are_listed(world: World) -> None:
    records = bare(9)
    for first in (1, 4, 7):
        put(world, sealed(records, first, first + 2))
    assert [it.after.lsn for it in listed(world, from_lsn=4).pieces] == [6, 9]
    assert [it.after.lsn for it in listed(world, from_lsn=9).pieces] == [9]
    assert listed(world, from_lsn=10) == Listing(())


def test_to_put_a_piece_again_changes_nothing(world: World) -> None:
    it = sealed(bare(5), 1, 5)
    for _ in range(3):
        assert put(world, it) is None
    assert listed(world) == Listing((it.piece,))
    assert read(world, it.piece) == list(it.parts)


def test_a_damaged_piece_is_named_and_never_given_out_and_putting_it_again_repairs_it(world: World) -> None:
    it = sealed(bare(5), 1, 5)
    put(world, it)
    world.flip(it.piece, 40)
    found = read(world, it.piece)
    assert isinstance(found, ArchiveFailure)
    assert (found.damaged, it.piece.name in found.cause) == (True, True)
    put(world, it)
    assert read(world, it.piece) == list(it.parts)


def test_a_piece_that_is_gone_counts_as_damaged(world: World) -> None:
    found = read(world, sealed(bare(2), 1, 2).piece)
    assert isinstance(found, ArchiveFailure)
    assert found.damaged


def test_an_archive_that_is_away_says_so_and_goes_on_when_it_is_back(world: World) -> None:
    it, other = sealed(bare(5), 1, 2), sealed(bare(5), 3, 5)
    put(world, it)
    with world.refusing():
        assert isinstance(put(world, other), ArchiveFailure)
        assert isinstance(asked(world), ArchiveFailure)
    assert put(world, other) is None
    assert listed(world) == Listing((it.piece, other.piece))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DirectoryWorld]:
    opened = DirectoryWorld(tmp_path / "archive")
    yield opened
    opened.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_or_a_torn_end_of_a_file_is_noticed_wherever_it_is(
    directory: DirectoryWorld, data: st.DataObject
) -> None:
    it = sealed(bare(6), 1, 6)
    put(directory, it)
    path = directory.path(it.piece)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    torn = data.draw(st.booleans())
    path.write_bytes(
        whole[:at] if torn else whole[:at] + bytes((whole[at] ^ 1 << data.draw(st.integers(0, 7)),)) + whole[at + 1 :]
    )
    found = listed(directory)
    if found.pieces:
        assert found == Listing((it.piece,))
        assert isinstance(read(directory, it.piece), ArchiveFailure)
    else:
        assert found.damaged == (str(path),)


def test_what_a_process_that_died_left_behind_is_no_piece(directory: DirectoryWorld) -> None:
    it = sealed(bare(3), 1, 3)
    put(directory, it)
    path = directory.path(it.piece)
    path.with_name(f"{it.piece.name}.0a1b.new").write_bytes(path.read_bytes()[:50])
    assert listed(directory) == Listing((it.piece,))


def test_a_directory_that_can_not_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="can't be used: Not a directory"):
        DirectoryArchive(tmp_path / "file" / "archive", EU, call_soon_threadsafe=lambda _: None)
