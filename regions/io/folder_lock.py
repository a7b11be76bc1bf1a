"""One fleet per folder: the folder itself is locked, so that no lock file is left behind."""

import fcntl
import os
from pathlib import Path

from core.errors import UnavailableError


class FolderLock:
    """Holds a folder until it is released, or the process ends.

    Raises:
        UnavailableError: a fleet runs there, or the folder can't be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.abspath(folder))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as cause:
            raise UnavailableError(f"{folder} can't be used: {cause.strerror}; choose another folder") from cause
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            self.release()
            raise UnavailableError(
                f"a fleet runs in {folder}: end it with `twinhold down`, or choose another folder"
            ) from cause

    def release(self) -> None:
        """Let others have it."""
        os.close(self._fd)
