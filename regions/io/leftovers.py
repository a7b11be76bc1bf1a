"""Ends processes that a fleet recorded: never another one that has come to the same pid since."""

import os
import signal
import time
from collections.abc import Iterable

from regions.io.fleet_file import Process

LOOK_S = 0.02


def end_process(process: Process, *, wait_s: float) -> None:
    """Ask a process to end, and kill it if it does not within ``wait_s``."""
    _signal(process, signal.SIGTERM)
    _signal(process, signal.SIGCONT)
    until = time.monotonic() + wait_s
    while process.alive and time.monotonic() < until:
        time.sleep(LOOK_S)
    end_processes([process])


def end_processes(processes: Iterable[Process]) -> None:
    """Kill whatever of these is still there, and wait until it is not."""
    for process in processes:
        _signal(process, signal.SIGKILL)
        while process.alive:
            time.sleep(LOOK_S)


def _signal(process: Process, number: signal.Signals) -> None:
    if not process.alive:
        return
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return
