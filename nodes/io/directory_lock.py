"""One process per directory: a lock that a frozen process keeps, so that it and its replacement never share a disk."""

import fcntl
import os
from pathlib import Path
from typing import IO

from core.errors import UnavailableError

LOCK = "lock"


def locked(directory: Path) -> IO[str]:
    """Take the directory; it is let go when the returned file is closed, or the process dies.

    Raises:
        UnavailableError: another process has it, frozen or not; names the process and the remedy.
    """
    lock = (directory / LOCK).open("a+", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise UnavailableError(
            f"{directory} is in use by process {holder}, which may be frozen: end it (kill -KILL {holder}), "
            f"or choose another directory",
            pid=holder,
        ) from cause
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
