"""Decides what one conditional write to a partition may hold, and what became of one that was not answered.

A row is judged by what is known of the store, which may be old; the condition of the write then repeats the base, its
digest included, so that what is written follows what was judged, or nothing is. A refusal counts only when it was made
from what was read for it.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from control_plane.ports import Applied, Doc, Partition, PartitionState, Refused, Row
from control_plane.store_rules import StoreRules, judged_doc
from core.assignments import Assignment
from core.names import ShardId

Item: TypeAlias = Row | Doc


@dataclass(frozen=True, slots=True)
class FleetState:
    """What the fleet's own partition holds besides: none of it elsewhere."""

    fleet: str = ""
    incarnation: int = 0
    schema_version: int = 0
    raised_by: str = ""
    """Who raised the term, and in which call."""
    adopting: str = ""
    """The adoption that has been begun and is not done; empty: none."""
    adopting_parts: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of a partition."""

    term: int = 0
    records: Mapping[ShardId, Assignment] = field(default_factory=dict)
    docs: Mapping[str, Doc] = field(default_factory=dict)
    own: FleetState = FleetState()

    def state(self) -> PartitionState:
        """Show it as the port does."""
        records = sorted(self.records.values(), key=lambda record: record.shard)
        return PartitionState(self.term, (*records,), tuple(sorted(self.docs.values(), key=lambda doc: doc.key)))

    def after(self, term: int, batch: Iterable[Item]) -> "Held":
        """Say what is known once a write has been applied."""
        records, docs = dict(self.records), dict(self.docs)
        for item in batch:
            if isinstance(item, Doc):
                docs[item.key] = item
            else:
                records[item.new.shard] = item.new
        return replace(self, term=term, records=records, docs=docs)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write now, by the places of the items in what was asked."""

    batch: Mapping[int, Item]
    """At most one item of each row; they go in one conditional write."""
    answers: Mapping[int, Applied | Refused]
    """What is not written now: refused, or there already by a write that was not answered."""
    later: Mapping[int, Item]
    """Of a row that is in the batch already: judged after it."""
    overtaken: tuple[int, ...]
    """Sent before, without an answer; the row has moved beyond: whether by way of this is not known."""


def planned(
    rules: StoreRules, partition: Partition, items: Mapping[int, Item], held: Held, sent: Container[int]
) -> Plan:
    """Judge what has no answer yet.

    What was sent and not answered is sent again only while its base stands: should the first one be applied after all,
    the conditions of the other fail, and what is there is what was wanted.

    Args:
        rules: of every adapter.
        partition: in which all of it lies.
        items: by place.
        held: what is known of the partition.
        sent: places of items that were sent, and may have been written.
    """
    batch: dict[int, Item] = {}
    answers: dict[int, Applied | Refused] = {}
    later: dict[int, Item] = {}
    overtaken: list[int] = []
    taken: set[ShardId | str] = set()
    for place, item in items.items():
        if _key(item) in taken:
            later[place] = item
            continue
        judged = _judged(rules, partition, item, held)
        if isinstance(judged, Applied):
            batch[place] = item
            taken.add(_key(item))
        elif place in sent and _is_there(item, judged):
            answers[place] = Applied()
        elif place in sent and _is_beyond(item, judged):
            overtaken.append(place)
        else:
            answers[place] = judged
    return Plan(batch, answers, later, tuple(overtaken))


def _judged(rules: StoreRules, partition: Partition, item: Item, held: Held) -> Applied | Refused:
    if isinstance(item, Doc):
        return judged_doc(item, held.docs.get(item.key))
    return rules.row(partition, item, held.records.get(item.new.shard))


def _key(item: Item) -> ShardId | str:
    return item.key if isinstance(item, Doc) else item.new.shard


def _is_there(item: Item, judged: Refused) -> bool:
    return judged.current == (item if isinstance(item, Doc) else item.new)


def _is_beyond(item: Item, judged: Refused) -> bool:
    match judged.current, item:
        case Doc() as kept, Doc():
            return kept.version > item.version
        case Assignment() as record, Row():
            return record.fence > item.new.fence
        case _:
            return False
