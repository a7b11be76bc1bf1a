"""A subscription is a cursor on the journal: committed entries of one tenant, and never a silent gap."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.errors import NotOwnerError
from nodes.records import EMPTY, Generation, Record, following, tip_of
from nodes.subscription import Subscription
from nodes.views import CaughtUpStep, EndedStep, EntryStep, GapStep


@dataclass
class Book:
    """Entries whose body is their tenant's name."""

    commit_lsn: int
    floor_lsn: int = 0
    records: list[Record] = field(default_factory=list)

    def entries(self, *, after_lsn: int, limit_bytes: int) -> Sequence[Record]:
        return [record for record in self.records if record.lsn > max(after_lsn, self.floor_lsn)]

    def tenant_of(self, record: Record) -> str:
        return record.body.decode()


def book(*tenants: str, commit: int, floor: int = 0) -> Book:
    made, tip = Book(commit, floor), EMPTY
    for tenant in tenants:
        made.records.append(following(tip, Generation(1, 1, 0), tenant.encode()))
        tip = tip_of(made.records[-1])
    return made


def follow(source: Book, *, after: int, woken: list[int] | None = None) -> Subscription:
    calls = [] if woken is None else woken
    return Subscription(source, tenant="a", after_lsn=after, wake=lambda: calls.append(1), closed=lambda _: None)


def test_only_committed_entries_of_the_tenant_are_given() -> None:
    subscription = follow(book("a", "b", "a", "a", commit=3), after=0)
    assert subscription.take() == [EntryStep(1, b"a"), EntryStep(3, b"a"), CaughtUpStep(3)]
    assert subscription.take() == []


def test_what_is_no_longer_kept_is_said() -> None:
    subscription = follow(book("a", "a", "a", commit=3, floor=2), after=0)
    assert subscription.take() == [GapStep(1, 2), EntryStep(3, b"a"), CaughtUpStep(3)]


def test_a_reader_is_woken_once_when_there_is_more() -> None:
    woken: list[int] = []
    source = book("a", "a", commit=1)
    subscription = follow(source, after=0, woken=woken)
    assert len(subscription.take()) == 2
    assert subscription.take() == []
    source.commit_lsn = 2
    subscription.moved()
    subscription.moved()
    assert woken == [1]
    assert subscription.take() == [EntryStep(2, b"a"), CaughtUpStep(2)]


def test_a_subscription_that_ended_says_where_to_go() -> None:
    woken: list[int] = []
    subscription = follow(book(commit=0), after=0, woken=woken)
    subscription.take()
    error = NotOwnerError("elsewhere", owner="ams1-c1")
    subscription.end(error)
    assert woken == [1]
    assert subscription.take() == [EndedStep(error)]
