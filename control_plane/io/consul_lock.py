"""The leader lock in Consul: a session with a time to live that nobody but its holder decides about.

The session has no checks attached, so that a server that stumbles drops no lock, and no lock delay, so that the next
candidate need not wait for nothing. It avoids duels only: whoever raised the store's term leads, whatever Consul says
(PROTOCOL.md, C7).
"""

import asyncio
from collections.abc import Callable, Coroutine

from core.engines import ConsulEngine
from core.errors import NotAllowedError, TwinholdError
from core.io.consul_calls import ConsulCalls
from core.io.consul_client import Client, TtlTooShortError, exceptions
from core.io.consul_entries import lock_key
from core.io.json_log import tell, warn
from core.names import ControlPlaneId, control_plane_id

SHORTEST_ASKED_S = 0.001
"""Consul takes 0 for "no end". It says itself which is the shortest that it grants: 10 s as it comes, 1 s at best."""
TRIES = 2
"""Between the question who holds it and the attempt to take it, somebody else may have taken it."""


class ConsulLock:
    """One control plane's ``LeaderLock``; made on the loop that it answers on.

    Consul lets go of a session that is not renewed after once to twice its time to live, and allows none below its
    ``session_ttl_min``. A lock that was asked for a shorter time is given back by this process itself when that is
    over; Consul's longer time counts only when the process is gone.

    Args:
        engine: where Consul is, and in which of its datacenters the lock stands.
        fleet: whose lock.
        control_plane: who asks.
        deadline_s: when a question without an answer counts as unanswered.
    """

    def __init__(self, engine: ConsulEngine, fleet: str, control_plane: ControlPlaneId, *, deadline_s: float) -> None:
        self._me = control_plane
        self._key = lock_key(fleet)
        self._dc = engine.datacenter or None
        self._calls = ConsulCalls(engine, name="consul-lock", deadline_s=deadline_s)
        self._running: set[asyncio.Task[None]] = set()
        self._lapse: asyncio.TimerHandle | None = None
        self._complained = ""
        # The rest is the calls' thread's, which does one thing after the other.
        self._session = ""
        self._asked_s = 0.0
        self._shortest_s = SHORTEST_ASKED_S
        """Of the times to live that Consul grants, as far as it has told."""

    def try_acquire(self, holder: ControlPlaneId, ttl_s: float, done: Callable[[ControlPlaneId | None], None]) -> None:
        """Take or renew the lock; answers with who holds it, None when Consul does not answer."""
        assert holder == self._me, f"{holder} is not this lock's control plane"
        self._let_lapse(None)
        self._start(self._ask(ttl_s, done))

    def release(self, holder: ControlPlaneId) -> None:
        """Give the lock back."""
        assert holder == self._me, f"{holder} is not this lock's control plane"
        self._let_lapse(None)
        self._start(self._give_back())

    async def close(self) -> None:
        """Drop the calls in flight; their callbacks never come. What is held lapses."""
        self._let_lapse(None)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._calls.close()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _ask(self, ttl_s: float, done: Callable[[ControlPlaneId | None], None]) -> None:
        try:
            holder = await self._calls.ask(lambda client: self._acquired(client, ttl_s))
            self._complained = ""
        except TwinholdError as error:
            self._complain(error)
            holder = None
        if holder == self._me:
            self._let_lapse(ttl_s)
        done(holder)

    async def _give_back(self) -> None:
        try:
            await self._calls.ask(self._released)
        except TwinholdError as error:
            self._complain(error)

    def _let_lapse(self, ttl_s: float | None) -> None:
        """Give the lock back after a while; None: not any more."""
        if self._lapse is not None:
            self._lapse.cancel()
        lapsed = asyncio.get_running_loop().call_later
        self._lapse = None if ttl_s is None else lapsed(ttl_s, lambda: self._start(self._give_back()))

    def _complain(self, error: TwinholdError) -> None:
        """Say once what is wrong: that Consul is away changes nothing, but that it refuses us somebody must mend."""
        kind = type(error).__name__
        if kind != self._complained:
            self._complained = kind
            say = warn if isinstance(error, NotAllowedError) else tell
            say("lock.unanswered", cause=error.message)

    def _acquired(self, client: Client, ttl_s: float) -> ControlPlaneId | None:
        """Take the lock, or find who has it; on the thread. Who comes too late costs Consul a read and no write."""
        for _ in range(TRIES):
            _, found = client.kv.get(self._key, dc=self._dc)
            if found and found.get("Session") not in (None, self._session):
                return control_plane_id((found["Value"] or b"").decode(errors="replace"))
            self._keep_session(client, ttl_s)
            if client.kv.put(self._key, self._me, acquire=self._session, dc=self._dc):
                return self._me
        return None

    def _keep_session(self, client: Client, ttl_s: float) -> None:
        if self._session and self._asked_s == ttl_s:
            try:
                client.session.renew(self._session, dc=self._dc)
                return
            except exceptions.NotFound:
                self._session = ""
        fresh = self._fresh_session(client, ttl_s)
        self._released(client)
        self._session, self._asked_s = fresh, ttl_s

    def _fresh_session(self, client: Client, ttl_s: float) -> str:
        try:
            return client.create_session(self._key, ttl_s=max(ttl_s, self._shortest_s), dc=self._dc)
        except TtlTooShortError as error:
            self._shortest_s = error.shortest_s
            cause = "Consul lets no session run out earlier: its session_ttl_min"
            tell("lock.ttl_raised", asked_s=ttl_s, granted_s=error.shortest_s, cause=cause)
            return client.create_session(self._key, ttl_s=error.shortest_s, dc=self._dc)

    def _released(self, client: Client) -> None:
        """End the session, and with it what it holds; on the thread."""
        if self._session:
            client.session.destroy(self._session, dc=self._dc)
            self._session = ""
