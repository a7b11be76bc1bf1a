"""Writes a history, whole lines only, so that several processes share one file and a cut loses nothing."""

import os
from pathlib import Path
from types import TracebackType

from chaos.history import Line, printed

LINES_AT_ONCE = 64
"""To write each by itself would cost a tenth of what its operation does."""


class Recorder:
    """Appends to a history; operations under way are known, and written as unknown when the run is cut short."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._open: dict[str, Line] = {}
        self._ended: list[Line] = []

    def began(self, line: Line) -> None:
        """Note an operation at its first attempt, as it would stand if nobody ever answered."""
        self._open[line.request_id] = line

    def ended(self, line: Line) -> None:
        """Note an operation's final answer; it is written with others."""
        self._open.pop(line.request_id, None)
        self._ended.append(line)
        if len(self._ended) >= LINES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write whatever has ended."""
        if self._ended:
            # One write of whole lines to a file opened for appending: lines of several processes do not mix.
            os.write(self._file, "".join([printed(line) + "\n" for line in self._ended]).encode())
            self._ended.clear()

    def close(self) -> None:
        """Write what is still open; harmless when repeated."""
        for line in list(self._open.values()):
            self.ended(line)
        self.flush()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
