"""Runs processes that die with it: forked from one preloaded server, signalled alone or as a group, never restarted."""

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from core.errors import UnavailableError
from regions.io.births import LENGTH, Bear, Born, Died, Message, Preloaded, framed, unframed
from regions.io.last_words import SILENT, tail
from regions.io.proc import State, seen

PRELOAD_S = 30.0
BIRTH_S = 20.0
LOOK_S = 0.01
ENVIRONMENT: Mapping[str, str] = {
    "GRPC_VERBOSITY": "NONE",
    # NumPy's BLAS starts threads when imported; a process that forks must have none.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


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


class Host:
    """Owns a forkserver and what is forked from it; ``open`` makes one."""

    def __init__(self, server: "subprocess.Popen[bytes]", life: tuple[int, int], streams: Streams) -> None:
        self.life_fd = life[0]
        """The read end of the life pipe, as the forked processes know it: give it to them in their config."""
        self._life_write_fd = life[1]
        self._server = server
        self._reader, self._writer = streams
        self._births: dict[str, asyncio.Future[Born]] = {}
        self._children: dict[str, Child] = {}
        self._preloaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deaths = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, log: Path, modules: Sequence[str]) -> "Host":
        """Start a forkserver.

        Args:
            log: where its standard error goes.
            modules: what it imports before it forks anything.

        Raises:
            UnavailableError: it could not import them; says the last line of the log.
        """
        ours, life = socket.socketpair(), os.pipe()
        server = _forkserver(log, ours[1], life[0], modules)
        host = cls(server, life, await asyncio.open_connection(sock=ours[0]))
        try:
            async with asyncio.timeout(PRELOAD_S):
                await host._preloaded
        except (TimeoutError, UnavailableError) as cause:
            await host.close()
            raise UnavailableError(f"no process can be started: {(tail(log) or [SILENT])[-1]}") from cause
        except asyncio.CancelledError:
            await host.close()
            raise
        return host

    async def start(self, name: str, entry: str, config: object, *, group: str, niceness: int, output: Path) -> int:
        """Start a process; returns its pid.

        Args:
            name: must not be alive.
            entry: ``module:function``.
            config: what the function is called with; any value that pickles.
            group: who is signalled together.
            niceness: added to the host's; others go first.
            output: where its standard output and error go.
        """
        assert self.state(name) is State.DEAD, f"{name} lives: nothing is started twice"
        waiting: asyncio.Future[Born] = asyncio.get_running_loop().create_future()
        self._births[name] = waiting
        self._writer.write(framed(Bear(name, group, entry, pickle.dumps(config), niceness, output)))
        try:
            async with asyncio.timeout(BIRTH_S):
                born = await waiting
        finally:
            self._births.pop(name, None)
        before = self._children.get(name)
        self._children[name] = Child(born, 0.0 if before is None else before.cpu_before_s + before.cpu_s)
        return born.pid

    def state(self, name: str) -> State:
        """Say what a process does; one that was never started is dead."""
        child = self._children.get(name)
        return State.DEAD if child is None else child.state()

    def pid(self, name: str) -> int | None:
        """Name the process's pid; None when it is dead."""
        return self._children[name].born.pid if self.state(name) is not State.DEAD else None

    def started_ticks(self, name: str) -> int:
        """Say when a process was started, in ticks since boot; 0: never."""
        return self._children[name].born.started_ticks if name in self._children else 0

    def exit_code(self, name: str) -> int | None:
        """Say how a process ended; negative for a signal, None while it lives."""
        return self._children[name].exit_code if name in self._children else None

    def cpu_s(self, name: str) -> float:
        """Add up the processor time of all processes of this name so far, user and system."""
        child = self._children.get(name)
        if child is None:
            return 0.0
        child.state()
        return child.cpu_before_s + child.cpu_s

    def signal(self, names: Sequence[str], number: signal.Signals) -> None:
        """Send a signal to processes: as one group where the names are all that lives of it, else one by one."""
        chosen = [child for name in names if (child := self._children.get(name)) and child.state() is not State.DEAD]
        for group_pid in {child.born.group_pid for child in chosen}:
            members = [child for child in self._children.values() if child.born.group_pid == group_pid]
            living = [child for child in members if child.state() is not State.DEAD]
            picked = [child for child in living if child in chosen]
            if len(picked) == len(living):
                _send(os.killpg, group_pid, number)
            else:
                for child in picked:
                    _send(os.kill, child.born.pid, number)

    async def reached(self, state: State, names: Sequence[str]) -> None:
        """Wait until all of them are in a state; of deaths the forkserver tells, for the rest the kernel is asked."""
        while any(self.state(name) is not state for name in names):
            self._deaths.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._deaths.wait()

    async def ended(self, name: str) -> int:
        """Wait for the forkserver's word of how a dead process ended: the kernel shows the death a little earlier."""
        while (code := self.exit_code(name)) is None:
            self._deaths.clear()
            await self._deaths.wait()
        return code

    async def end(self, *, grace_s: float) -> None:
        """End every process: politely, then not."""
        names = list(self._children)
        self.signal(names, signal.SIGTERM)
        self.signal(names, signal.SIGCONT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self.reached(State.DEAD, names)
        self.signal(names, signal.SIGKILL)
        await self.reached(State.DEAD, names)

    async def close(self) -> None:
        """Let go of the forkserver; whatever still lives is killed by it, and by the life pipe's end."""
        self._listening.cancel()
        self._writer.close()
        os.close(self._life_write_fd)
        os.close(self.life_fd)
        await asyncio.to_thread(self._server.wait)

    async def _listen(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(LENGTH.size)
                self._heard(unframed(await self._reader.readexactly(LENGTH.unpack(head)[0])))
        except (asyncio.IncompleteReadError, ConnectionError):
            gone = UnavailableError("the forkserver is gone: nothing more can be started from here")
            if not self._preloaded.done():
                self._preloaded.set_exception(gone)
            for waiting in self._births.values():
                if not waiting.done():
                    waiting.set_exception(gone)

    def _heard(self, message: Message) -> None:
        match message:
            case Preloaded():
                self._preloaded.set_result(None)
            case Born():
                waiting = self._births.get(message.name)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
            case Died(name, pid, status):
                child = self._children.get(name)
                if child is not None and child.born.pid == pid:
                    child.exit_code = status
                self._deaths.set()
            case Bear():
                raise AssertionError("only a host says Bear")


def _forkserver(log: Path, theirs: socket.socket, life_fd: int, modules: Sequence[str]) -> "subprocess.Popen[bytes]":
    with log.open("ab") as errors, theirs:
        return subprocess.Popen(
            [sys.executable, "-m", "regions.io.forkserver", str(theirs.fileno()), *modules],
            pass_fds=(theirs.fileno(), life_fd),
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )


def _send(how: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    try:
        how(pid, number)
    except ProcessLookupError:
        return
