"""Looks after processes that a server has started: what the kernel says of them, and signals to them."""

import os
import signal
from collections.abc import Callable, Collection
from dataclasses import dataclass

from regions.io.births import Born
from regions.io.proc import State, seen


@dataclass(slots=True)
class Child:
    """One process, and the work of those that had its name before."""

    born: Born
    cpu_before_s: float
    cpu_s: float = 0.0
    """As last seen, for when it is gone."""
    exit_code: int | None = None

    def state(self) -> State:
        """Ask the kernel what it does."""
        found = seen(self.born.pid)
        if found is None or found.started_ticks != self.born.started_ticks:
            return State.DEAD
        self.cpu_s = max(self.cpu_s, found.cpu_s)
        return found.state


def send(chosen: Collection[Child], everybody: Collection[Child], number: signal.Signals) -> None:
    """Send a signal: to a whole group where the chosen are all that lives of it, else one by one."""
    for group_pid in {child.born.group_pid for child in chosen}:
        members = [child for child in everybody if child.born.group_pid == group_pid]
        living = [child for child in members if child.state() is not State.DEAD]
        picked = [child for child in living if child in chosen]
        if len(picked) == len(living):
            _deliver(os.killpg, group_pid, number)
        else:
            for child in picked:
                _deliver(os.kill, child.born.pid, number)


def _deliver(how: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    try:
        how(pid, number)
    except ProcessLookupError:
        return
