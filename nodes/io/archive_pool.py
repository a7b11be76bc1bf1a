"""Threads in which an archive's adapter does what may take long; what comes of it is told on the loop's thread."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias, TypeVar

from core.ports import Done
from nodes.ports import ArchiveFailure

Answer = TypeVar("Answer")
CallSoon: TypeAlias = Callable[[Callable[[], None]], object]
THREADS = 2
"""A restore that reads does not wait for the archiver that writes, nor the other way round."""


class RefusedError(Exception):
    """The archive did not do it."""

    def __init__(self, cause: str, *, damaged: bool = False) -> None:
        super().__init__(cause)
        self.failure = ArchiveFailure(cause, damaged)


class ArchivePool:
    """Runs work for one adapter.

    Args:
        name: of the threads.
        call_soon_threadsafe: runs a callback on the loop's thread; the loop's method of that name.
    """

    def __init__(self, name: str, call_soon_threadsafe: CallSoon) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=name)
        self._call_soon = call_soon_threadsafe
        self._closed = False

    def run(self, work: Callable[[], Answer], done: Done[Answer | ArchiveFailure]) -> None:
        """Do ``work`` in a thread; ``done`` gets what it returns, or the failure that it raises."""

        def told(future: "Future[Answer | ArchiveFailure]") -> None:
            if not self._closed and not future.cancelled():
                self._call_soon(lambda: done(future.result()))

        self._threads.submit(_outcome, work).add_done_callback(told)

    def close(self) -> None:
        """End: what is under way is finished, what waits is dropped, nobody is told any more."""
        self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)


def _outcome(work: Callable[[], Answer]) -> Answer | ArchiveFailure:
    try:
        return work()
    except RefusedError as refused:
        return refused.failure
