"""Files beside the journal: what a cut took away, and damaged copies. Written whole, synced; only their heads are read.

One JSON object per line, bodies in base64: whoever must know what was lost needs no tool of ours.
"""

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

from core.copies import NOTHING_QUARANTINED, Quarantined
from core.names import ShardId
from nodes.io.journal_database import Row
from nodes.records import Tip

ORPHANS = "orphan"
ASIDES = "aside"
_QUARANTINE = re.compile(r"shard-(\d+)-(lossy|snapshot)-(\d+)-")


def write_orphans(directory: Path, shard: ShardId, rows: list[Row]) -> None:
    """Keep entries that leave the journal; raises OSError."""
    name = f"shard-{shard}-{rows[0][2]}-{rows[-1][2]}-{rows[-1][6].hex()[:12]}.jsonl"
    _write(directory / ORPHANS, name, map(_told, rows))


def write_lossy_orphans(directory: Path, shard: ShardId, rows: list[Row], tenants: Mapping[str, int]) -> None:
    """Keep entries that may have been acknowledged, and how many of them each tenant has; raises OSError."""
    name = f"shard-{shard}-lossy-{rows[0][2]}-{rows[-1][2]}-{rows[-1][6].hex()[:12]}.jsonl"
    _write(directory / ORPHANS, name, chain([{"shard": shard, "tenants": tenants}], map(_told, rows)))


def quarantines(directory: Path) -> dict[ShardId, Quarantined]:
    """Sum up what is kept although it may have been acknowledged; a file that was spoilt counts for nothing."""
    found: dict[ShardId, Quarantined] = {}
    for file in sorted((directory / ORPHANS).glob("*.jsonl")):
        named = _QUARANTINE.match(file.name)
        if named is not None:
            shard, kind, lsn = ShardId(int(named[1])), named[2], int(named[3])
            held = Quarantined(snapshot_lsn=lsn) if kind == "snapshot" else _head(file)
            found[shard] = found.get(shard, NOTHING_QUARANTINED).joined(held)
    return found


def _head(file: Path) -> Quarantined:
    try:
        with file.open(encoding="utf-8") as lines:
            return Quarantined(tuple(json.loads(lines.readline())["tenants"].items()))
    except (OSError, ValueError, KeyError, AttributeError):
        return NOTHING_QUARANTINED


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
