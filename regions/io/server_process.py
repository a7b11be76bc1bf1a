"""Runs one server of somebody else's, Cassandra or Consul: started, killed, frozen and started again on its own folder.

It stands in a process group of its own and is killed by the kernel when the process that started it is gone, however
that ended. Where it listens is for its arguments to say.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from core.errors import UnavailableError
from regions.io.last_words import OUTPUT, SILENT, tail
from regions.io.proc import State, seen

TOOLS = Path(__file__).parents[2] / ".tools"
"""Where `make servers` puts what it fetches."""
LOOK_S = 0.05
END_S = 5.0
GONE_S = 10.0
"""What a server that is asked to end has for it."""
_DISTRESS = ("ERROR", "FATAL", "Exception", "Error ")
# The kernel's order "kill me when my parent is gone" outlives exec; whether it was gone before that is asked besides.
_DIE_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9);"
    "os.getppid() == int(sys.argv[1]) or os._exit(1); os.execvp(sys.argv[2], sys.argv[2:])"
)


class ServerProcess:
    """One server; whoever starts it must do so on a thread that lives as long as the server shall.

    Args:
        name: what messages call it, e.g. ``cassandra-fra1``.
        arguments: the program and what it is started with.
        folder: its own: it runs there, and what it says goes to ``output.log`` in it. Made if it is not there.
        answers: asks it something over its own protocol; False or an OSError: not ready yet.
        start_s: how long it may take to be ready.
        environment: added to our own.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        folder: Path,
        *,
        answers: Callable[[], Awaitable[bool]],
        start_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self._arguments = tuple(arguments)
        self._answers = answers
        self._start_s = start_s
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, and its group; None: it has not been started, or has ended."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def state(self) -> State:
        """What it does now."""
        found = None if self.pid is None else seen(self.pid)
        return State.DEAD if found is None else found.state

    def launch(self) -> None:
        """Start it, and don't wait; only when it does not run."""
        assert self.pid is None, f"{self.name} runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        launcher = [sys.executable, "-S", "-E", "-c", _DIE_WITH_PARENT, str(os.getpid()), *self._arguments]
        with (self.folder / OUTPUT).open("ab") as output:
            self._process = subprocess.Popen(
                launcher,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Wait until it answers; one that does not is killed.

        Raises:
            UnavailableError: it ended, or did not answer in time; says its last words.
        """
        try:
            await asyncio.wait_for(_until(self._answering), self._start_s)
        except TimeoutError:
            said = self.last_words()
            self.kill()
            raise UnavailableError(f"{self.name} did not answer within {self._start_s:g} s: {said}") from None

    async def start(self) -> None:
        """Start it on the folder that it has, and wait until it answers; errors as of ``ready``."""
        self.launch()
        await self.ready()

    async def restart(self) -> None:
        """Kill it where it stands, and start it again on what it kept."""
        self.kill()
        await self.start()

    async def stop(self) -> None:
        """Ask it to end, and kill it if it does not."""
        self._signal(signal.SIGTERM)
        self.resume()
        try:
            await asyncio.wait_for(_until(self._ended), END_S)
        except TimeoutError:
            self.kill()

    def kill(self) -> None:
        """End it and all of its group without warning; harmless when it has ended."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    async def gone(self) -> None:
        """Wait until a killed one is gone: a Java machine is dead to the kernel while its threads still end.

        Raises:
            UnavailableError: it is not, after ``GONE_S``.
        """
        try:
            await asyncio.wait_for(_until(self._ended), GONE_S)
        except TimeoutError as cause:
            raise UnavailableError(f"{self.name} was killed, and is not gone after {GONE_S:g} s") from cause

    def freeze(self) -> None:
        """Stop it where it stands; it stands when this returns."""
        pid = self.pid
        if pid is not None:
            self._signal(signal.SIGSTOP)
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def last_words(self) -> str:
        """Find the line of its log that says best what went wrong with it."""
        lines = tail(self.folder / OUTPUT)
        told = [line for line in lines if any(word in line for word in _DISTRESS)] or lines
        return told[-1] if told else SILENT

    async def _answering(self) -> bool:
        if self.pid is None:
            raise UnavailableError(f"{self.name} ended while starting: {self.last_words()}")
        try:
            return await self._answers()
        except OSError:
            return False

    async def _ended(self) -> bool:
        return self.pid is None

    def _signal(self, number: signal.Signals) -> None:
        """Signal the whole group, while its first process has not been reaped: the number can't be another's."""
        if self.pid is not None:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                return


async def _until(so: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so; a server of somebody else's tells nobody when it is ready, or gone."""
    while True:
        if await so():
            return
        await asyncio.sleep(LOOK_S)
