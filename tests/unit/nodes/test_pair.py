"""The machine of one copy, event by event."""

from dataclasses import dataclass, field, replace

import pytest

from core.assignments import Assignment, Copy, Evict, Fence, Override, Promote, Switchover, successor
from core.copies import NOTHING_QUARANTINED, Quarantined, Role
from core.machine import Output
from core.names import CopyId, NodeId, ShardId
from core.orders import Order
from core.proposals import Proposal, ProposalApplied, ProposalRefused, ProposalUnknown
from core.rhythm import Rhythm
from core.timers import timers
from core.topology import Kind
from nodes.frames import Ack, Append, Decided, Hello, Invite, Stale, Welcome
from nodes.pair import Pair
from nodes.pair_events import (
    Action,
    Cut,
    Durable,
    Event,
    Flush,
    HandOver,
    Hasten,
    Heard,
    Jumped,
    MapRecord,
    MetaSaved,
    Note,
    Ordered,
    Persist,
    ProposalAnswered,
    Propose,
    ReadRecord,
    ReadTail,
    RecordRead,
    SaveMeta,
    Send,
    SendSnapshot,
    SnapshotSent,
    SnapshotTaken,
    TailRead,
    Truncate,
)
from nodes.pair_rules import Rules
from nodes.ports import CopyMeta, Intent, Recovered, Span
from nodes.records import EMPTY, Generation, Record, Tip, following, tip_of

SHARD = ShardId(7)
A, B, C = (Copy(NodeId(f"{dc}-c1"), CopyId(f"{dc}.1")) for dc in ("fra1", "ams1", "waw1"))
SYNC = Assignment(SHARD, Kind.COLLAB, 1, 4, A, B)
SOLO = replace(SYNC, standby=None)
OVERRIDDEN = successor(replace(SOLO, epoch=5), Override(B, "ada"), reason="ada states that fra1 is fenced")
GEN = Generation(1, 4, 0)
TIMERS = timers("default")
START = 1000.0


@dataclass
class Ties:
    """Leases, silence and grants, as a test sets them."""

    lease: float = float("inf")
    heard: float = float("inf")
    replied: float = float("-inf")

    def lease_until(self, shard: ShardId, peer: NodeId, fence: Fence) -> float:
        return self.lease

    def replied_at(self, peer: NodeId) -> float:
        return self.replied

    def heard_at(self, peer: NodeId, now: float) -> float:
        return self.heard

    def refused(self, peer: NodeId) -> bool:
        return False


@dataclass
class Bench:
    """One copy and a perfect disk: everything is durable as soon as it is asked for, unless ``slow``."""

    pair: Pair
    ties: Ties
    now: float = START
    slow: bool = False
    done: list[Action] = field(default_factory=list)

    def on(self, event: Event) -> list[Action]:
        return self._take(self.pair.on(event, self.now))

    def wake(self, now: float) -> list[Action]:
        self.now = now
        return self._take(self.pair.wake(now))

    def order(self, order: Order, target: Copy | None = None) -> str:
        node = None if target is None else target.node
        refusal, output = self.pair.order(Ordered(order, self.pair.state.fence, node), self.now)
        self._take(output)
        return refusal

    def write(self, body: bytes = b"x") -> int:
        lsn = self.pair.admit(body)
        self.on(Flush())
        return lsn

    def hear(self, peer: Copy, *messages: object) -> list[Action]:
        return [a for message in messages for a in self.on(Heard(peer.node, message))]  # type: ignore[arg-type]  # a table of messages

    def sent(self, kind: type) -> list[object]:
        return [a.message for a in self.done if isinstance(a, Send) and isinstance(a.message, kind)]

    def proposed(self) -> list[Proposal]:
        return [a.proposal for a in self.done if isinstance(a, Propose)]

    def reads(self) -> list[int]:
        return [a.number for a in self.done if isinstance(a, ReadRecord)]

    def read_number(self) -> int:
        return self.reads()[-1]

    def _take(self, output: Output[Action]) -> list[Action]:
        found = list(output.actions)
        self.done += found
        for action in found if not self.slow else ():
            match action:
                case Persist(records, cuts):
                    found += self.on(Durable(records[-1].lsn, cuts))
                case SaveMeta(_, version):
                    found += self.on(MetaSaved(version))
                case Truncate(_, _, cuts):
                    found += self.on(Cut(cuts))
                case _:
                    pass
        return found


