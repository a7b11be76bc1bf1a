"""The port Control over gRPC: proposals and linearizable reads go to the leader, whoever that is by then."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import grpc

from core.assignments import Assignment
from core.errors import NotLeaderError, TwinholdError, UnavailableError
from core.io.delay import across
from core.io.json_log import warn
from core.io.status import error_of
from core.names import ControlPlaneId, NodeId, ShardId
from core.proposals import Proposal, ProposalAnswer, ProposalUnknown
from core.timers import Timers
from core.wire import assignment_from_pb
from nodes.io.control_planes import ControlPlanes
from nodes.io.control_wire import proposal_answer_from_pb, proposal_to_pb
from twinhold.v1 import node_service_pb2 as pb
from twinhold.v1 import node_service_pb2_grpc as pb_grpc

Response = TypeVar("Response")
AGAIN_S = 0.02
"""Before a control plane that says it does not lead is believed to have news."""


class _LeaderChangedError(Exception):
    """Another control plane leads before the one that was asked has answered."""


class LeaderControl:
    """One node's way to the leader.

    Whoever leads when the one before does not answer any more is asked the very same: a proposal that had been applied
    is then refused with the record that it made.

    Args:
        node: who asks.
        control_planes: who leads, and how to reach it.
        timers: a call waits for one leader's silence and one election, then its outcome is unknown.
    """

    def __init__(self, node: NodeId, control_planes: ControlPlanes, *, timers: Timers) -> None:
        self._node = node
        self._control_planes = control_planes
        self._deadline_s = 2 * timers.takeover_s + timers.silence_s
        self._unreached_s = timers.takeover_s / 2
        self._calls: set[asyncio.Task[None]] = set()

    def propose(self, proposals: Sequence[Proposal], done: Callable[[Sequence[ProposalAnswer]], None]) -> None:
        """Ask for changes."""
        self._start(self._propose(proposals, done))

    def record(
        self, shards: Sequence[ShardId], done: Callable[[Mapping[ShardId, Assignment] | ProposalUnknown], None]
    ) -> None:
        """Read records."""
        self._start(self._record(shards, done))

    async def close(self) -> None:
        """Drop the calls in flight; their callbacks never come."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _propose(self, proposals: Sequence[Proposal], done: Callable[[Sequence[ProposalAnswer]], None]) -> None:
        request = pb.ProposeRequest(node=self._node, proposals=[proposal_to_pb(proposal) for proposal in proposals])
        response = await self._ask(lambda stub: stub.Propose(request))
        if isinstance(response, ProposalUnknown):
            done([response] * len(proposals))
        elif len(response.results) != len(proposals):
            done([ProposalUnknown("answers are missing")] * len(proposals))
        else:
            done([proposal_answer_from_pb(result) for result in response.results])

    async def _record(
        self, shards: Sequence[ShardId], done: Callable[[Mapping[ShardId, Assignment] | ProposalUnknown], None]
    ) -> None:
        response = await self._ask(lambda stub: stub.Record(pb.RecordRequest(shards=shards)))
        if isinstance(response, ProposalUnknown):
            done(response)
        else:
            done({ShardId(record.shard): assignment_from_pb(record) for record in response.assignments})

    async def _ask(
        self, call: Callable[["pb_grpc.NodeServiceAsyncStub"], Awaitable[Response]]
    ) -> Response | ProposalUnknown:
        try:
            async with asyncio.timeout(self._deadline_s):
                while True:
                    leader = await self._leader()
                    try:
                        return await self._ask_one(leader, call)
                    except _LeaderChangedError:
                        pass
                    except NotLeaderError as error:
                        self._redirected(leader, error)
                        await asyncio.sleep(AGAIN_S)
                    except UnavailableError as error:
                        if self._control_planes.leader == leader:
                            await self._change(within_s=error.retry_after_s or self._unreached_s)
        except TwinholdError as error:
            return ProposalUnknown(error.message)
        except TimeoutError:
            return ProposalUnknown(f"no leader answered within {self._deadline_s} s")

    async def _leader(self) -> ControlPlaneId:
        while (leader := self._control_planes.leader) is None:
            await self._control_planes.change()
        return leader

    async def _change(self, *, within_s: float) -> None:
        """Wait until somebody else leads, or a while has passed."""
        try:
            async with asyncio.timeout(within_s):
                await self._control_planes.change()
        except TimeoutError:
            pass

    async def _ask_one(
        self, leader: ControlPlaneId, call: Callable[["pb_grpc.NodeServiceAsyncStub"], Awaitable[Response]]
    ) -> Response:
        stub = pb_grpc.NodeServiceStub(self._control_planes.line(leader))
        asked = asyncio.ensure_future(across(self._control_planes.trip_s(leader), lambda: call(stub)))
        change = asyncio.ensure_future(self._control_planes.change())
        try:
            await asyncio.wait((asked, change), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise _LeaderChangedError
            return await asked
        except grpc.RpcError as error:
            raise error_of(error) from error
        finally:
            asked.cancel()
            change.cancel()
            await asyncio.gather(asked, change, return_exceptions=True)

    def _redirected(self, asked: ControlPlaneId, error: NotLeaderError) -> None:
        warn("leader.not_leading", control_plane=asked, leader=error.facts.get("leader", ""))
        self._control_planes.not_leading(asked)
        term = error.facts.get("term", "")
        leader = error.facts.get("leader", "")
        if leader and leader != asked:
            self._control_planes.heard(leader, int(term) if term.isdecimal() else self._control_planes.term)
