"""The archive in a directory: of this machine, or one that all nodes of the geography mount."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import UnavailableError
from core.names import GeographyId, ShardId
from core.ports import Done
from nodes.archive import Piece
from nodes.io.archive_files import clear_drafts, list_pieces, read_piece, write_piece
from nodes.io.archive_pool import ArchivePool, CallSoon
from nodes.ports import ArchiveFailure, Listing


class DirectoryArchive:
    """The port ``Archive`` over a directory; one folder per geography, one below it per shard.

    Args:
        directory: where the archive is; made if it is not there.
        geography: whose data it is.
        call_soon_threadsafe: runs a callback on the loop's thread.

    Raises:
        UnavailableError: the directory can't be made or written.
    """

    def __init__(self, directory: Path, geography: GeographyId, *, call_soon_threadsafe: CallSoon) -> None:
        self._root = directory / geography
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds what tenants wrote
        except OSError as cause:
            raise UnavailableError(
                f"the archive {directory} can't be used: {cause.strerror}: name a folder that can be written"
            ) from cause
        clear_drafts(self._root)
        self._pool = ArchivePool("archive", call_soon_threadsafe)

    def put(self, piece: Piece, parts: Sequence[bytes], done: Done[ArchiveFailure | None]) -> None:
        """Keep a piece."""
        self._pool.run(lambda: write_piece(self._root, piece, parts), done)

    def pieces(self, shard: ShardId, *, from_lsn: int, done: Done[Listing | ArchiveFailure]) -> None:
        """List pieces."""
        self._pool.run(lambda: list_pieces(self._root, shard, from_lsn), done)

    def read(self, piece: Piece, done: Done[Sequence[bytes] | ArchiveFailure]) -> None:
        """Read what a piece holds."""
        self._pool.run(lambda: read_piece(self._root, piece), done)

    def close(self) -> None:
        """Finish what is under way."""
        self._pool.close()