def entries(count: int, gen: Generation = GEN, after: Tip = EMPTY) -> list[Record]:
    found: list[Record] = []
    for n in range(count):
        found.append(following(after, gen, b"%d" % n))
        after = tip_of(found[-1])
    return found


def bench(
    me: Copy,
    assignment: Assignment,
    *,
    records: list[Record] | None = None,
    intents: tuple[Intent, ...] = (),
    gen: Generation = GEN,
    floor: Tip = EMPTY,
) -> Bench:
    held = records or []
    tip = tip_of(held[-1]) if held else EMPTY
    spans = (Span(held[0].generation, held[0].lsn),) if held else ()
    ties = Ties()
    meta = CopyMeta(me.copy_id, gen, assignment, intents)
    pair = Pair(
        Recovered(SHARD, meta, tip, floor, spans),
        node=me.node,
        timers=TIMERS,
        rhythm=Rhythm(TIMERS.heartbeat_s),
        leases=ties,
        rules=Rules(),
        serial=100,
        now=START,
    )
    made = Bench(pair, ties)
    made._take(pair.start(START))
    return made


def follow(b: Bench, peer: Copy, *, at: int | None = None) -> None:
    """Let a peer answer the last Invite with the primary's own journal, then acknowledge it."""
    state = b.pair.state
    invite = [a.message for a in b.done if isinstance(a, Send) and a.peer == peer.node][-1]
    assert isinstance(invite, Invite)
    b.hear(peer, Hello(SHARD, state.gen, peer.copy_id, state.tip, EMPTY, tuple(state.spans), 1, invite.ask))
    b.hear(peer, Ack(SHARD, state.gen, state.tip.lsn if at is None else at))


def serving(assignment: Assignment = SYNC, records: list[Record] | None = None) -> Bench:
    """A primary that has restarted, met its standby, waited its lease out, and serves."""
    b = bench(A, assignment, records=records)
    if assignment.standby is not None:
        follow(b, assignment.standby)
    b.wake(START + 1.1)
    assert b.pair.admits
    return b


def test_a_restart_raises_the_boot_number_before_anything_is_sent() -> None:
    b = bench(A, SYNC)
    first = b.done[0]
    assert isinstance(first, SaveMeta)
    assert first.meta.seen == GEN._replace(boot=1)


def test_nothing_is_sent_before_the_meta_that_it_depends_on_is_on_disk() -> None:
    b = bench(B, SYNC)
    b.slow = True
    b.hear(A, Invite(SHARD, Generation(1, 5, 0), replace(SYNC, epoch=5), 1))
    assert b.sent(Hello) == []
    b.on(MetaSaved(b.pair.state.meta_version))
    assert len(b.sent(Hello)) == 1


def test_what_waits_for_the_meta_of_an_epoch_never_leaves_in_a_newer_one() -> None:
    b = bench(B, SYNC)
    b.slow = True
    b.hear(A, Invite(SHARD, Generation(1, 5, 0), replace(SYNC, epoch=5), 1))
    b.on(MapRecord(replace(SYNC, epoch=6)))
    b.on(MetaSaved(b.pair.state.meta_version))
    assert b.sent(Hello) == [], "it was a greeting of epoch 5, and the disk says 6"


def test_a_write_is_committed_when_disk_and_standby_have_it() -> None:
    b = serving()
    b.slow = True
    lsn = b.write()
    b.hear(B, Ack(SHARD, b.pair.state.gen, lsn))
    assert b.pair.state.commit_lsn < lsn
    b.on(Durable(lsn, 0))
    assert b.pair.state.commit_lsn == lsn


def hastened(actions: list[Action]) -> bool:
    return Hasten() in actions


