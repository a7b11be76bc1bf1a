"""What a host and its forkserver say to each other over a socket: pickled values with their length in front.

Both ends are this code, in processes of one user on one machine.
"""

import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeAlias

LENGTH = struct.Struct(">I")
Entry: TypeAlias = "Callable[[object], int]"
"""A module-level function: runs a process to its end, and returns its exit code."""


@dataclass(frozen=True, slots=True)
class Bear:
    """To the forkserver: start a process."""

    name: str
    """Unique among the living."""
    group: str
    """Processes of one group are signalled together: a data center."""
    entry: str
    """``module:function``, see ``Entry``."""
    config: bytes
    """Pickled; what the entry is called with."""
    niceness: int
    """Added to the host's; a process that is nicer lets others go first."""
    output: PurePath
    """Where its standard output and error go: nothing, unless something is badly wrong."""


@dataclass(frozen=True, slots=True)
class Preloaded:
    """From the forkserver: everything is imported."""


@dataclass(frozen=True, slots=True)
class Born:
    """From the forkserver: the process is there."""

    name: str
    pid: int
    group_pid: int
    started_ticks: int
    """When, in clock ticks since boot: together with the pid it names one process for ever."""


@dataclass(frozen=True, slots=True)
class Died:
    """From the forkserver: the process is gone, and reaped."""

    name: str
    pid: int
    status: int
    """As ``os.waitstatus_to_exitcode`` says it: negative for a signal."""


Message: TypeAlias = Bear | Preloaded | Born | Died


def framed(message: Message) -> bytes:
    """Write a message."""
    body = pickle.dumps(message)
    return LENGTH.pack(len(body)) + body


def unframed(body: bytes) -> Message:
    """Read a message's body."""
    message = pickle.loads(body)
    assert isinstance(message, Bear | Preloaded | Born | Died), f"not a message: {message!r}"
    return message
