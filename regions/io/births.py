"""What a host and its server say to each other over a socket: pickled values with their length in front.

The server is a forkserver, or one that starts actors of Ray. Both ends are this code, in processes of one user on one
machine.
"""

import pickle
import socket
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
    """To the server: start a process."""

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
    """From the server: it can start processes."""


@dataclass(frozen=True, slots=True)
class Born:
    """From the server: the process is there."""

    name: str
    pid: int
    group_pid: int
    started_ticks: int
    """When, in clock ticks since boot: together with the pid it names one process for ever."""


@dataclass(frozen=True, slots=True)
class Died:
    """From the server: the process is gone, and reaped."""

    name: str
    pid: int
    status: int
    """As ``os.waitstatus_to_exitcode`` says it: negative for a signal."""


@dataclass(frozen=True, slots=True)
class Unborn:
    """From the server: a process could not be started."""

    name: str
    why: str


Message: TypeAlias = Bear | Preloaded | Born | Died | Unborn


def framed(message: Message) -> bytes:
    """Write a message."""
    body = pickle.dumps(message)
    return LENGTH.pack(len(body)) + body


def unframed(body: bytes) -> Message:
    """Read a message's body."""
    message = pickle.loads(body)
    assert isinstance(message, Message), f"not a message: {message!r}"
    return message


def received(host: socket.socket) -> Message | None:
    """Read one message; None: the host is gone."""
    head = _exactly(host, LENGTH.size)
    body = head and _exactly(host, LENGTH.unpack(head)[0])
    return unframed(body) if body else None


def _exactly(host: socket.socket, size: int) -> bytes | None:
    """Read that many bytes; None: the host is gone."""
    parts = bytearray()
    while len(parts) < size:
        try:
            part = host.recv(size - len(parts))
        except ConnectionResetError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)