@pytest.mark.parametrize(
    ("assignment", "quiet"), [pytest.param(SYNC, True, id="sync"), pytest.param(SOLO, False, id="alone")]
)
def test_only_a_disk_that_nobody_waits_for_alone_may_be_silent(assignment: Assignment, quiet: bool) -> None:
    b = serving(assignment)
    b.write()
    written = [action for action in b.done if isinstance(action, Persist)]
    assert [action.quiet for action in written] == [quiet]


def test_a_standbys_disk_is_never_silent() -> None:
    b = bench(B, SYNC)
    records = entries(1)
    b.hear(A, Append(SHARD, GEN, EMPTY, tuple(records), 0))
    assert [action.quiet for action in b.done if isinstance(action, Persist)] == [False]


def test_an_ack_that_comes_before_the_own_disk_hastens_it() -> None:
    b = serving()
    b.slow = True
    lsn = b.write()
    assert hastened(b.hear(B, Ack(SHARD, b.pair.state.gen, lsn)))
    b.on(Durable(lsn, 0))
    b.write()
    b.on(Durable(lsn + 1, 0))
    assert not hastened(b.hear(B, Ack(SHARD, b.pair.state.gen, lsn + 1)))


def test_a_disk_is_asked_how_far_it_is_at_the_next_beat_and_when_nobody_else_is_waited_for() -> None:
    b = serving()
    b.slow = True
    b.write()
    assert hastened(b.wake(b.now + TIMERS.heartbeat_s))
    assert hastened(b.on(MapRecord(replace(SOLO, epoch=5))))


@pytest.mark.parametrize(
    "gen",
    [
        pytest.param(Generation(1, 4, 0), id="older boot"),
        pytest.param(Generation(1, 3, 9), id="older epoch"),
        pytest.param(Generation(1, 4, 2), id="newer boot"),
    ],
)
def test_an_ack_of_another_generation_does_not_count(gen: Generation) -> None:
    b = serving()
    lsn = b.write()
    b.hear(B, Ack(SHARD, gen, lsn))
    assert b.pair.state.commit_lsn < lsn


def test_news_of_a_commit_goes_with_the_next_heartbeat_and_asks_for_no_answer() -> None:
    b, follower = serving(), bench(B, SYNC)
    lsn = b.write()
    b.hear(B, Ack(SHARD, b.pair.state.gen, lsn))
    told = b.pair.state.news_at
    assert told == b.pair.state.rhythm.after(b.now)
    before = len(b.sent(Append))
    b.wake(told - 0.001)
    assert len(b.sent(Append)) == before
    b.wake(told)
    entry, news = b.sent(Append)[-2:]
    assert isinstance(news, Append)
    assert (news.records, news.commit_lsn, news.decided) == ((), lsn, None)
    first = Append(SHARD, b.pair.state.gen, EMPTY, (), 0, SYNC)
    follower.hear(A, first, entry)
    acks = len(follower.sent(Ack))
    follower.hear(A, news)
    assert follower.pair.state.commit_lsn == lsn
    assert len(follower.sent(Ack)) == acks


def test_a_beat_tells_the_news_alone_unless_something_else_is_due() -> None:
    b = serving()
    b.hear(B, Ack(SHARD, b.pair.state.gen, b.write()))
    b.ties.heard = b.now - 5
    output = b.pair.beat(b.pair.state.news_at)
    assert [type(action) for action in output.actions] == [Send]
    b.slow = True
    b.write()
    b.now = b.pair.state.news_at
    found = b.pair.beat(b.now).actions
    assert [type(action) for action in found] == [Hasten, Propose]


def test_news_waits_for_no_beat_when_another_entry_brings_it() -> None:
    b = serving()
    b.hear(B, Ack(SHARD, b.pair.state.gen, b.write()))
    b.write()
    told = b.sent(Append)[-1]
    assert isinstance(told, Append)
    assert told.commit_lsn == 1
    before = len(b.sent(Append))
    b.wake(b.pair.state.news_at)
    assert len(b.sent(Append)) == before


