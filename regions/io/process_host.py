"""Runs processes that die with it: started by a server of its own, signalled alone or as a group, never restarted.

What the server is, a forkserver or a driver of Ray, is for those to say who open a host.
"""

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self, TypeAlias

from core.errors import UnavailableError
from regions.io.births import LENGTH, Bear, Born, Died, Message, Preloaded, Unborn, framed, unframed
from regions.io.children import Child, send
from regions.io.last_words import SILENT, tail
from regions.io.proc import State

LOOK_S = 0.01
Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ProcessHost:
    """Owns a server and what it starts; its subclasses' ``open`` makes one."""

    def __init__(
        self, server: "subprocess.Popen[bytes]", life: tuple[int, int], streams: Streams, birth_s: float
    ) -> None:
        self.life_fd: int | None = life[0]
        """The read end of the life pipe, as the processes know it: give it to them in their config. None: they have
        none, and are killed when the host is gone."""
        self._life = life
        self._birth_s = birth_s
        self._server = server
        self._reader, self._writer = streams
        self._births: dict[str, asyncio.Future[Born]] = {}
        self._children: dict[str, Child] = {}
        self._preloaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deaths = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def _served(
        cls,
        module: str,
        arguments: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str],
        preload_s: float,
        birth_s: float,
        pass_fds: Sequence[int] = (),
    ) -> Self:
        """Start a server, and wait until it can start processes.

        Args:
            module: what it runs.
            arguments: for it, after the descriptor of its socket.
            log: where its output goes; its last line says why it can't.
            environment: added to ours.
            preload_s: how long it may take until it can.
            birth_s: how long a process may take to be there.
            pass_fds: descriptors that it inherits too.

        Raises:
            UnavailableError: it can't; says the last line of the log.
        """
        (ours, theirs), life = socket.socketpair(), os.pipe()
        fds = (life[0], *pass_fds)
        server = _server(module, arguments, log, theirs=theirs, environment=environment, pass_fds=fds)
        host = cls(server, life, await asyncio.open_connection(sock=ours), birth_s)
        try:
            async with asyncio.timeout(preload_s):
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

        Raises:
            UnavailableError: it can't be started; says why.
        """
        assert self.state(name) is State.DEAD, f"{name} lives: nothing is started twice"
        waiting: asyncio.Future[Born] = asyncio.get_running_loop().create_future()
        self._births[name] = waiting
        self._writer.write(framed(Bear(name, group, entry, pickle.dumps(config), niceness, output)))
        try:
            async with asyncio.timeout(self._birth_s):
                born = await waiting
        except TimeoutError as cause:
            raise UnavailableError(f"{name} was not there {self._birth_s:g} s after it was started") from cause
        finally:
            self._births.pop(name, None)
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
        send(chosen, self._children.values(), number)

    async def reached(self, state: State, names: Sequence[str]) -> None:
        """Wait until all of them are in a state; of deaths the server tells, for the rest the kernel is asked."""
        while any(self.state(name) is not state for name in names):
            self._deaths.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._deaths.wait()

    async def ended(self, name: str) -> int:
        """Wait for the server's word of how a dead process ended: the kernel shows the death a little earlier."""
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
        """Let go of the server; whatever still lives is killed by it, and by the life pipe's end."""
        self._listening.cancel()
        self._writer.close()
        for fd in self._life:
            os.close(fd)
        await asyncio.to_thread(os.waitid, os.P_PID, self._server.pid, os.WEXITED | os.WNOWAIT)
        self._server_gone()
        self._server.wait()

    async def _listen(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(LENGTH.size)
                self._heard(unframed(await self._reader.readexactly(LENGTH.unpack(head)[0])))
        except (asyncio.IncompleteReadError, ConnectionError):
            gone = UnavailableError("the server of processes is gone: nothing more can be started from here")
            if not self._preloaded.done():
                self._preloaded.set_exception(gone)
            for waiting in self._births.values():
                if not waiting.done():
                    waiting.set_exception(gone)
            self._server_gone()

    def _server_gone(self) -> None:
        """End what a server left, not reaped yet: its pid is nobody else's. A forkserver leaves nothing."""

    def _born(self, born: Born) -> None:
        """Know a process before anything else is heard: its death may follow at once, ahead of whoever started it."""
        before = self._children.get(born.name)
        self._children[born.name] = Child(born, 0.0 if before is None else before.cpu_before_s + before.cpu_s)

    def _heard(self, message: Message) -> None:
        match message:
            case Preloaded():
                self._preloaded.set_result(None)
            case Born():
                waiting = self._births.get(message.name)
                if waiting is not None and not waiting.done():
                    self._born(message)
                    waiting.set_result(message)
            case Unborn(name, why):
                waiting = self._births.get(name)
                if waiting is not None and not waiting.done():
                    waiting.set_exception(UnavailableError(f"{name} can't be started: {why}"))
            case Died(name, pid, status):
                child = self._children.get(name)
                if child is not None and child.born.pid == pid:
                    child.exit_code = status
                self._deaths.set()
            case Bear():
                raise AssertionError("only a host says Bear")


def _server(
    module: str,
    arguments: Sequence[str],
    log: Path,
    *,
    theirs: socket.socket,
    environment: Mapping[str, str],
    pass_fds: Sequence[int],
) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output, theirs:
        return subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno()), *arguments],
            pass_fds=(theirs.fileno(), *pass_fds),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        )
