"""One process of a fleet as an actor of Ray: the very same entry, in the actor's main thread.

It knows nothing of Ray. A life pipe does not reach it; instead the kernel kills it together with the raylet that
started it, frozen or not, and Ray does so when its driver is gone.
"""

import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from regions.io.births import Bear
from regions.io.host import ENVIRONMENT
from regions.io.living import live
from regions.io.proc import seen

SET_PARENT_DEATH_SIGNAL = 1
"""``PR_SET_PDEATHSIG`` of prctl(2)."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """An actor is there: as who, and where."""

    pid: int
    started_ticks: int
    machine: str


class Hosted:
    """Runs one process of a fleet; its methods are called once each, in this order."""

    def arrive(self) -> Arrived:
        """Become a process that can be signalled alone, and that does not outlive its raylet."""
        die_with_parent()
        if os.getpgrp() != os.getpid():
            os.setpgid(0, 0)
        found = seen(os.getpid())
        assert found is not None, "whoever asks is there"
        return Arrived(os.getpid(), found.started_ticks, machine())

    def live(self, bear: Bear) -> int:
        """Run the entry to its end; returns its exit code."""
        os.environ.update(ENVIRONMENT)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a raylet's children inherit that it blocks SIGINT
        return live(bear)


def machine() -> str:
    """Name what pids count within: a boot of a kernel, and a namespace of it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, and end now if it has ended already."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