def test_a_write_that_nobody_acknowledges_is_asked_about_although_nothing_else_happens() -> None:
    b = serving()
    b.wake(b.now + 5)
    b.pair.admit(b"lost on its way")
    asked = len(b.sent(Invite))
    at = b.pair.on(Flush(), b.now).wake_at
    end = b.now + 3 * TIMERS.standby_silence_s
    while len(b.sent(Invite)) == asked and at < end:
        b.now = b.ties.heard = at
        output = b.pair.wake(at)
        b.done += output.actions
        at = output.wake_at
    assert len(b.sent(Invite)) == asked + 1


def test_solo_commits_alone() -> None:
    b = serving(SOLO)
    assert b.write() == b.pair.state.commit_lsn


def test_a_silent_standby_is_evicted_and_commits_wait_until_that_is_known() -> None:
    b = serving()
    lsn = b.write()
    b.ties.heard = b.now
    b.wake(b.now + TIMERS.standby_silence_s + 0.01)
    proposal = b.proposed()[-1]
    assert proposal.change == Evict()
    b.on(ProposalAnswered(proposal, ProposalUnknown("no answer")))
    assert b.pair.state.commit_lsn < lsn
    b.on(RecordRead(b.read_number(), successor(SYNC, Evict(), reason="")))
    assert b.pair.state.commit_lsn == lsn


def test_a_record_is_read_once_at_a_time_and_again_when_the_store_did_not_answer() -> None:
    b = serving()
    b.ties.heard = b.now
    b.wake(b.now + TIMERS.standby_silence_s + 0.01)
    for _ in range(3):
        b.on(ProposalAnswered(b.proposed()[-1], ProposalUnknown("no answer")))
        b.wake(b.now + b.pair.state.retry_s())
    assert len(b.reads()) == 1
    b.on(RecordRead(b.read_number(), None))
    b.wake(b.now + b.pair.state.retry_s())
    assert len(b.reads()) == 2


def test_a_refused_eviction_shows_who_won() -> None:
    b = serving()
    b.ties.heard = b.now
    b.wake(b.now + TIMERS.standby_silence_s + 0.01)
    won = successor(SYNC, Promote(), reason="")
    b.on(ProposalAnswered(b.proposed()[-1], ProposalRefused(won, "moved on")))
    assert b.pair.state.role is Role.OUT
    assert not b.pair.admits


def test_a_restarted_primary_answers_nothing_before_its_tail_is_acknowledged() -> None:
    b = bench(A, SYNC, records=entries(3))
    follow(b, B, at=2)
    b.wake(START + 5)
    assert not b.pair.answers
    b.hear(B, Ack(SHARD, b.pair.state.gen, 3))
    assert b.pair.answers


def test_a_restarted_primary_waits_a_full_lease_even_when_alone() -> None:
    b = bench(A, SOLO, records=entries(3))
    b.wake(START + TIMERS.lease_s)
    assert not b.pair.answers
    b.wake(START + TIMERS.lease_s * 1.02)
    assert b.pair.answers


def test_a_restart_resumes_the_joint_mode_of_its_intents() -> None:
    b = bench(A, SOLO, records=entries(3), intents=(Intent("add", 1, 4, C, 2),))
    b.wake(START + 5)
    assert not b.pair.answers
    follow(b, C)
    assert type(b.proposed()[-1].change).__name__ == "Add"
    assert b.pair.answers


def test_a_primary_admits_until_its_intent_to_drain_is_on_disk() -> None:
    b = serving(records=entries(3))
    b.slow = True
    assert b.order(Order.SWITCHOVER) == ""
    assert b.pair.admits
    assert b.order(Order.SWITCHOVER) == "", "the same order again is no other change"
    lsn = b.write()
    b.on(MetaSaved(b.pair.state.meta_version))
    assert b.pair.state.role is Role.DRAINED
    assert b.proposed() == [], "the standby lacks what was admitted meanwhile"
    b.on(Durable(lsn, 0))
    b.hear(B, Ack(SHARD, b.pair.state.gen, lsn))
    assert b.proposed()[-1].change == Switchover()


