"""How each rule of a pair is broken: in most cases one method of ``Rules``, else one function of the machine."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from core.assignments import Add, Assignment, Change, Copy, Evict, Fence, Promote, Swap, Switchover, successor
from core.copies import Role
from core.names import CopyId, NodeId, ShardId
from core.orders import Order
from core.proposals import ProposalUnknown
from nodes import pair, pair_change, pair_follow, pair_join
from nodes.deeds import Deeds
from nodes.desk import Desk
from nodes.frames import Append, Welcome
from nodes.link import NEVER_HEARD, LinkTable
from nodes.memory_journal import MemoryJournal
from nodes.pair import Pair
from nodes.pair_events import MetaSaved, Ordered, ProposalAnswered, SaveMeta
from nodes.pair_rules import Rules
from nodes.pair_state import CopyState, Peer
from nodes.ports import Intent
from nodes.records import Generation, Record, Tip
from nodes.views import Answered
from nodes.waiting import Answer

# Commits.


def others_without_whom_it_evicts(p: CopyState) -> tuple[Copy, ...]:
    evicts = any(isinstance(attempt.change, Evict) for attempt in p.attempts.values())
    return tuple(copy for copy in _others(p) if not (evicts and copy == p.assignment.standby))


_others = CopyState.others


class NoLearners(Rules):
    """Forgets learners while it is alone."""

    def acknowledgers(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        return super().acknowledgers(assignment, () if assignment.solo else intents)


class NewStandbyOnly(Rules):
    """Thinks that a swap is decided already."""

    def acknowledgers(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        swapping = [i.learner for i in intents if i.kind == "swap" and i.learner is not None]
        return tuple(swapping) or super().acknowledgers(assignment, intents)


class AfterBoot(Rules):
    """Forgets what it had asked for before it restarted: for commits, or for leases."""

    def __init__(self, old: tuple[Intent, ...], *, commits: bool) -> None:
        self._old, self._commits = old, commits

    def acknowledgers(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        return super().acknowledgers(assignment, self._fresh(intents) if self._commits else intents)

    def grantors(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        return Rules().grantors(assignment, intents if self._commits else self._fresh(intents))

    def _fresh(self, intents: Iterable[Intent]) -> list[Intent]:
        return [intent for intent in intents if intent not in self._old]


_made = Pair.__init__


def forgetting_intents(*, commits: bool) -> Callable[..., None]:
    def made(self: Pair, recovered: object, **of: object) -> None:
        _made(self, recovered, **of)  # type: ignore[arg-type]  # passed on as it came
        self.state.rules = AfterBoot(self.state.meta.intents, commits=commits)

    return made


def persist_and_believe(p: CopyState, records: tuple[Record, ...], *, quiet: bool) -> None:
    _persist(p, records, quiet=quiet)
    p.durable_lsn = p.tip.lsn


_persist = CopyState.persist


def no_means_no(p: CopyState, event: object, now: float) -> None:
    assert isinstance(event, ProposalAnswered), "an answer to a proposal"
    joins = isinstance(event.proposal.change, Add | Swap)
    if joins and isinstance(event.answer, ProposalUnknown) and event.proposal.base == p.fence and p.meta.intents:
        p.save_intents()
    EVENTS[ProposalAnswered](p, event, now)


EVENTS = dict(pair._EVENTS)
MESSAGES = dict(pair._MESSAGES)


class AcksOfAnyBoot(Rules):
    """Counts what was acknowledged before a restart."""

    def counts(self, gen: Generation, own: Generation) -> bool:
        return gen[:2] == own[:2]


class AcksOfAnyEpoch(Rules):
    """Counts what was acknowledged in an earlier epoch."""

    def counts(self, gen: Generation, own: Generation) -> bool:
        return gen.incarnation == own.incarnation


class NoTruncation(Rules):
    """Keeps a suffix at first contact that its primary lacks."""

    def kept(self, own: Tip, common: Tip) -> Tip:
        return own


class JoinsEarly(Rules):
    """Lets a learner join before it holds what it must."""

    def join_ready(self, acked_lsn: int, intent: Intent) -> bool:
        return True


def any_append(p: CopyState, peer: NodeId, m: Append, now: float) -> bool:
    return p.rules.outdated(m.gen, p.gen) or _brought_to(p, peer, m, now)


_brought_to = pair_follow._brought_to


def any_welcome(p: CopyState, peer: NodeId, message: object, now: float) -> None:
    assert isinstance(message, Welcome), "a welcome"
    p.hello = message.number
    MESSAGES[Welcome](p, peer, message, now)


def forget_but_contact(p: CopyState) -> None:
    contact = p.contact
    _forget(p)
    p.contact = contact


def adopt_boot_in_contact(p: CopyState, boot: int) -> None:
    contact = p.contact
    _adopt_boot(p, boot)
    p.contact = contact


_forget = pair_change._forget_what_was_under_way
_adopt_boot = pair_change.adopt_boot

# Leases.


class NoLeaseWait(Rules):
    """Serves at once after a promotion."""

    def serves_from(self, *, granted_until: float, now: float) -> bool:
        return True


class NoLeaseOfLearners(Rules):
    """Reads alone while a learner may have joined."""

    def grantors(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        return super().grantors(assignment, () if assignment.solo else intents)


class OldLeaseOnly(Rules):
    """Reads by the lease of the standby that may have left."""

    def grantors(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        return super().grantors(assignment, intents if assignment.solo else ())


class NoLeases(Rules):
    """Reads without anybody's lease."""

    def grantors(self, assignment: Assignment, intents: Iterable[Intent]) -> tuple[Copy, ...]:
        return ()


