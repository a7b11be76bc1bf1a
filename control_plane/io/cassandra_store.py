"""The assignment store in Apache Cassandra: every write one conditional batch of one partition, at SERIAL and QUORUM.

What this control plane knows of a partition saves the reading before a write, and is never the last word: a write
repeats its base in the condition, and whatever is refused is refused by what was read for it. A request without an
answer is followed by a linearizable read; what that shows is answered, and what it leaves open is sent again while its
base stands, or ends as Unknown.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import TypeVar
from uuid import uuid4

from control_plane.cassandra_plan import Held, Item, planned
from control_plane.catalog import partitions_in
from control_plane.io.cassandra_adoption import CassandraAdoption
from control_plane.io.cassandra_events import CassandraEvents
from control_plane.io.cassandra_link import CassandraLink
from control_plane.io.cassandra_rows import RAISE, conditional, key, term_put
from control_plane.ports import (
    FLEET,
    Adoption,
    Applied,
    Doc,
    Partition,
    PartitionState,
    ReadAnswer,
    Refused,
    Row,
    StaleTerm,
    StoreIdentity,
    Unknown,
    WriteAnswer,
)
from control_plane.store_rules import RESTORED, StoreRules
from core.engines import CassandraEngine
from core.errors import FixRequestError, NotAllowedError, NotFoundError, TwinholdError, UnavailableError
from core.io.json_log import warn
from core.names import ControlPlaneId, ShardId
from core.topology import Topology

Answer = TypeVar("Answer")
QUEUE = 5.0
"""Deadlines that a call may wait until others of its partition have been answered."""
ADOPTING = 60.0
"""Deadlines that an adoption has: it writes all partitions."""
_HOPELESS = (FixRequestError, NotAllowedError, NotFoundError)


class CassandraStore:
    """One control plane's store; made on the loop that it answers on.

    Args:
        engine: where the cluster is.
        topology: the fleet that the store belongs to.
        control_plane: whose store this is; its data center decides how long a call travels.
        deadline_s: when an unanswered call counts as Unknown.
    """

    def __init__(
        self, engine: CassandraEngine, topology: Topology, control_plane: ControlPlaneId, *, deadline_s: float
    ) -> None:
        self._topology = topology
        self._name = control_plane
        self._deadline_s = deadline_s
        self._rules = StoreRules(topology)
        self._link = CassandraLink(engine, topology, control_plane, deadline_s=deadline_s)
        self._events = CassandraEvents(self._link)
        self._adoption = CassandraAdoption(self._link, self._rules, self._partitions())
        self._known: dict[Partition, Held] = {}
        self._turns: dict[Partition, asyncio.Lock] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._complained = ""

    async def open(self) -> None:
        """Connect; if no node answers, go on trying beside, and answer Unknown until one does.

        Raises:
            NotAllowedError: the cluster refuses the user.
            NotFoundError: the keyspace, or a table, does not exist.
        """
        await self._link.open()

    async def close(self) -> None:
        """Drop the calls in flight and close the connections; their callbacks never come."""
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self._link.close()

    def write(
        self,
        partition: Partition,
        term: int,
        rows: Sequence[Row],
        docs: Sequence[Doc],
        done: Callable[[WriteAnswer], None],
    ) -> None:
        """Write rows and docs of one partition."""
        items: dict[int, Item] = dict(enumerate([*rows, *docs]))
        self._start(partition, lambda: self._write(partition, term, items), done)

    def read(
        self,
        partitions: Sequence[Partition] | None,
        done: Callable[[ReadAnswer], None],
        *,
        shards: Collection[ShardId] | None = None,
    ) -> None:
        """Read partitions, or some records of them; None: all that exist."""
        wanted = None if partitions is None else tuple(partitions)
        self._start(None, lambda: self._read(wanted, shards), done)

    def raise_term(self, term: int, done: Callable[[WriteAnswer], None]) -> None:
        """Take the fleet partition over."""
        token = f"{self._name}/{uuid4().hex}"
        self._start(FLEET, lambda: self._raise_term(term, token), done)

    def adopt(self, term: int, adoption: Adoption, done: Callable[[WriteAnswer], None]) -> None:
        """Put records in place of those of a restored store; see ``cassandra_adoption``."""

        async def adopted() -> WriteAnswer:
            self._known.clear()
            try:
                return await self._adoption.adopt(term, adoption)
            finally:
                self._known.clear()

        self._start(FLEET, adopted, done, deadlines=ADOPTING)

    def append_events(self, term: int, bodies: Sequence[bytes], done: Callable[[WriteAnswer], None]) -> None:
        """Add lines to the audit journal."""
        self._start(None, lambda: self._events.append(term, tuple(bodies)), done)

    def read_events(
        self, before_number: int | None, limit: int, done: Callable[[Sequence[bytes] | Unknown], None]
    ) -> None:
        """Read the newest events before a number."""
        self._start(None, lambda: self._events.read(before_number, limit), done)

    def identity(self, done: Callable[[StoreIdentity | Unknown], None]) -> None:
        """Say whose store it is; while an adoption is under way, that it was restored."""

        async def identified() -> StoreIdentity:
            own = (await self._fresh(FLEET)).own
            if not own.fleet:
                raise NotFoundError("store", self._topology.fleet, remedy="create it: twinhold store init")
            return StoreIdentity(own.fleet, own.incarnation, bool(own.adopting))

        self._start(None, identified, done)

    async def _write(self, partition: Partition, term: int, items: Mapping[int, Item]) -> WriteAnswer:
        left, answers, sent = dict(items), dict[int, Applied | Refused](), set[int]()
        held, is_fresh = self._known.get(partition), False
        if FLEET in self._known and self._known[FLEET].own.adopting and (await self._fresh(FLEET)).own.adopting:
            return Unknown(RESTORED)
        while True:
            if held is None:
                held, is_fresh = await self._fresh(partition), True
            plan = planned(self._rules, partition, left, held, sent)
            if not is_fresh and (held.term > term or plan.answers or plan.overtaken):
                held = None
                continue
            if plan.overtaken:
                return Unknown("a write without an answer has been overtaken by others")
            if held.term > term:
                part = any(isinstance(one, Applied) for one in (*answers.values(), *plan.answers.values()))
                return Unknown(f"term {held.term} began when a part was written") if part else StaleTerm(held.term)
            if (plan.batch or held.term < term) and not await self._put(partition, term, plan.batch, held, sent):
                held = None
                continue
            answers |= {**plan.answers, **dict.fromkeys(plan.batch, Applied())}
            self._known[partition] = held = held.after(term, plan.batch.values())
            left, is_fresh = dict(plan.later), False
            if not left:
                return tuple(answers[place] for place in items)

    async def _put(
        self, partition: Partition, term: int, batch: Mapping[int, Item], held: Held, sent: set[int]
    ) -> bool:
        """Write a batch and the term, all or nothing; False: it was refused, or nothing is known of it."""
        parts = [conditional(partition, item, held) for item in batch.values()]
        try:
            return await self._link.put(term_put(partition, term, held), *parts)
        except UnavailableError:
            sent.update(batch)
            return False

    async def _raise_term(self, term: int, token: str) -> WriteAnswer:
        while True:
            held = await self._fresh(FLEET)
            if held.term == term and held.own.raised_by == token:
                return (Applied(),)
            if held.term >= term:
                return StaleTerm(held.term)
            try:
                if await self._link.put((RAISE, (term, token, *key(FLEET), held.term or None))):
                    self._known.pop(FLEET, None)
                    return (Applied(),)
            except UnavailableError:
                """Read what became of it."""

    async def _read(self, partitions: Sequence[Partition] | None, shards: Collection[ShardId] | None) -> ReadAnswer:
        wanted = self._partitions() if partitions is None else partitions
        found = dict(zip(wanted, await asyncio.gather(*map(self._fresh, wanted)), strict=True))
        if partitions is None:
            found = {partition: held for partition, held in found.items() if held.term or held.records or held.docs}
        return {partition: _shown(held, shards) for partition, held in found.items()}

    async def _fresh(self, partition: Partition) -> Held:
        self._known[partition] = held = await self._link.read(partition)
        return held

    def _partitions(self) -> list[Partition]:
        geographies = self._topology.geographies
        return [FLEET, *(one for geography in geographies for one in partitions_in(self._topology, geography.id))]

    def _start(
        self,
        partition: Partition | None,
        call: Callable[[], Coroutine[None, None, Answer]],
        done: Callable[[Answer | Unknown], None],
        *,
        deadlines: float = 1.0,
    ) -> None:
        task = asyncio.ensure_future(self._called(partition, call, done, self._deadline_s * deadlines))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _called(
        self,
        partition: Partition | None,
        call: Callable[[], Coroutine[None, None, Answer]],
        done: Callable[[Answer | Unknown], None],
        deadline_s: float,
    ) -> None:
        """Make a call in its turn: writes of one partition would only get into each other's way."""
        try:
            if partition is None:
                answer: Answer | Unknown = await asyncio.wait_for(call(), deadline_s)
            else:
                turn = self._turns.setdefault(partition, asyncio.Lock())
                await asyncio.wait_for(turn.acquire(), self._deadline_s * QUEUE)
                try:
                    answer = await asyncio.wait_for(call(), deadline_s)
                finally:
                    turn.release()
        except TimeoutError:
            answer = Unknown(f"the store did not answer within {deadline_s:g} s")
        except TwinholdError as error:
            answer = self._unknown(error)
        done(answer)

    def _unknown(self, error: TwinholdError) -> Unknown:
        if isinstance(error, _HOPELESS) and error.message != self._complained:
            self._complained = error.message
            warn("store.refuses", message=error.message)
        return Unknown(error.message)


def _shown(held: Held, shards: Collection[ShardId] | None) -> PartitionState:
    if shards is None:
        return held.state()
    return Held(held.term, {shard: held.records[shard] for shard in shards if shard in held.records}).state()
