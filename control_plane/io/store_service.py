"""StoreService on the embedded store: who votes, how far they are, and then the deed."""
# ruff: noqa: N802 - the .proto names the methods

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from control_plane.io.sqlite_store import SqliteStore
from control_plane.io.store_wire import (
    adoption_from_pb,
    contents_to_pb,
    doc_from_pb,
    partition_from_pb,
    rows_from_pb,
    write_answer_to_pb,
)
from control_plane.io.store_writer import StoreWriter
from control_plane.ports import FLEET, Applied, Partition, StaleTerm, Unknown
from control_plane.store_rules import StoreRules, nearest_majority_s
from core.errors import MalformedError, UnavailableError
from core.io.clock import boottime_s
from core.io.json_log import tell
from core.io.serve import Context
from core.names import ControlPlaneId, DcId, ShardId, control_plane_id, dc_id, dc_of
from core.topology import Topology, rtt_table_s
from twinhold.v1 import store_service_pb2 as pb
from twinhold.v1 import store_service_pb2_grpc as pb_grpc

Answer = TypeVar("Answer")
EVENTS_PER_READ_MAX = 1_000


class Sites:
    """Which data centers live, and how far each caller stands from a majority of them."""

    def __init__(self, topology: Topology) -> None:
        self._rules = StoreRules(topology)
        self._rtt_s = dict(rtt_table_s(topology))
        self._living = frozenset(dc.id for dc in topology.data_centers)

    def set_living(self, living: frozenset[DcId]) -> None:
        """Take what the host of the data centers says."""
        self._living = living

    def trip_s(self, caller: DcId, partitions: Sequence[Partition]) -> float | None:
        """Measure a call's round trip: the farthest of its partitions; None when one of them has no majority."""
        trips = [
            nearest_majority_s(caller, self._rules.vote_sites(one), living=self._living, rtt_s=self._rtt_s)
            for one in partitions
        ]
        known = [trip for trip in trips if trip is not None]
        return max(known, default=0.0) if len(known) == len(trips) else None


class LeaderLockTable:
    """The one lock there is; in memory, for safety never depends on it."""

    def __init__(self) -> None:
        self._held: tuple[ControlPlaneId, float] | None = None

    def take(self, holder: ControlPlaneId, ttl_s: float, now: float) -> ControlPlaneId:
        """Take or renew it if it is free, run out or the holder's own; says who has it."""
        if self._held is None or self._held[0] == holder or self._held[1] <= now:
            self._held = (holder, now + ttl_s)
        return self._held[0]

    def release(self, holder: ControlPlaneId) -> None:
        """Free it if the holder has it."""
        if self._held is not None and self._held[0] == holder:
            self._held = None


