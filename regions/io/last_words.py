"""Finds the line of a process that says best what went wrong with it."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from core.io.hosted import FAILED, LOG

TAIL_BYTES = 16 * 1024
OUTPUT = "output.log"
SILENT = "it said nothing"
_USUAL = ("at", "level", "event", "exception")


def last_words(folder: Path) -> str:
    """Read, in this order: why it could not start, what it wrote in distress, its last warning, its last line."""
    for name in (FAILED, OUTPUT):
        if lines := tail(folder / name):
            return lines[-1]
    lines = tail(folder / LOG)
    told = [line for line in lines if '"level": "info"' not in line] or lines
    return _spoken(told[-1]) if told else SILENT


def tail(path: Path) -> Sequence[str]:
    """Read the last lines of a file that are not empty; bounded, a log may be long. No file: no lines."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip()]


def _spoken(line: str) -> str:
    """Say a line of JSON as people would: the event, then its facts."""
    try:
        document = json.loads(line)
        facts = ", ".join(f"{name} {value}" for name, value in document.items() if name not in _USUAL)
        return f"{document['event']}: {facts}" if facts else str(document["event"])
    except (ValueError, KeyError, AttributeError):
        return line
