"""The directory of an embedded store: one process at a time, one fleet, and never an older database unnoticed (C10)."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from core.errors import MalformedError, UnavailableError
from core.io.hosted import write_whole

IDENTITY = "identity.json"
LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose store it is, and how far it has come."""

    fleet: str
    incarnation: int
    commits: int


class StoreDirectory:
    """A directory that this process holds until it closes it.

    Raises:
        UnavailableError: another process holds it.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = _locked(path)

    def own(self, mine: Identity, fleet: str) -> bool:
        """Take the database that lies here for what it says it is; says whether it is older than what was served.

        Raises:
            MalformedError: it belongs to another fleet.
        """
        if mine.fleet != fleet:
            raise MalformedError("store directory", self.path, expected=f"fleet {fleet}, it holds {mine.fleet}")
        before = self._noted()
        return before is not None and (mine.incarnation, mine.commits) < (before.incarnation, before.commits)

    def note(self, mine: Identity) -> None:
        """Remember how far the database has come."""
        write_whole(self.path / IDENTITY, json.dumps(asdict(mine)) + "\n")

    def close(self) -> None:
        """Let another process have it."""
        self._lock.close()

    def _noted(self) -> Identity | None:
        path = self.path / IDENTITY
        if not path.exists():
            return None
        try:
            return Identity(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as cause:
            raise MalformedError(
                "identity file", path, expected="what a store wrote; remove it if it is lost"
            ) from cause


def _locked(directory: Path) -> IO[str]:
    lock = (directory / LOCK).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        lock.close()
        raise UnavailableError(
            f"{directory} is in use by another process: end that one, or choose another directory"
        ) from cause
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
