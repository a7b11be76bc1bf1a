"""The life of a process of a fleet: one event loop, a log, a `ready` file, and an end when it is told or left alone.

It ends on SIGTERM or SIGINT, or when the pipe from its host reports end of file: the host is gone, and nothing may
outlive it. A start that fails leaves its one line in `failed`, for the host to show.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from core.errors import TwinholdError
from core.io.json_log import log_to, tell, warn

READY = "ready"
FAILED = "failed"
LOG = "log.jsonl"


class Life:
    """When this process is to end, and how long its loop was away.

    Args:
        data_dir: the process's own directory.
        life_fd: a pipe held by the host; None: not hosted.
    """

    def __init__(self, data_dir: Path, life_fd: int | None) -> None:
        self._data_dir = data_dir
        self._life_fd = life_fd
        self._over = asyncio.Event()

    def ready(self) -> None:
        """Tell the host that this process serves."""
        write_whole(self._data_dir / READY, f"{os.getpid()}\n")
        tell("process.ready", pid=os.getpid())

    def end(self, why: str) -> None:
        """End the process; it has time to close."""
        if not self._over.is_set():
            tell("process.ending", why=why)
            self._over.set()

    async def over(self) -> None:
        """Wait for the end."""
        await self._over.wait()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to listen for signals and for the host's end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end, signal.Signals(number).name)
        if self._life_fd is not None:
            os.set_blocking(self._life_fd, False)
            loop.add_reader(self._life_fd, self._host_spoke, loop)

    def _host_spoke(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._life_fd is not None, "a reader without a pipe"
        try:
            left = not os.read(self._life_fd, 4096)
        except BlockingIOError:
            return
        if left:
            loop.remove_reader(self._life_fd)
            self.end("the host is gone")


def run_hosted(data_dir: Path, life_fd: int | None, serve: Callable[[Life], Awaitable[None]]) -> int:
    """Run a process to its end.

    Args:
        data_dir: its own directory; made if it is not there.
        life_fd: a pipe held by the host; None: not hosted.
        serve: starts, calls ``Life.ready``, waits for ``Life.over``, closes.

    Returns:
        The exit code: 0, or 1 when it could not start.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    for name in (READY, FAILED):
        (data_dir / name).unlink(missing_ok=True)
    log_to(data_dir / LOG)
    try:
        uvloop.run(_live(data_dir, life_fd, serve))
    except TwinholdError as error:
        warn("process.failed", message=error.message)
        write_whole(data_dir / FAILED, f"{error.message}\n")
        return 1
    finally:
        (data_dir / READY).unlink(missing_ok=True)
    return 0


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that a reader sees all of it or nothing."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


async def _live(data_dir: Path, life_fd: int | None, serve: Callable[[Life], Awaitable[None]]) -> None:
    life = Life(data_dir, life_fd)
    life.watch(asyncio.get_running_loop())
    await serve(life)
