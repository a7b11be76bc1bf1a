"""How far each copy had come, noted in a second place beside the database.

SQLite takes a damaged write-ahead log for one that ends early, and silently drops what comes after: acknowledged
entries, or a newer epoch. A mark is written into mapped memory after each commit, at no cost of its own; it outlives
the process, and after a power cut it may be older than the database, never newer. So whoever finds the database behind
its mark has found damage, or an older copy put back.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from core.names import ShardId

MARKS = "marks"
_SLOT_BYTES = 64
"""A slot never crosses a page, so that it is torn seldom; a torn one is ignored."""
_SLOTS_FIRST = 256
_BODY = Struct("<QQQ16s")
_CHECK = Struct("<I")


class Mark(NamedTuple):
    """The copy's last record, and how often its meta was written; every commit makes one per shard, so a tuple."""

    lsn: int
    hash: bytes
    meta_version: int


class HighMarks:
    """The marks of all copies on a disk. Slot 0 names the disk: marks of another one are forgotten.

    Raises:
        OSError: the disk refuses.
    """

    def __init__(self, directory: Path, disk_id: str) -> None:
        self._path = directory / MARKS
        self._file = self._path.open("r+b" if self._path.exists() else "w+b")
        size = max(os.fstat(self._file.fileno()).st_size, _SLOT_BYTES * _SLOTS_FIRST)
        self._reserve(size)
        self._map = mmap.mmap(self._file.fileno(), size)
        self._slots: dict[ShardId, int] = {}
        self._free: list[int] = []
        self._own(disk_id.encode())
        self._found = dict(self._read())

    def found(self) -> dict[ShardId, Mark]:
        """What was noted before this process started."""
        return self._found

    def note(self, shard: ShardId, mark: Mark) -> None:
        """Note how far a copy has come; after the commit."""
        lsn, hashed, meta_version = mark
        body = _BODY.pack(shard, lsn, meta_version, hashed)
        at = self._slot(shard)
        self._map[at : at + _SLOT_BYTES] = (body + _CHECK.pack(crc32(body))).ljust(_SLOT_BYTES, b"\0")

    def forget(self, shard: ShardId) -> None:
        """Forget a copy's mark for good, before a commit that takes the copy back."""
        at = self._slots.pop(shard, None)
        if at is not None:
            self._map[at : at + _SLOT_BYTES] = bytes(_SLOT_BYTES)
            self._map.flush()
            self._free.append(at)

    def close(self) -> None:
        """Let the file go."""
        self._map.close()
        self._file.close()

    def _own(self, name: bytes) -> None:
        head = (len(name).to_bytes(1, "little") + name).ljust(_SLOT_BYTES, b"\0")
        if self._map[:_SLOT_BYTES] != head:
            self._map[:] = head.ljust(len(self._map), b"\0")
            self._map.flush()

    def _read(self) -> Iterator[tuple[ShardId, Mark]]:
        for at in range(_SLOT_BYTES, len(self._map), _SLOT_BYTES):
            body = self._map[at : at + _BODY.size]
            (check,) = _CHECK.unpack_from(self._map, at + _BODY.size)
            if any(body) and check == crc32(body):
                shard, lsn, meta_version, hashed = _BODY.unpack(body)
                self._slots[ShardId(shard)] = at
                yield ShardId(shard), Mark(lsn, hashed, meta_version)
            else:
                self._free.append(at)

    def _slot(self, shard: ShardId) -> int:
        at = self._slots.get(shard)
        if at is None:
            at = self._slots[shard] = self._free.pop() if self._free else self._grown()
        return at

    def _grown(self) -> int:
        end = len(self._map)
        self._reserve(2 * end)
        self._map.resize(2 * end)
        self._free.extend(range(end + _SLOT_BYTES, 2 * end, _SLOT_BYTES))
        return end

    def _reserve(self, size: int) -> None:
        # A hole in a mapped file would kill the process, not fail a call, when the disk is full.
        os.posix_fallocate(self._file.fileno(), 0, size)