def test_a_drained_primary_hands_over_before_its_own_disk_knows() -> None:
    b = serving(records=entries(3))
    b.order(Order.SWITCHOVER)
    b.slow = True
    decided = successor(SYNC, Switchover(), reason="")
    b.on(ProposalAnswered(b.proposed()[-1], ProposalApplied(decided)))
    assert b.pair.state.dirty
    assert b.sent(Decided)[-1] == Decided(SHARD, decided)
    assert HandOver(B.node) in b.done


def test_a_restart_resumes_draining() -> None:
    b = bench(A, SYNC, records=entries(3), intents=(Intent("drain", 1, 4, None, 3),))
    assert b.pair.state.role is Role.DRAINED
    follow(b, B)
    assert b.proposed()[-1].change == Switchover()


def test_a_promoted_copy_waits_out_its_grants_and_then_counts_its_journal_as_committed() -> None:
    b = bench(B, SYNC, records=entries(3))
    b.now = START + 50
    b.ties.replied = b.now
    b.on(MapRecord(successor(SYNC, Promote(), reason="")))
    b.wake(b.now + TIMERS.lease_s)
    assert b.pair.state.role is Role.PROMOTED
    b.wake(START + 50 + TIMERS.lease_s * 1.02)
    assert b.pair.admits
    assert b.pair.state.commit_lsn == 3


def test_a_handed_over_shard_is_served_at_once_but_read_only_with_the_old_primarys_lease() -> None:
    b = bench(B, SYNC, records=entries(3))
    b.ties.lease = START - 1
    b.hear(A, Decided(SHARD, successor(SYNC, Switchover(), reason="")))
    assert b.pair.admits
    assert not b.pair.readable(b.now)
    b.ties.lease = START + 1
    assert b.pair.readable(b.now)


def test_a_standby_refuses_what_an_older_primary_sends() -> None:
    b = bench(B, replace(SYNC, epoch=5), gen=Generation(1, 5, 0))
    b.hear(A, Append(SHARD, GEN, EMPTY, tuple(entries(1)), 0, SYNC))
    assert b.pair.state.tip == EMPTY
    assert b.sent(Stale) == [Stale(SHARD, Generation(1, 5, 0), replace(SYNC, epoch=5))]


def test_a_standby_acknowledges_after_its_fsync_only() -> None:
    b = bench(B, SYNC)
    b.slow = True
    b.hear(A, Append(SHARD, GEN, EMPTY, tuple(entries(2)), 0, None))
    assert b.sent(Ack) == []
    b.on(Durable(2, 0))
    assert b.sent(Ack) == [Ack(SHARD, GEN, 2)]


def test_first_contact_cuts_what_the_primary_lacks_before_anything_is_acknowledged() -> None:
    held = entries(5)
    b = bench(B, SYNC, records=held)
    booted = GEN._replace(boot=1)
    b.hear(A, Append(SHARD, booted, tip_of(held[2]), (), 0, SYNC))
    hello = b.sent(Hello)[-1]
    assert isinstance(hello, Hello)
    assert b.sent(Ack) == []
    b.slow = True
    b.hear(A, Welcome(SHARD, booted, SYNC, hello.number, tip_of(held[2]), False))
    assert [a for a in b.done if isinstance(a, Truncate)] == [Truncate(tip_of(held[2]), 2, 1)]
    assert b.sent(Ack) == []
    b.on(Cut(1))
    assert b.sent(Ack) == [Ack(SHARD, booted, 3)]


def test_a_welcome_to_an_older_hello_is_void() -> None:
    held = entries(5)
    b = bench(B, SYNC, records=held)
    b.hear(A, Invite(SHARD, GEN, SYNC, 1), Invite(SHARD, GEN, SYNC, 2))
    first = b.sent(Hello)[0]
    assert isinstance(first, Hello)
    b.hear(A, Welcome(SHARD, GEN, SYNC, first.number, tip_of(held[2]), False))
    assert b.pair.state.tip.lsn == 5


def test_a_hole_is_asked_about_and_never_appended() -> None:
    b = bench(B, SYNC)
    some = entries(4)
    b.hear(A, Append(SHARD, GEN, EMPTY, tuple(some[:1]), 0, None))
    b.hear(A, Append(SHARD, GEN, tip_of(some[2]), (some[3],), 0, None))
    assert b.pair.state.tip.lsn == 1
    assert len(b.sent(Hello)) == 1


