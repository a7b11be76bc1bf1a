"""Rebuilds a tenant as of a time, on a node that serves it: from the journal, or from the archive if that is too short.

Works in slices between the node's other work. Nothing is changed.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from core.errors import PositionGoneError, UnavailableError
from core.names import ShardId
from nodes.app_table import AppTable
from nodes.archive import DamagedArchiveError, DamagedPieceError, Piece, entries, snapshot_at_ms
from nodes.archive_aside import Aside
from nodes.archive_chain import Course, course_to, end_of, line_to, moment
from nodes.desk import Desk
from nodes.ports import Archive, ArchiveFailure, Journal, Listing
from nodes.records import Record, Tip

ARCHIVE_S = 30.0
"""How long one answer of the archive is waited for."""
SLICE_ENTRIES = 500
SLICE_BYTES = 256 * 1024
Answer = TypeVar("Answer")


class Rebuilt(NamedTuple):
    """What a tenant's apps held, and the last entry of its shard that this reflects."""

    held: dict[str, object]
    as_of_lsn: int


class ArchiveReader:
    """Reads back what a node and its archive have.

    Args:
        archive: of the node's geography; None: there is none.
        journal: the node's.
        apps: what the node runs.
    """

    def __init__(self, archive: Archive | None, journal: Journal, apps: AppTable) -> None:
        self._archive = archive
        self._journal = journal
        self._apps = apps

    async def rebuilt(self, desk: Desk, tenant: str, at_ms: int) -> Rebuilt:
        """Rebuild a tenant that is served here.

        Raises:
            PositionGoneError: the time is too long ago, or entries of then are missing; says which times can be had.
            NotFoundError: the tenant did not exist then.
            DamagedArchiveError: something that is needed is damaged.
            UnavailableError: the archive does not answer, or the journal moved on meanwhile.
        """
        aside = Aside(desk.shard, tenant, self._apps, at_ms=at_ms)
        kept = self._journal.load_snapshot(desk.shard)
        if kept is None:
            pass
        elif snapshot_at_ms(kept[1]) <= at_ms:
            await _begin(aside, *kept)
        elif await self._from_archive(aside, desk, kept, at_ms):
            return Rebuilt(aside.state(), aside.as_of_lsn)
        await self._from_journal(aside, desk)
        return Rebuilt(aside.state(), aside.as_of_lsn)

    async def _from_archive(self, aside: Aside, desk: Desk, kept: tuple[Tip, list[bytes]], at_ms: int) -> bool:
        """Take what the archive has; says whether that is all up to the time."""
        archive = self._archive
        if archive is None:
            raise PositionGoneError(
                f"no archive is configured, and the journal of this shard begins at {moment(snapshot_at_ms(kept[1]))}: "
                "choose that time or a later one; set archive.directory for what comes",
            )
        found = await self._listed(archive, desk.shard)
        course = self._course(desk, found, kept[0], at_ms)
        if course.base is not None:
            await _begin(aside, course.base.after, await self._read(archive, course.base))
        for piece in course.segments:
            await _take(aside, entries(piece, await self._read(archive, piece)))
        return course.beyond

    def _course(self, desk: Desk, found: Listing, floor: Tip, at_ms: int) -> Course:
        end = end_of(found.pieces, lambda lsn: self._journal.tip_at(desk.shard, lsn))
        above = end if end is not None and end.lsn >= floor.lsn else floor
        line = line_to(above, found.pieces)
        try:
            return course_to(at_ms, line)
        except PositionGoneError as gone:
            if found.damaged:
                where = ", ".join(found.damaged)
                raise DamagedArchiveError(
                    f"{gone.message}; damaged in the archive, and not used: {where}: bring it back from a backup",
                    shard=desk.shard,
                ) from gone
            raise

    async def _from_journal(self, aside: Aside, desk: Desk) -> None:
        """Go on with what the node has itself, up to the last entry that is committed."""
        commit_lsn = desk.commit_lsn
        while not aside.complete and aside.as_of_lsn < commit_lsn:
            found = self._journal.read(desk.shard, after_lsn=aside.as_of_lsn, limit_bytes=SLICE_BYTES)
            if not found:
                raise UnavailableError(
                    f"the journal of shard {desk.shard} moved on meanwhile: retry", retry_after_s=1.0
                )
            await _take(aside, [record for record in found if record.lsn <= commit_lsn])

    async def _listed(self, archive: Archive, shard: ShardId) -> Listing:
        found = await _answer(lambda done: archive.pieces(shard, from_lsn=0, done=done), Listing)
        if isinstance(found, ArchiveFailure):
            raise _away(found)
        return found

    async def _read(self, archive: Archive, piece: Piece) -> Sequence[bytes]:
        found = await _answer(lambda done: archive.read(piece, done), list[bytes])
        if not isinstance(found, ArchiveFailure):
            return found
        if found.damaged:
            raise DamagedPieceError(piece, found.cause)
        raise _away(found)


async def _begin(aside: Aside, tip: Tip, parts: Sequence[bytes]) -> None:
    for part in parts:
        aside.part(part)
        await asyncio.sleep(0)
    aside.begin(tip)


async def _take(aside: Aside, records: Sequence[Record]) -> None:
    rest = iter(records)
    while not aside.complete and (some := list(islice(rest, SLICE_ENTRIES))):
        aside.take(some)
        await asyncio.sleep(0)


async def _answer(ask: Callable[..., None], _: type[Answer]) -> Answer | ArchiveFailure:
    """Wait for what the archive answers."""
    waiting: asyncio.Future[Answer | ArchiveFailure] = asyncio.get_running_loop().create_future()

    def done(answer: Answer | ArchiveFailure, /) -> None:
        if not waiting.done():
            waiting.set_result(answer)

    ask(done)
    try:
        async with asyncio.timeout(ARCHIVE_S):
            return await waiting
    except TimeoutError:
        return ArchiveFailure(f"no answer within {ARCHIVE_S:.0f} s")


def _away(failure: ArchiveFailure) -> UnavailableError:
    return UnavailableError(f"the archive does not answer: {failure.cause}", retry_after_s=1.0)
