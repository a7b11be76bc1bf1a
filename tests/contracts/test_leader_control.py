"""A node's way to the leader: redirected, changed under way, silent, or absent; every call answers once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from core.assignments import Assignment, Copy, Evict, Fence
from core.errors import NotLeaderError, UnavailableError
from core.gate import LoopbackPolicy
from core.io.serve import Context, Server
from core.names import CopyId, NodeId, ShardId
from core.proposals import Proposal, ProposalAnswer, ProposalApplied, ProposalRefused, ProposalUnknown
from core.timers import timers
from core.topology import ControlPlane, Kind
from core.wire import assignment_to_pb
from nodes.io.control import LeaderControl
from nodes.io.control_planes import ControlPlanes
from tests.fleets import small_fleet
from twinhold.v1 import errors_pb2
from twinhold.v1 import node_service_pb2 as pb
from twinhold.v1 import node_service_pb2_grpc as pb_grpc

FLEET = small_fleet(146)
HERE = NodeId("fra1-c1")
FIRST, SECOND = FLEET.control_planes[:2]
FRA, AMS = Copy(HERE, CopyId("a.1")), Copy(NodeId("ams1-c1"), CopyId("b.1"))
HELD = Assignment(ShardId(1), Kind.COLLAB, 1, 2, FRA, AMS)
SERVICE = pb.DESCRIPTOR.services_by_name["NodeService"].full_name
PATIENCE_S = 10.0


class Judge(pb_grpc.NodeServiceServicer):
    """A control plane that answers as it is told."""

    def __init__(self, here: ControlPlane) -> None:
        self._here = here
        self._server = Server(here.host, here.port, LoopbackPolicy())
        self.asked = asyncio.Event()
        self.redirect: str | None = None
        self.silent = False
        self.unready = 0
        self.result = pb.ProposalResult(
            outcome=pb.ProposalResult.OUTCOME_APPLIED, assignment=assignment_to_pb(replace(HELD, epoch=3, standby=None))
        )

    async def start(self) -> None:
        pb_grpc.add_NodeServiceServicer_to_server(self, self._server.server)
        await self._server.start([SERVICE])

    async def stop(self) -> None:
        await self._server.stop(0)

    async def Propose(self, request: pb.ProposeRequest, context: Context) -> pb.ProposeResponse:
        await self._heard()
        return pb.ProposeResponse(results=[self.result for _ in request.proposals])

    async def Record(self, request: pb.RecordRequest, context: Context) -> pb.RecordResponse:
        await self._heard()
        return pb.RecordResponse(assignments=[assignment_to_pb(HELD)])

    async def _heard(self) -> None:
        self.asked.set()
        if self.silent:
            await asyncio.Event().wait()
        if self.unready:
            self.unready -= 1
            raise UnavailableError("still reading", retry_after_s=0.01)
        if self.redirect is not None:
            raise NotLeaderError("not me", leader=self.redirect, term=2)


class Way:
    """The port, and the answers that came through it."""

    def __init__(self) -> None:
        self.control_planes = ControlPlanes(replace(FLEET, control_planes=(FIRST, SECOND)), HERE)
        self.control = LeaderControl(HERE, self.control_planes, timers=timers("fast"))
        self.answers: list[ProposalAnswer] = []
        self.records: list[Mapping[ShardId, Assignment] | ProposalUnknown] = []

    def propose(self) -> None:
        evict = Proposal(ShardId(1), Fence(1, 2), FRA, Evict(), "the test")
        self.control.propose([evict], self._answered)
        assert self.answers == []

    async def answer(self) -> ProposalAnswer:
        await until(lambda: self.answers)
        return self.answers[0]

    async def close(self) -> None:
        await self.control.close()
        await self.control_planes.close()

    def _answered(self, answers: Sequence[ProposalAnswer]) -> None:
        self.answers.extend(answers)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture
async def judges() -> AsyncIterator[tuple[Judge, Judge]]:
    made = (
        Judge(FIRST),  # type: ignore[abstract]  # only what a node asks the leader
        Judge(SECOND),  # type: ignore[abstract]  # as above
    )
    for judge in made:
        await judge.start()
    yield made
    for judge in made:
        await judge.stop()


@pytest.fixture
async def way() -> AsyncIterator[Way]:
    made = Way()
    yield made
    await made.close()


async def test_the_leader_s_answer_comes_back(judges: tuple[Judge, Judge], way: Way) -> None:
    way.control_planes.heard(FIRST.id, 1)
    way.propose()
    assert await way.answer() == ProposalApplied(replace(HELD, epoch=3, standby=None))


async def test_a_refusal_brings_the_record_that_stands(judges: tuple[Judge, Judge], way: Way) -> None:
    judges[0].result = pb.ProposalResult(
        outcome=pb.ProposalResult.OUTCOME_REFUSED,
        assignment=assignment_to_pb(HELD),
        reason=errors_pb2.REASON_CONFLICT,
    )
    way.control_planes.heard(FIRST.id, 1)
    way.propose()
    assert await way.answer() == ProposalRefused(HELD, "CONFLICT")


async def test_records_are_read_at_the_leader(judges: tuple[Judge, Judge], way: Way) -> None:
    way.control_planes.heard(FIRST.id, 1)
    way.control.record([ShardId(1)], way.records.append)
    await until(lambda: way.records)
    assert way.records == [{ShardId(1): HELD}]


async def test_whoever_does_not_lead_names_who_does(judges: tuple[Judge, Judge], way: Way) -> None:
    judges[0].redirect = SECOND.id
    way.control_planes.heard(FIRST.id, 1)
    way.propose()
    assert isinstance(await way.answer(), ProposalApplied)
    assert judges[1].asked.is_set()
    assert way.control_planes.leader == SECOND.id


async def test_without_a_leader_the_call_waits_for_one(judges: tuple[Judge, Judge], way: Way) -> None:
    way.propose()
    await asyncio.sleep(0)
    way.control_planes.heard(SECOND.id, 1)
    assert isinstance(await way.answer(), ProposalApplied)


async def test_a_leader_that_is_replaced_while_asked_is_not_waited_for_and_the_new_one_is_asked(
    judges: tuple[Judge, Judge], way: Way
) -> None:
    judges[0].silent = True
    way.control_planes.heard(FIRST.id, 1)
    way.propose()
    way.control.record([ShardId(1)], way.records.append)
    await asyncio.wait_for(judges[0].asked.wait(), PATIENCE_S)
    way.control_planes.heard(SECOND.id, 2)
    assert await way.answer() == ProposalApplied(replace(HELD, epoch=3, standby=None))
    await until(lambda: way.records)
    assert way.records == [{ShardId(1): HELD}]


async def test_a_leader_that_can_t_answer_yet_is_asked_again(judges: tuple[Judge, Judge], way: Way) -> None:
    judges[0].unready = 2
    way.control_planes.heard(FIRST.id, 1)
    way.propose()
    assert isinstance(await way.answer(), ProposalApplied)
    assert judges[0].unready == 0


async def test_from_a_dead_leader_the_call_goes_on_to_the_next_one(judges: tuple[Judge, Judge], way: Way) -> None:
    await judges[0].stop()
    way.control_planes.heard(FIRST.id, 1)
    way.propose()
    await asyncio.sleep(0)
    way.control_planes.heard(SECOND.id, 2)
    assert isinstance(await way.answer(), ProposalApplied)


async def test_a_silent_leader_leaves_the_outcome_unknown_in_bounded_time(
    judges: tuple[Judge, Judge], way: Way
) -> None:
    judges[0].silent = True
    way.control_planes.heard(FIRST.id, 1)
    way.propose()
    assert isinstance(await way.answer(), ProposalUnknown)


async def test_a_dead_leader_leaves_the_outcome_unknown(way: Way) -> None:
    way.control_planes.heard(FIRST.id, 1)
    way.propose()
    assert isinstance(await way.answer(), ProposalUnknown)