def test_a_doubled_append_changes_nothing_and_is_acknowledged_again() -> None:
    b = bench(B, SYNC)
    message = Append(SHARD, GEN, EMPTY, tuple(entries(2)), 0, None)
    b.hear(A, message, message)
    assert b.pair.state.tip.lsn == 2
    assert b.sent(Ack) == [Ack(SHARD, GEN, 2)] * 2


def test_a_switchover_stops_admitting_then_proposes_once_the_standby_has_everything() -> None:
    b = serving()
    lsn = b.write()
    assert b.order(Order.SWITCHOVER) == ""
    assert not b.pair.admits
    assert b.proposed() == []
    b.hear(B, Ack(SHARD, b.pair.state.gen, lsn))
    assert b.proposed()[-1].change == Switchover()
    b.on(ProposalAnswered(b.proposed()[-1], ProposalApplied(successor(SYNC, Switchover(), reason=""))))
    assert b.pair.state.role is Role.STANDBY
    assert len(b.sent(Decided)) == 1


def test_an_order_given_again_does_no_harm_and_a_second_change_is_refused() -> None:
    b = serving()
    assert b.order(Order.SWAP, C) == ""
    assert b.order(Order.SWAP, C) == ""
    assert b.order(Order.SWITCHOVER) == "another change is under way"


def test_swap_needs_both_standbys_from_its_intent_on() -> None:
    b = serving()
    b.order(Order.SWAP, C)
    follow(b, C)
    lsn = b.write()
    b.hear(B, Ack(SHARD, b.pair.state.gen, lsn))
    assert b.pair.state.commit_lsn < lsn
    b.hear(C, Ack(SHARD, b.pair.state.gen, lsn))
    assert b.pair.state.commit_lsn == lsn
    assert type(b.proposed()[-1].change).__name__ == "Swap"


def test_a_learner_whose_snapshot_was_overtaken_by_the_next_one_is_sent_that_one() -> None:
    """The journal lets go of what the next snapshot holds, while the last one is still on its way."""
    held = entries(9)
    b = serving(SOLO, records=held)
    b.on(SnapshotTaken(tip_of(held[3])))
    b.order(Order.ADD, C)
    asked = b.sent(Invite)[-1]
    assert isinstance(asked, Invite)
    b.hear(C, Hello(SHARD, GEN, C.copy_id, EMPTY, EMPTY, (), 7, asked.ask))
    assert SendSnapshot(C.node, 7) in b.done
    b.on(SnapshotSent(C.node, 7, tip_of(held[3])))
    b.hear(C, Ack(SHARD, b.pair.state.gen, 4))
    assert ReadTail(C.node, 7, 4) in b.done
    b.on(SnapshotTaken(tip_of(held[8])))
    b.on(TailRead(C.node, 7, ()))
    b.wake(b.now + 1.0)
    again = b.sent(Invite)[-1]
    assert isinstance(again, Invite)
    assert again.ask != asked.ask


def test_a_standby_that_holds_less_than_it_acknowledged_is_a_lost_disk() -> None:
    b = serving(records=entries(3))
    b.hear(B, Hello(SHARD, b.pair.state.gen, B.copy_id, EMPTY, EMPTY, (), 9, 0))
    assert "rolled back" in b.proposed()[-1].reason


def test_another_copy_id_is_a_lost_disk() -> None:
    b = bench(A, SYNC)
    invite = b.sent(Invite)[-1]
    assert isinstance(invite, Invite)
    b.hear(B, Hello(SHARD, GEN, CopyId("other.1"), EMPTY, EMPTY, (), 9, invite.ask))
    assert "disk was lost" in b.proposed()[-1].reason


