"""Archived pieces as files: one folder per shard, one file per piece, which appears whole or not at all.

A file is the piece's head as a line of text, then its parts, each after its length, 8 bytes, little-endian. What was
altered or torn later is found when it is listed or read, and named.
"""

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from core.errors import MalformedError
from core.names import ShardId
from nodes.archive import DamagedPieceError, Piece, checked
from nodes.archive_heads import head_line, head_of
from nodes.io.archive_pool import RefusedError
from nodes.ports import Listing

SUFFIX = ".piece"
DRAFT_SUFFIX = ".new"
DRAFT_KEPT_S = 3600.0
"""A draft that is older was left behind by a process that died."""
_LENGTH_BYTES = 8
_HEAD_BYTES = 4096
_LSN_DIGITS = 16


def folder_of(root: Path, shard: ShardId) -> Path:
    """Say where a shard's pieces are."""
    return root / f"shard-{shard:05d}"


def write_piece(root: Path, piece: Piece, parts: Sequence[bytes]) -> None:
    """Keep a piece; durable when this returns. Raises RefusedError."""
    folder = folder_of(root, piece.shard)
    draft = folder / f"{piece.name}.{secrets.token_hex(4)}{DRAFT_SUFFIX}"
    try:
        _make(folder)
        with draft.open("wb") as file:
            file.write(head_line(piece) + b"\n")
            for part in parts:
                file.write(len(part).to_bytes(_LENGTH_BYTES, "little"))
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / f"{piece.name}{SUFFIX}")
        _sync(folder)
    except OSError as cause:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise RefusedError(f"{folder} can't be written: {cause.strerror}: free space, or mend it") from cause


def list_pieces(root: Path, shard: ShardId, from_lsn: int) -> Listing:
    """List a shard's pieces; raises RefusedError."""
    folder = folder_of(root, shard)
    pieces, damaged = list[Piece](), list[str]()
    try:
        for path in sorted(_files(folder)):
            if path.name[:_LSN_DIGITS] >= f"{from_lsn:0{_LSN_DIGITS}d}":
                piece = _head(path)
                if piece is None:
                    damaged.append(str(path))
                else:
                    pieces.append(piece)
    except FileNotFoundError:
        _reachable(root)
    except OSError as cause:
        raise RefusedError(f"{folder} can't be read: {cause.strerror}: mend it") from cause
    return Listing(tuple(pieces), tuple(damaged))


def read_piece(root: Path, piece: Piece) -> Sequence[bytes]:
    """Read what a piece holds; raises RefusedError, also for one that was altered or torn."""
    path = folder_of(root, piece.shard) / f"{piece.name}{SUFFIX}"
    try:
        content = path.read_bytes()
    except OSError as cause:
        gone = isinstance(cause, FileNotFoundError)
        raise RefusedError(f"{path} can't be read: {cause.strerror}", damaged=gone) from cause
    try:
        return checked(piece, tuple(_parts(piece, content)))
    except DamagedPieceError as error:
        raise RefusedError(f"{path}: {error.cause}", damaged=True) from error


def clear_drafts(root: Path) -> None:
    """Remove what processes that died left behind; whatever can't be removed stays."""
    with suppress(OSError):
        for draft in root.glob(f"*/*{DRAFT_SUFFIX}"):
            if draft.stat().st_mtime < time.time() - DRAFT_KEPT_S:
                draft.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name.endswith(SUFFIX))


def _head(path: Path) -> Piece | None:
    """Read a piece's head; None: it was altered or torn, or is another's."""
    with path.open("rb") as file:
        line, newline, _ = file.read(_HEAD_BYTES).partition(b"\n")
        size_bytes = os.fstat(file.fileno()).st_size
    try:
        piece = head_of(line)
    except MalformedError:
        return None
    whole = bool(newline) and size_bytes >= len(line) + 1 + piece.size_bytes
    return piece if whole and path.name == f"{piece.name}{SUFFIX}" else None


def _parts(piece: Piece, content: bytes) -> Iterator[bytes]:
    at = content.find(b"\n") + 1
    while at < len(content):
        length = int.from_bytes(content[at : at + _LENGTH_BYTES], "little")
        at += _LENGTH_BYTES + length
        if at > len(content):
            raise DamagedPieceError(piece, "it ends within a part")
        yield content[at - length : at]


def _reachable(root: Path) -> None:
    """Tell a shard that was never archived from an archive that is not there; raises RefusedError."""
    if not root.is_dir():
        raise RefusedError(f"{root} is not there: mount it, or name another folder")


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
