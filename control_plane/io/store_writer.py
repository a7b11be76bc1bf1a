"""The store's single thread: takes what has queued up, runs it as one transaction, answers it together."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from control_plane.io.sqlite_store import SqliteStore
from core.errors import OverloadedError, TwinholdError, UnavailableError

Answer = TypeVar("Answer")

QUEUE_MAX = 4096
BATCH_MAX = 256
_RETRY_S = 0.1


class StoreWriter:
    """Runs deeds on a thread of its own; concurrent ones share one fsync.

    Args:
        store: opened; nobody else may use it while this runs.
        loop: where answers are given.
        broken: told, on the loop, what broke the thread; nothing is answered any more then.
    """

    def __init__(self, store: SqliteStore, loop: asyncio.AbstractEventLoop, broken: Callable[[str], None]) -> None:
        self._broken = broken
        self._store = store
        self._loop = loop
        self._queue: list[tuple[Callable[[SqliteStore], object], asyncio.Future[object]]] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def run(self, deed: Callable[[SqliteStore], Answer]) -> Answer:
        """Run a deed and return its answer once it is durable.

        Raises:
            OverloadedError: too many calls wait.
            UnavailableError: the disk refused; nothing happened.
        """
        future: asyncio.Future[object] = self._loop.create_future()
        with self._changed:
            if self._closing:
                raise UnavailableError("the store is stopping", reason="STOPPED")
            if len(self._queue) >= QUEUE_MAX:
                raise OverloadedError(f"{QUEUE_MAX} calls wait for the store's disk", retry_after_s=_RETRY_S)
            self._queue.append((deed, future))
            self._changed.notify()
        return await future  # type: ignore[return-value]  # the future of this very deed, kept in a list of mixed ones

    def close(self) -> None:
        """Let what is queued finish, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._serve()
        except Exception as cause:
            self._loop.call_soon_threadsafe(self._broken, repr(cause))
            raise

    def _serve(self) -> None:
        while batch := self._batch():
            try:
                answers: list[object] = self._store.transact([deed for deed, _ in batch])
            except TwinholdError as error:
                answers = [error] * len(batch)
            futures = [future for _, future in batch]
            self._loop.call_soon_threadsafe(_settle, futures, answers)

    def _batch(self) -> list[tuple[Callable[[SqliteStore], object], asyncio.Future[object]]]:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            batch, self._queue = self._queue[:BATCH_MAX], self._queue[BATCH_MAX:]
            return batch


def _settle(futures: list[asyncio.Future[object]], answers: list[object]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, TwinholdError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