def test_a_stale_copy_that_an_override_names_persists_it_waits_its_grants_out_and_serves_what_it_has() -> None:
    b = bench(B, successor(SYNC, Evict(), reason=""), records=entries(3))
    assert b.pair.state.role is Role.OUT
    b.slow = True
    b.on(MapRecord(OVERRIDDEN))
    b.wake(START + 2 * TIMERS.lease_s)
    saved = [a for a in b.done if isinstance(a, SaveMeta)][-1]
    assert (b.pair.admits, saved.meta.seen) == (False, Generation(2, 6, 0)), "the incarnation is not on disk yet"
    b.on(MetaSaved(saved.version))
    assert b.pair.admits
    assert b.pair.state.commit_lsn == 3


def test_the_grants_of_a_standby_that_was_never_told_of_its_eviction_run_out_before_an_override_lets_it_serve() -> None:
    b = bench(B, SYNC, records=entries(3))
    b.now = b.ties.replied = START + 50
    b.on(MapRecord(OVERRIDDEN))
    b.wake(b.now + TIMERS.lease_s)
    assert b.pair.state.role is Role.PROMOTED
    b.wake(START + 50 + TIMERS.lease_s * 1.02)
    assert b.pair.admits


@pytest.mark.parametrize("heard", ["map", "peer"])
def test_the_primary_that_was_overridden_stops_at_once_and_follows_without_its_suffix(heard: str) -> None:
    held = entries(5)
    b = serving(SOLO, held)
    if heard == "map":
        b.on(MapRecord(OVERRIDDEN))
    else:
        b.hear(B, Invite(SHARD, Generation(2, 6, 0), OVERRIDDEN, 1))
    assert (b.pair.admits, b.pair.answers, b.pair.state.fence) == (False, False, Fence(2, 6))
    b.hear(B, Invite(SHARD, Generation(2, 6, 0), OVERRIDDEN, 2))
    hello = b.sent(Hello)[-1]
    assert isinstance(hello, Hello)
    assert hello.tip.lsn == 5
    b.hear(B, Welcome(SHARD, Generation(2, 6, 0), OVERRIDDEN, hello.number, tip_of(held[2]), False))
    assert [a for a in b.done if isinstance(a, Truncate)] == [Truncate(tip_of(held[2]), 2, 1, lossy=True)]
    assert b.pair.state.role is Role.LEARNER


def test_a_copy_whose_snapshot_holds_what_an_override_gave_up_begins_anew() -> None:
    held = entries(6)
    b = bench(A, OVERRIDDEN, records=held[4:], floor=tip_of(held[3]), gen=Generation(2, 6, 0))
    b.hear(B, Invite(SHARD, Generation(2, 6, 0), OVERRIDDEN, 1))
    hello = b.sent(Hello)[-1]
    assert isinstance(hello, Hello)
    b.hear(B, Welcome(SHARD, Generation(2, 6, 0), OVERRIDDEN, hello.number, tip_of(held[1]), False))
    assert [a for a in b.done if isinstance(a, Truncate)] == [Truncate(EMPTY, 2, 1, lossy=True)]
    again = b.sent(Hello)[-1]
    assert isinstance(again, Hello)
    assert (again.tip, again.floor, again.spans) == (EMPTY, EMPTY, ())
    assert b.sent(Ack) == []


def test_what_was_quarantined_is_in_the_report_and_in_the_log() -> None:
    b = bench(A, OVERRIDDEN, gen=Generation(2, 6, 0))
    assert b.pair.view(serving=False, writes_per_s=0).quarantined == NOTHING_QUARANTINED
    kept = Quarantined((("tenants/eu/bolt", 4), ("tenants/eu/acme", 3)), snapshot_lsn=7)
    b.on(Cut(9, kept))
    b.on(Cut(9, kept))
    assert b.pair.view(serving=False, writes_per_s=0).quarantined == kept
    (told,) = [dict(a.facts) for a in b.done if isinstance(a, Note) and a.event == "copy.quarantined"]
    assert (told["tenants"], told["snapshot_lsn"]) == (dict(kept.tenants), 7)


