"""Shows a rehearsal while it runs: a table on a terminal, plain lines anywhere else."""

from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

PLAIN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Now:
    """How it stands."""

    at_s: float
    end_s: float
    up: int
    processes: int
    faults: tuple[str, ...]
    writes_per_s: float
    reads_per_s: float
    failed_per_s: float
    write_p99_ms: float
    shards_sync: int
    shards_solo: int

    def line(self) -> str:
        """Say it in one line."""
        fault = ", ".join(self.faults) or "no fault"
        return (
            f"{self.at_s:5.0f} s  {self.up}/{self.processes} up  {fault}  {self.writes_per_s:.0f} writes/s  "
            f"{self.reads_per_s:.0f} reads/s  {self.failed_per_s:.0f} failed/s  p99 {self.write_p99_ms:.0f} ms  "
            f"{self.shards_sync} sync {self.shards_solo} solo"
        )


class Screen:
    """Where progress goes; on a terminal the last state stays in place and told lines scroll above it."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = Live(console=self._console, refresh_per_second=4) if self._console.is_terminal else None
        self._title = title
        self._shown_s = -PLAIN_EVERY_S

    def __enter__(self) -> "Screen":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """Tell that something happened."""
        self._console.print(line, markup=False)

    def show(self, now: Now) -> None:
        """Show how it stands."""
        if self._live is not None:
            self._live.update(self._table(now))
        elif now.at_s - self._shown_s >= PLAIN_EVERY_S:
            self._shown_s = now.at_s
            self.say(now.line())

    def _table(self, now: Now) -> Table:
        table = Table(title=self._title, show_header=False, expand=False)
        table.add_row("time", f"{now.at_s:.0f} of {now.end_s:.0f} s")
        table.add_row("processes", f"{now.up} of {now.processes} up")
        table.add_row("faults", ", ".join(now.faults) or "none")
        table.add_row(
            "load",
            f"{now.writes_per_s:.0f} writes/s, {now.reads_per_s:.0f} reads/s, {now.failed_per_s:.0f} failed/s, "
            f"write p99 {now.write_p99_ms:.0f} ms",
        )
        table.add_row("shards", f"{now.shards_sync} on two copies, {now.shards_solo} on one")
        return table
