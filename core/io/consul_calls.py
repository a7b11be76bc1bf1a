"""Consul without waiting for it: calls run on a few threads of their own, answers come back on the loop, in time."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from core.engines import ConsulEngine
from core.errors import OverloadedError, UnavailableError
from core.io.consul_client import Agents, Client

Answer = TypeVar("Answer")
WAITING_MAX = 8
"""Calls that may wait for a thread; more are refused at once: they would only be answered when nobody asks any more."""
GRACE_S = 0.05
"""A thread gives up by itself when its time is up; this much later nobody waits for it any more."""


class _Errand(Generic[Answer]):
    """One call on its way: its answer goes back to the loop that asked, once, unless nobody waits any more."""

    def __init__(self, job: Callable[[Client], Answer], *, until: float, tries: int | None) -> None:
        self._job = job
        self._until = until
        self._tries = tries
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Answer] = self._loop.create_future()

    def run(self, agents: Agents) -> None:
        """Do it, on a thread."""
        if time.monotonic() >= self._until:
            return
        try:
            answer = agents.ask(self._job, until=self._until, tries=self._tries)
        except Exception as error:  # noqa: BLE001  # whatever broke is for whoever asked; the thread goes on
            self._back(partial(self.answer.set_exception, error))
        else:
            self._back(partial(self.answer.set_result, answer))

    def _back(self, deliver: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._unless_done, deliver)
        except RuntimeError:  # the loop has ended meanwhile, and with it whoever asked
            return

    def _unless_done(self, deliver: Callable[[], None]) -> None:
        if not self.answer.done():
            deliver()


class ConsulCalls:
    """Asks one Consul; made on the loop that it answers on.

    One thread carries calls out in the order in which they were made. It is a daemon: a process that ends does not
    wait for a Consul that does not answer.

    Args:
        engine: where Consul is.
        name: of the thread.
        deadline_s: when a call that has no answer has failed.
    """

    def __init__(self, engine: ConsulEngine, *, name: str, deadline_s: float) -> None:
        self._engine = engine
        self._name = name
        self._deadline_s = deadline_s
        self._errands: queue.Queue[_Errand[object] | None] = queue.Queue(WAITING_MAX)
        self._thread: threading.Thread | None = None

    async def ask(
        self, job: Callable[[Client], Answer], *, deadline_s: float | None = None, tries: int | None = None
    ) -> Answer:
        """Do a job at the first agent that answers.

        Args:
            job: makes one or more calls, on the thread.
            deadline_s: for a call that takes longer by its nature.
            tries: how many agents are tried; None: all.

        Raises:
            UnavailableError: no answer came in time; it may have been done.
            OverloadedError: too many calls wait already; certainly not done.
            NotAllowedError: Consul refuses the token.
        """
        whole_s = self._deadline_s if deadline_s is None else deadline_s
        errand = _Errand(job, until=time.monotonic() + whole_s, tries=tries)
        self._send(errand)
        try:
            async with asyncio.timeout(whole_s + GRACE_S):
                return await errand.answer
        except TimeoutError:
            tried = ", ".join(self._engine.addresses)
            raise UnavailableError(f"Consul did not answer within {whole_s:g} s (asked: {tried})") from None

    async def close(self) -> None:
        """Let the thread end when it is done with what it does now; what waits for it is dropped."""
        with suppress(queue.Empty):
            while True:
                self._errands.get_nowait()
        self._errands.put_nowait(None)

    def _send(self, errand: _Errand[Answer]) -> None:
        try:
            self._errands.put_nowait(errand)  # type: ignore[arg-type]  # each errand knows its own type
        except queue.Full:
            raise OverloadedError(
                f"{WAITING_MAX} calls wait for Consul already", retry_after_s=self._deadline_s
            ) from None
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        agents = Agents(self._engine)
        try:
            while (errand := self._errands.get()) is not None:
                errand.run(agents)
        finally:
            agents.close()