def test_a_journal_as_long_as_a_snapshot_that_comes_is_not_taken_for_damaged() -> None:
    """Of two journals without a common entry one may end where the other's snapshot does."""
    b = bench(C, SYNC, records=entries(3, Generation(1, 2, 0)))
    b.hear(A, Invite(SHARD, GEN, SYNC, 1))
    hello = b.sent(Hello)[-1]
    assert isinstance(hello, Hello)
    b.hear(A, Welcome(SHARD, GEN, SYNC, hello.number, Tip(3, Generation(1, 4, 0), bytes(16)), True))
    assert not b.pair.state.complaint
    assert b.pair.state.role is Role.LEARNER


def test_a_damaged_primary_tells_nobody_what_to_drop() -> None:
    held = entries(9)
    b = bench(A, SYNC, records=held[:3])
    invite = b.sent(Invite)[-1]
    assert isinstance(invite, Invite)
    hello = Hello(SHARD, GEN, B.copy_id, tip_of(held[-1]), EMPTY, (Span(GEN, 1),), 9, invite.ask)
    b.pair.state.complaint = "damaged at lsn 4"
    b.hear(B, hello)
    assert b.sent(Welcome) == []
    b.pair.state.complaint = ""
    b.hear(B, hello)
    assert [welcome.common.lsn for welcome in b.sent(Welcome) if isinstance(welcome, Welcome)] == [3]


@pytest.mark.parametrize("seen", [Generation(1, 6, 0), Generation(2, 3, 0)], ids=["epoch", "incarnation"])
def test_a_higher_fence_stops_a_primary_until_the_record_is_read(seen: Generation) -> None:
    b = serving()
    b.hear(B, Stale(SHARD, seen, None))
    assert not b.pair.admits
    assert any(isinstance(a, ReadRecord) for a in b.done)


def test_after_a_jump_above_a_lease_nothing_is_answered_before_a_fresh_word_of_the_standby() -> None:
    b = serving()
    b.now += 10
    assert b.pair.thaw()
    b.on(Jumped(10.0))
    b.hear(B, Ack(SHARD, b.pair.state.gen, 0))
    assert not b.pair.answers
    follow(b, B)
    assert b.pair.answers


def test_a_step_of_the_clock_restarts_the_time_that_a_standby_has_for_its_next_acknowledgement() -> None:
    b = serving(SYNC)
    b.ties.heard = float("inf")
    b.write()
    woken_at = b.now + 5 * TIMERS.standby_silence_s
    b.pair.stepped(woken_at)
    b.wake(woken_at)
    assert b.proposed() == []
    b.wake(woken_at + 5 * TIMERS.standby_silence_s)
    assert [p.change for p in b.proposed()] == [Evict()]


def test_after_a_jump_a_solo_primary_waits_for_the_store() -> None:
    b = serving(SOLO)
    assert b.pair.thaw()
    b.on(Jumped(10.0))
    assert not b.pair.answers
    b.on(RecordRead(b.read_number(), SOLO))
    assert b.pair.answers


def test_what_was_read_before_a_jump_does_not_confirm_a_solo_primary() -> None:
    b = serving(SOLO)
    assert b.pair.thaw()
    b.on(Jumped(10.0))
    before = b.read_number()
    assert b.pair.thaw()
    b.on(RecordRead(before, SOLO))
    assert not b.pair.answers
    b.on(Jumped(10.0))
    b.on(RecordRead(before, SOLO))
    assert not b.pair.answers


@pytest.mark.parametrize(
    ("peer", "fence", "granted"),
    [
        pytest.param(A, Fence(1, 4), True, id="its primary, in its epoch"),
        pytest.param(A, Fence(1, 3), False, id="older epoch"),
        pytest.param(A, Fence(1, 5), False, id="an epoch that it has not seen"),
        pytest.param(C, Fence(1, 4), False, id="somebody else"),
    ],
)
def test_a_standby_grants_its_primary_only_and_in_its_epoch_only(peer: Copy, fence: Fence, granted: bool) -> None:
    assert bench(B, SYNC).pair.grants(peer.node, fence) is granted


def test_a_drained_primary_gives_its_lease_up() -> None:
    b = serving()
    assert b.pair.readable(b.now)
    b.order(Order.SWITCHOVER)
    assert not b.pair.readable(b.now)
    assert b.pair.state.grantors() == ()
