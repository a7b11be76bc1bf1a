"""Signs of life and leases between two nodes."""

from hypothesis import given
from hypothesis import strategies as st

from core.assignments import Fence
from core.names import NodeId, ShardId
from core.timers import timers
from nodes.frames import Heartbeat, HeartbeatReply
from nodes.link import Link, LinkTable
from nodes.pair_rules import lease_granted_s, lease_held_s

TIMERS = timers("default")
PEER, ME = NodeId("ams1-c1"), NodeId("fra1-c1")
SHARD, OTHER = ShardId(7), ShardId(8)
FIRST, SECOND = Fence(1, 1), Fence(1, 2)


def table() -> LinkTable:
    return LinkTable(timers=TIMERS, serial=lambda: 1000)


def grants_all(shard: ShardId, peer: NodeId, fence: Fence) -> bool:
    return True


def beat(holder: LinkTable, grantor: Link, *, at: float, back: float, refuses: tuple[ShardId, ...] = ()) -> None:
    link = holder.watch(PEER, at)
    reply = grantor.asked(link.beat(at), at, lambda shard, *_: shard not in refuses)
    link.granted(reply, back)


def test_a_lease_counts_from_when_it_was_asked_for() -> None:
    holder, grantor = table(), Link(ME, TIMERS, 0.0, 5)
    holder.watch(PEER, 10.0).want(SHARD, FIRST)
    beat(holder, grantor, at=10.0, back=10.3)
    assert holder.lease_until(SHARD, PEER, FIRST) == 10.0 + lease_held_s(TIMERS)


def test_a_shard_that_is_refused_has_no_lease() -> None:
    holder, grantor = table(), Link(ME, TIMERS, 0.0, 5)
    for shard in (SHARD, OTHER):
        holder.watch(PEER, 10.0).want(shard, FIRST)
    beat(holder, grantor, at=10.0, back=10.1, refuses=(SHARD,))
    assert holder.lease_until(SHARD, PEER, FIRST) < 10.0
    assert holder.lease_until(OTHER, PEER, FIRST) > 10.0


def test_a_lease_of_another_epoch_does_not_count_unless_it_is_carried_over() -> None:
    holder, grantor = table(), Link(ME, TIMERS, 0.0, 5)
    link = holder.watch(PEER, 10.0)
    link.want(SHARD, FIRST)
    beat(holder, grantor, at=10.0, back=10.1)
    assert holder.lease_until(SHARD, PEER, SECOND) < 10.0
    link.carry(SHARD, FIRST, SECOND)
    assert holder.lease_until(SHARD, PEER, SECOND) > 10.0


def test_the_list_travels_until_it_is_known_and_again_after_it_changed() -> None:
    link, grantor = Link(PEER, TIMERS, 0.0, 1), Link(ME, TIMERS, 0.0, 5)
    link.want(SHARD, FIRST)
    first = link.beat(1.0)
    link.granted(grantor.asked(first, 1.0, grants_all), 1.1)
    assert first.wanted == ((SHARD, FIRST),)
    assert link.beat(1.2).wanted is None
    link.want(SHARD, SECOND)
    assert link.beat(1.4).wanted == ((SHARD, SECOND),)


def test_a_grantor_that_lost_the_list_asks_for_it() -> None:
    link = Link(PEER, TIMERS, 0.0, 1)
    link.want(SHARD, FIRST)
    link.known = True
    reply = Link(ME, TIMERS, 0.0, 5).asked(link.beat(1.0), 1.0, grants_all)
    assert (reply.version, link.granted(reply, 1.1)) == (0, False)
    assert link.beat(1.2).wanted is not None


def test_an_answer_to_an_older_list_gives_no_lease() -> None:
    link = Link(PEER, TIMERS, 0.0, 1)
    link.want(SHARD, FIRST)
    old = link.beat(1.0)
    link.want(SHARD, SECOND)
    assert not link.granted(HeartbeatReply(1.0, old.version, ()), 1.1)
    assert link.held == {}


def test_above_a_lease_a_jump_forgets_leases_and_below_it_only_silence() -> None:
    holder, grantor = table(), Link(ME, TIMERS, 0.0, 5)
    holder.watch(PEER, 10.0).want(SHARD, FIRST)
    beat(holder, grantor, at=10.0, back=10.1)
    holder.jumped(0.3, 10.4)
    assert holder.heard_at(PEER, 10.4) == 10.4
    assert holder.lease_until(SHARD, PEER, FIRST) > 10.4
    holder.jumped(1.5, 12.0)
    assert holder.lease_until(SHARD, PEER, FIRST) < 12.0


@given(
    asked=st.floats(0, 100),
    there=st.floats(0, 2),
    back=st.floats(0, 2),
    offset=st.floats(-1e4, 1e4),
    holder_rate=st.floats(0.99, 1.01),
    grantor_rate=st.floats(0.99, 1.01),
)
def test_no_lease_outlives_its_grantors_wait_on_clocks_within_rho(
    asked: float, there: float, back: float, offset: float, holder_rate: float, grantor_rate: float
) -> None:
    """The holder's deadline, in true time, never lies after the moment at which the grantor stops waiting."""
    link, grantor = Link(PEER, TIMERS, 0.0, 1), Link(ME, TIMERS, 0.0, 5)
    link.want(SHARD, FIRST)
    sent_at = asked * holder_rate
    replied_at = offset + (asked + there) * grantor_rate
    reply = grantor.asked(Heartbeat(sent_at, link.version, ((SHARD, FIRST),)), replied_at, grants_all)
    link.granted(reply, (asked + there + back) * holder_rate)
    held_until = link.held[SHARD][1] / holder_rate
    waits_until = (grantor.replied + lease_granted_s(TIMERS) - offset) / grantor_rate
    assert held_until <= waits_until + 1e-6


def test_an_answer_that_waited_for_our_own_beat_is_no_sign_of_life() -> None:
    link = Link(ME, TIMERS, 1.0, 5)
    link.asked(Link(PEER, TIMERS, 0.0, 7).beat(1.0), 1.2, grants_all)
    assert link.heard == 1.0