def no_wait_after_boot(self: Pair, recovered: object, **of: object) -> None:
    _made(self, recovered, **of)  # type: ignore[arg-type]  # passed on as it came
    self.state.granted_until = NEVER_HEARD


def any_lease(self: LinkTable, shard: ShardId, peer: NodeId, fence: Fence) -> float:
    return max((link.held[shard][1] for link in self.all() if shard in link.held), default=NEVER_HEARD)


def binds_before_it_serves(p: CopyState) -> None:
    if p.role is not Role.PROMOTED:
        _bind(p)
        return
    p.role = Role.PRIMARY
    _bind(p)
    p.role = Role.PROMOTED


def takes_orders_before_it_serves(p: CopyState, event: Ordered) -> str:
    return "" if p.role is Role.PROMOTED and event.order is Order.ADD else _order_refusal(p, event)


_bind, _order_refusal = pair_change._bind, pair_change._order_refusal

# Changes of the record.


def keeps_both(old: Assignment, change: Change, *, reason: str) -> Assignment:
    new = successor(old, change, reason=reason)
    return replace(new, standby=old.primary) if isinstance(change, Promote) else new


class DrainsHalf(Rules):
    """Changes roles before the standby has everything."""

    def drained(self, tip_lsn: int, durable_lsn: int, acked_lsn: int) -> bool:
        return True


def ready_without_drain(p: CopyState, intent: Intent) -> Change | None:
    return Switchover() if intent.kind == "drain" and p.assignment.standby is not None else _ready(p, intent)


_ready = pair_change._ready


def goes_on_when_late(p: CopyState, now: float) -> None:
    if p.role is Role.DRAINED and now >= p.drain_from + pair_change.DRAIN_MAX_S:
        p.role = Role.PRIMARY
        p.save_intents()
    _withdraw(p, now)


_withdraw = pair_change._withdraw

# Disks.


def same_copy_id(self: MemoryJournal, shard: ShardId) -> CopyId:
    return CopyId(re.sub(r"d\d+$", "", self.disk_id) + ".1")


def save_all_but_the_fence(self: Deeds, a: SaveMeta) -> None:
    held = self._world.journal.recover_one(self._state.shard)
    if held is None or held.meta.assignment is None or held.meta.seen >= a.meta.seen:
        _save_meta(self, a)
    else:
        self._host.feed(MetaSaved(a.version))


_save_meta = Deeds._save_meta


def welcome_in_spite_of_damage(p: CopyState, peer: Peer, common: Tip | None, now: float) -> None:
    complaint, p.complaint = p.complaint, ""
    _welcome(p, peer, common, now)
    p.complaint = complaint


_welcome = pair_join._welcome

# What is shown.


class AnswersTooEarly(Rules):
    """Answers after a restart before the journal's tail is acked."""

    def tail_safe(self, tip_lsn: int, committed_lsn: int) -> bool:
        return True


def replayed_at_once(self: Desk, answer: Answered, done: Answer) -> None:
    done(answer)


def read_at_once(self: Desk, reader: object) -> None:
    reader.lsn = 0  # type: ignore[attr-defined]  # a reader of either kind
    _read(self, reader)  # type: ignore[arg-type]


_read = Desk._read
