"""Files beside the journal: what a cut took away, and damaged copies. Written whole, synced, never read.

One JSON object per line, bodies in base64: whoever must know what was lost needs no tool of ours.
"""

import json
import os
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.names import ShardId
from nodes.io.journal_database import Row
from nodes.records import Tip

ORPHANS = "orphan"
ASIDES = "aside"


def write_orphans(directory: Path, shard: ShardId, rows: list[Row]) -> None:
    """Keep entries that leave the journal; raises OSError."""
    name = f"shard-{shard}-{rows[0][2]}-{rows[-1][2]}-{rows[-1][6].hex()[:12]}.jsonl"
    _write(directory / ORPHANS, name, map(_told, rows))


def write_orphan_snapshot(directory: Path, shard: ShardId, tip: Tip, lines: Iterable[Mapping[str, object]]) -> None:
    """Keep a state that nobody goes on from; raises OSError."""
    name = f"shard-{shard}-snapshot-{tip.lsn}-{tip.hash.hex()[:12]}.jsonl"
    _write(directory / ORPHANS, name, lines)


def write_aside(directory: Path, shard: ShardId, number: int, lines: Iterable[Mapping[str, object]]) -> None:
    """Keep all that is left of a copy; raises OSError."""
    _write(directory / ASIDES, f"shard-{shard}-copy-{number}.jsonl", lines)


def told(rows: Iterable[Row]) -> Iterable[Mapping[str, object]]:
    """Say records in JSON."""
    return map(_told, rows)


def encoded(some: object) -> object:
    """Say a column in JSON."""
    return b64encode(some).decode() if isinstance(some, bytes) else some


def _told(row: Row) -> Mapping[str, object]:
    _, shard, lsn, incarnation, epoch, boot, hashed, body = row
    return {
        "shard": shard,
        "lsn": lsn,
        "generation": [incarnation, epoch, boot],
        "hash": hashed.hex(),
        "body": encoded(body),
    }


def _write(folder: Path, name: str, lines: Iterable[Mapping[str, object]]) -> None:
    folder.mkdir(exist_ok=True)
    draft = folder / f"{name}.new"
    with draft.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / name)
    for changed in (folder, folder.parent):
        handle = os.open(changed, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