class StoreService(pb_grpc.StoreServiceServicer):
    """The store on the wire.

    Every call first waits half its trip, then acts, then waits the other half. Without a living majority it is never
    answered: as with a real quorum, only the caller's deadline ends it.
    """

    def __init__(self, topology: Topology, writer: StoreWriter) -> None:
        self._topology = topology
        self._writer = writer
        self._rules = StoreRules(topology)
        self._sites = Sites(topology)
        self._lock = LeaderLockTable()

    async def Write(self, request: pb.WriteRequest, context: Context) -> pb.WriteResponse:
        """Write rows and docs of one partition."""
        partition = partition_from_pb(request.partition)
        rows, docs = rows_from_pb(request.rows), [doc_from_pb(doc) for doc in request.docs]
        answer = await self._call(
            request.caller, [partition], lambda store: store.write(partition, request.term, rows, docs)
        )
        if isinstance(answer, Unknown):
            raise UnavailableError(answer.cause, reason="STORE_RESTORED")
        return write_answer_to_pb(answer)

    async def Read(self, request: pb.ReadRequest, context: Context) -> pb.ReadResponse:
        """Read partitions, or some records of them."""
        wanted = None if request.all else [partition_from_pb(one) for one in request.partitions]
        shards = frozenset(ShardId(shard) for shard in request.shards) or None
        found = await self._call(request.caller, self._rules.touched(wanted), lambda store: store.read(wanted, shards))
        return contents_to_pb(found)

    async def RaiseTerm(self, request: pb.RaiseTermRequest, context: Context) -> pb.RaiseTermResponse:
        """Take the fleet partition over."""
        answer = await self._call(request.caller, [FLEET], lambda store: store.raise_term(request.term))
        return pb.RaiseTermResponse(stale_term=answer.term if isinstance(answer, StaleTerm) else 0)

    async def Adopt(self, request: pb.AdoptRequest, context: Context) -> pb.AdoptResponse:
        """Put records in place of those of a restored store."""
        adoption, touched = adoption_from_pb(request), self._rules.touched(None)
        answer = await self._call(request.caller, touched, lambda store: store.adopt(request.term, adoption))
        stale = answer.term if isinstance(answer, StaleTerm) else 0
        return pb.AdoptResponse(stale_term=stale, applied=isinstance(answer, Applied))

    async def AppendEvents(self, request: pb.AppendEventsRequest, context: Context) -> pb.AppendEventsResponse:
        """Add lines to the audit journal."""
        bodies = list(request.events)
        answer = await self._call(request.caller, [FLEET], lambda store: store.append_events(request.term, bodies))
        return pb.AppendEventsResponse(stale_term=answer.term if isinstance(answer, StaleTerm) else 0)

    async def ReadEvents(self, request: pb.ReadEventsRequest, context: Context) -> pb.ReadEventsResponse:
        """Read the audit journal."""
        before = request.before_number if request.HasField("before_number") else None
        limit = min(request.limit, EVENTS_PER_READ_MAX)
        events = await self._call(request.caller, [FLEET], lambda store: store.read_events(before, limit))
        return pb.ReadEventsResponse(events=events)

    async def Identity(self, request: pb.IdentityRequest, context: Context) -> pb.IdentityResponse:
        """Say whose store this is."""
        mine, restored = await self._call(request.caller, [FLEET], lambda store: (store.identity(), store.restored))
        return pb.IdentityResponse(fleet=mine.fleet, incarnation=mine.incarnation, restored=restored)

    async def TryLock(self, request: pb.TryLockRequest, context: Context) -> pb.TryLockResponse:
        """Take or renew the leader lock."""
        holder = control_plane_id(request.caller.control_plane)
        await self._half_trip(request.caller, [FLEET])
        held_by = self._lock.take(holder, request.ttl_ms / 1000, boottime_s())
        await self._half_trip(request.caller, [FLEET])
        return pb.TryLockResponse(holder=held_by)

    async def ReleaseLock(self, request: pb.ReleaseLockRequest, context: Context) -> pb.ReleaseLockResponse:
        """Give the leader lock back."""
        await self._half_trip(request.caller, [FLEET])
        self._lock.release(control_plane_id(request.caller.control_plane))
        return pb.ReleaseLockResponse()

    async def SetSites(self, request: pb.SetSitesRequest, context: Context) -> pb.SetSitesResponse:
        """Take from the host which data centers live."""
        self._of_this_fleet(request.fleet)
        living = frozenset(self._topology.data_center(dc_id(one)).id for one in request.living)
        tell("store.sites", living=sorted(living))
        self._sites.set_living(living)
        return pb.SetSitesResponse()

    async def _call(
        self, caller: pb.Caller, partitions: Sequence[Partition], deed: Callable[[SqliteStore], Answer]
    ) -> Answer:
        await self._half_trip(caller, partitions)
        answer = await self._writer.run(deed)
        await self._half_trip(caller, partitions)
        return answer

    async def _half_trip(self, caller: pb.Caller, partitions: Sequence[Partition]) -> None:
        self._of_this_fleet(caller.fleet)
        home = dc_of(self._topology.control_plane(control_plane_id(caller.control_plane)).id)
        trip_s = self._sites.trip_s(home, partitions)
        if trip_s is None:
            await asyncio.Event().wait()  # nobody votes: the caller's deadline cancels this call
        elif trip_s > 0:
            await asyncio.sleep(trip_s / 2)

    def _of_this_fleet(self, fleet: str) -> None:
        if fleet != self._topology.fleet:
            raise MalformedError(
                "fleet", fleet, expected=f"{self._topology.fleet}, whose store this is: check the store's address"
            )
