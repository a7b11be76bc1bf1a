"""The control plane's way to the embedded store: the ports AssignmentStore and LeaderLock over gRPC.

Every call has a deadline; whatever goes wrong with it, its outcome is Unknown. Answers come on the loop's thread, never
inside the call.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from grpc import aio

from control_plane.io.store_wire import (
    adoption_to_pb,
    contents_from_pb,
    doc_to_pb,
    partition_to_pb,
    row_to_pb,
    write_answer_from_pb,
)
from control_plane.ports import (
    Adoption,
    Applied,
    Doc,
    Partition,
    ReadAnswer,
    Refused,
    Row,
    StaleTerm,
    StoreIdentity,
    Unknown,
    WriteAnswer,
)
from core.errors import FixRequestError, TwinholdError
from core.io.dial import channel
from core.io.json_log import warn
from core.io.status import error_of
from core.names import ControlPlaneId, ShardId, control_plane_id
from core.topology import Topology
from twinhold.v1 import store_service_pb2 as pb
from twinhold.v1 import store_service_pb2_grpc as pb_grpc

Answer = TypeVar("Answer")
Request = TypeVar("Request")
Response = TypeVar("Response")


class StoreClient:
    """One control plane's store and lock; made on the loop that it answers on.

    Args:
        topology: names the fleet and the store's endpoint.
        control_plane: whose store this is; its data center decides how long a call travels.
        deadline_s: when an unanswered call counts as Unknown.
    """

    def __init__(self, topology: Topology, control_plane: ControlPlaneId, *, deadline_s: float) -> None:
        self._caller = pb.Caller(fleet=topology.fleet, control_plane=control_plane)
        self._deadline_s = deadline_s
        self._channel = channel(topology.store_endpoint)
        self._stub = pb_grpc.StoreServiceStub(self._channel)
        self._calls: set[asyncio.Task[None]] = set()
        self._complained = ""

    def write(
        self,
        partition: Partition,
        term: int,
        rows: Sequence[Row],
        docs: Sequence[Doc],
        done: Callable[[WriteAnswer], None],
    ) -> None:
        """Write rows and docs of one partition."""
        request = pb.WriteRequest(
            caller=self._caller,
            partition=partition_to_pb(partition),
            term=term,
            rows=[row_to_pb(row) for row in rows],
            docs=[doc_to_pb(doc) for doc in docs],
        )
        self._start(self._stub.Write, request, write_answer_from_pb, done)

    def read(
        self,
        partitions: Sequence[Partition] | None,
        done: Callable[[ReadAnswer], None],
        *,
        shards: Collection[ShardId] | None = None,
    ) -> None:
        """Read partitions, or some records of them; None: all that exist."""
        wanted = [partition_to_pb(one) for one in partitions or ()]
        request = pb.ReadRequest(caller=self._caller, partitions=wanted, all=partitions is None, shards=shards or ())
        self._start(self._stub.Read, request, contents_from_pb, done)

    def raise_term(self, term: int, done: Callable[[WriteAnswer], None]) -> None:
        """Take the fleet partition over."""
        request = pb.RaiseTermRequest(caller=self._caller, term=term)
        self._start(self._stub.RaiseTerm, request, lambda answer: _written(answer.stale_term, 1), done)

    def adopt(self, term: int, adoption: Adoption, done: Callable[[WriteAnswer], None]) -> None:
        """Put records in place of those of a restored store."""
        request = adoption_to_pb(adoption)
        request.caller.CopyFrom(self._caller)
        request.term = term
        self._start(self._stub.Adopt, request, _adopted, done)

    def append_events(self, term: int, bodies: Sequence[bytes], done: Callable[[WriteAnswer], None]) -> None:
        """Add lines to the audit journal."""
        request = pb.AppendEventsRequest(caller=self._caller, term=term, events=bodies)
        count = len(bodies)
        self._start(self._stub.AppendEvents, request, lambda answer: _written(answer.stale_term, count), done)

    def read_events(
        self, before_number: int | None, limit: int, done: Callable[[Sequence[bytes] | Unknown], None]
    ) -> None:
        """Read the newest events before a number."""
        request = pb.ReadEventsRequest(caller=self._caller, before_number=before_number, limit=limit)
        self._start(self._stub.ReadEvents, request, lambda answer: tuple(answer.events), done)

    def identity(self, done: Callable[[StoreIdentity | Unknown], None]) -> None:
        """Say whose store it is."""
        request = pb.IdentityRequest(caller=self._caller)

        def read(answer: pb.IdentityResponse) -> StoreIdentity:
            return StoreIdentity(answer.fleet, answer.incarnation, answer.restored)

        self._start(self._stub.Identity, request, read, done)

    def try_acquire(self, holder: ControlPlaneId, ttl_s: float, done: Callable[[ControlPlaneId | None], None]) -> None:
        """Take or renew the lock; the holder is always the caller."""
        assert holder == self._caller.control_plane, f"{holder} is not this client's control plane"
        request = pb.TryLockRequest(caller=self._caller, ttl_ms=round(ttl_s * 1000))
        self._start(
            self._stub.TryLock,
            request,
            lambda answer: control_plane_id(answer.holder),
            lambda answer: done(None if isinstance(answer, Unknown) else answer),
        )

    def release(self, holder: ControlPlaneId) -> None:
        """Give the lock back."""
        request = pb.ReleaseLockRequest(caller=self._caller)
        self._start(self._stub.ReleaseLock, request, lambda _: None, lambda _: None)

    async def close(self) -> None:
        """Drop the calls in flight and close the channel; their callbacks never come."""
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self._channel.close(None)

    def _start(
        self,
        method: aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        read: Callable[[Response], Answer],
        done: Callable[[Answer | Unknown], None],
    ) -> None:
        call = asyncio.ensure_future(self._call(method, request, read, done))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _call(
        self,
        method: aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        read: Callable[[Response], Answer],
        done: Callable[[Answer | Unknown], None],
    ) -> None:
        try:
            # A store that is not there is waited for like one that does not answer: nothing is known either way.
            response = await method(request, timeout=self._deadline_s, wait_for_ready=True)
            answer: Answer | Unknown = read(response)
        except aio.AioRpcError as failure:
            answer = self._unknown(error_of(failure))
        except TwinholdError as error:
            answer = self._unknown(error)
        done(answer)

    def _unknown(self, error: TwinholdError) -> Unknown:
        if isinstance(error, FixRequestError) and error.message != self._complained:
            self._complained = error.message
            warn("store.refuses", message=error.message)
        return Unknown(error.message)


def _adopted(answer: pb.AdoptResponse) -> WriteAnswer:
    if answer.stale_term:
        return StaleTerm(answer.stale_term)
    return (Applied() if answer.applied else Refused(None),)


def _written(stale_term: int, count: int) -> WriteAnswer:
    return StaleTerm(stale_term) if stale_term else (Applied(),) * count
