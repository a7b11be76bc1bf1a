"""A load or probe process, seen from the rehearsal: start it, command it, hear it, and be sure that it ends."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress

from chaos.io.child import LINE_BYTES_MAX, Fields
from core.errors import UnavailableError

END_WITHIN_S = 8.0


class Worker:
    """One process of ours; use ``start``."""

    def __init__(self, process: asyncio.subprocess.Process, module: str) -> None:
        self._process = process
        self._module = module
        self._reports: asyncio.Queue[Fields | None] = asyncio.Queue()
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, module: str, configuration: Mapping[str, object]) -> "Worker":
        """Start ``python -m module`` in a session of its own, so that Ctrl-C is the parent's business alone."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=LINE_BYTES_MAX,
            env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        )
        worker = cls(process, module)
        try:
            await worker.send(**configuration)
        except BaseException:  # cut short: nobody else knows of it
            await worker.kill()
            raise
        return worker

    @property
    def pid(self) -> int:
        """Name the process."""
        return self._process.pid

    async def send(self, **command: object) -> None:
        """Send one command; to a process that is gone it goes nowhere, which ``next_report`` then says."""
        assert self._process.stdin is not None, "the pipe was asked for"
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return

    async def next_report(self) -> Fields:
        """Wait for the next report.

        Raises:
            UnavailableError: the process ended.
        """
        report = await self._reports.get()
        if report is None:
            raise UnavailableError(f"{self._module} ended by itself, its errors stand above")
        if "error" in report:
            raise UnavailableError(f"{self._module} had to end: {report['error']}")
        return report

    async def until(self, key: str, *, within_s: float) -> Fields:
        """Wait for the report that has a key, passing over others.

        Raises:
            UnavailableError: the process ended, or it took too long.
        """
        try:
            async with asyncio.timeout(within_s):
                while True:
                    report = await self.next_report()
                    if key in report:
                        return report
        except TimeoutError as cause:
            raise UnavailableError(f"{self._module} did not report {key!r} within {within_s:g} s") from cause

    async def end(self) -> None:
        """Close its input, wait until it has written everything down, and kill it if it does not end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(END_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._listener

    async def kill(self) -> None:
        """End it at once: what it is at is of no use to anybody any more."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self.end()

    async def _listen(self) -> None:
        assert self._process.stdout is not None, "the pipe was asked for"
        async for line in self._process.stdout:
            self._reports.put_nowait(json.loads(line))
        self._reports.put_nowait(None)
