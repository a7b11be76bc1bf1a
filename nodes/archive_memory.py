"""The archive in memory: an honest adapter for tests and for the simulated world.

An ``ArchiveShelf`` is what survives a crash; a ``MemoryArchive`` is one process's way to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core.names import ShardId
from core.ports import Done
from nodes.archive import DamagedPieceError, Piece, checked
from nodes.ports import ArchiveFailure, Listing

Later = Callable[[Callable[[], None]], None]


@dataclass(slots=True)
class ArchiveShelf:
    """What an archive holds, and what can go wrong with it."""

    kept: dict[ShardId, dict[str, tuple[Piece, tuple[bytes, ...]]]] = field(default_factory=dict)
    refusal: str = ""
    """Not empty: the archive is away, and everything is refused with this line."""

    def flip(self, piece: Piece, *, part: int, at: int) -> None:
        """Change one bit of what a piece holds; doing it again changes it back."""
        head, parts = self.kept[piece.shard][piece.name]
        body = bytearray(parts[part])
        body[at] ^= 1
        self.kept[piece.shard][piece.name] = (head, (*parts[:part], bytes(body), *parts[part + 1 :]))


class MemoryArchive:
    """The port ``Archive`` over an ``ArchiveShelf``; ``later`` calls back later, never inside the call."""

    def __init__(self, shelf: ArchiveShelf, later: Later) -> None:
        self._shelf = shelf
        self._later = later

    def put(self, piece: Piece, parts: Sequence[bytes], done: Done[ArchiveFailure | None]) -> None:
        """Keep a piece."""

        def put() -> None:
            refused = self._refused()
            if refused is None:
                self._shelf.kept.setdefault(piece.shard, {})[piece.name] = (piece, tuple(parts))
            done(refused)

        self._later(put)

    def pieces(self, shard: ShardId, *, from_lsn: int, done: Done[Listing | ArchiveFailure]) -> None:
        """List pieces."""
        self._later(lambda: done(self._refused() or self._listed(shard, from_lsn)))

    def read(self, piece: Piece, done: Done[Sequence[bytes] | ArchiveFailure]) -> None:
        """Read what a piece holds."""
        self._later(lambda: done(self._refused() or self._read(piece)))

    def _refused(self) -> ArchiveFailure | None:
        return ArchiveFailure(self._shelf.refusal) if self._shelf.refusal else None

    def _listed(self, shard: ShardId, from_lsn: int) -> Listing:
        found = [piece for piece, _ in self._shelf.kept.get(shard, {}).values() if piece.after.lsn >= from_lsn]
        return Listing(tuple(sorted(found, key=lambda piece: piece.name)))

    def _read(self, piece: Piece) -> Sequence[bytes] | ArchiveFailure:
        held = self._shelf.kept.get(piece.shard, {}).get(piece.name)
        if held is None:
            return ArchiveFailure(f"{piece.name} is gone", damaged=True)
        try:
            return checked(piece, held[1])
        except DamagedPieceError as error:
            return ArchiveFailure(f"{piece.name}: {error.cause}", damaged=True)
