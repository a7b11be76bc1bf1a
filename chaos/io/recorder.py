"""Writes a history line by line, whole lines only, so that several processes share one file and a cut loses nothing."""

import os
from pathlib import Path
from types import TracebackType

from chaos.history import Line, printed


class Recorder:
    """Appends to a history; operations under way are known, and written as unknown when the run is cut short."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._open: dict[str, Line] = {}

    def began(self, line: Line) -> None:
        """Note an operation at its first attempt, as it would stand if nobody ever answered."""
        self._open[line.request_id] = line

    def ended(self, line: Line) -> None:
        """Write an operation at its final answer."""
        self._open.pop(line.request_id, None)
        # One write of one whole line to a file opened for appending: lines of several processes do not mix.
        os.write(self._file, (printed(line) + "\n").encode())

    def close(self) -> None:
        """Write what is still open; harmless when repeated."""
        for line in list(self._open.values()):
            self.ended(line)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
