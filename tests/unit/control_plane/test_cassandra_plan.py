"""What a conditional write to Cassandra holds, and what becomes of one that was not answered."""

from dataclasses import replace

import pytest

from control_plane.cassandra_plan import Held, Item, Plan, planned
from control_plane.ports import Applied, Doc, Partition, Refused, Row
from control_plane.store_rules import StoreRules
from core.assignments import Add, Assignment, Copy, Evict, Leader, Promote, successor
from core.names import CopyId, NodeId, ShardId, geography_id
from core.topology import Kind
from tests.fleets import small_fleet

RULES = StoreRules(small_fleet(144))
EU = Partition(geography_id("eu"), 0)
FRA, AMS = Copy(NodeId("fra1-c1"), CopyId("a.1")), Copy(NodeId("ams1-c1"), CopyId("b.1"))
FIRST = Assignment(ShardId(1), Kind.COLLAB, 1, 1, FRA, AMS, "placed")
SOLO = successor(FIRST, Evict(), reason="silence")
PROMOTED = successor(FIRST, Promote(), reason="lost")
BIRTH = Row(None, FIRST, None, Leader())
EVICTION = Row(FIRST.fence, SOLO, Evict(), FRA)
PROMOTION = Row(FIRST.fence, PROMOTED, Promote(), Leader())
CORDON = Doc("cordons/fra1", 1, b"x")


def holding(*records: Assignment, docs: tuple[Doc, ...] = (), term: int = 1) -> Held:
    return Held(term, {record.shard: record for record in records}, {doc.key: doc for doc in docs})


def plan(*items: Item, held: Held, sent: tuple[int, ...] = ()) -> Plan:
    return planned(RULES, EU, dict(enumerate(items)), held, sent)


def test_what_may_follow_its_base_goes_in_one_batch() -> None:
    other = Row(None, replace(FIRST, shard=ShardId(2)), None, Leader())
    assert plan(EVICTION, other, CORDON, held=holding(FIRST)) == Plan({0: EVICTION, 1: other, 2: CORDON}, {}, {}, ())


@pytest.mark.parametrize(
    ("item", "held", "current"),
    [
        pytest.param(BIRTH, holding(FIRST), FIRST, id="a shard that is there"),
        pytest.param(EVICTION, holding(), None, id="a shard that is not there"),
        pytest.param(EVICTION, holding(PROMOTED), PROMOTED, id="a row that moved on"),
        pytest.param(Row(FIRST.fence, SOLO, Evict(), Leader()), holding(FIRST), FIRST, id="a step that is not legal"),
        pytest.param(Doc("cordons/fra1", 3, b"z"), holding(docs=(CORDON,)), CORDON, id="a version skipped"),
    ],
)
def test_what_may_not_is_refused_with_what_is_held(item: Item, held: Held, current: Assignment | Doc | None) -> None:
    assert plan(item, held=held) == Plan({}, {0: Refused(current)}, {}, ())


def test_of_two_changes_of_a_row_the_second_is_judged_after_the_first() -> None:
    back = Row(SOLO.fence, successor(SOLO, Add(AMS), reason=""), Add(AMS), FRA)
    first = plan(EVICTION, back, held=holding(FIRST))
    assert first == Plan({0: EVICTION}, {}, {1: back}, ())
    held = holding(FIRST).after(1, first.batch.values())
    assert planned(RULES, EU, first.later, held, ()) == Plan({1: back}, {}, {}, ())


def test_a_refused_one_does_not_keep_the_next_of_its_row_waiting() -> None:
    assert plan(BIRTH, EVICTION, held=holding(FIRST)) == Plan({1: EVICTION}, {0: Refused(FIRST)}, {}, ())


@pytest.mark.parametrize(
    ("item", "held", "expected"),
    [
        pytest.param(EVICTION, holding(FIRST), Plan({0: EVICTION}, {}, {}, ()), id="the base stands: again"),
        pytest.param(EVICTION, holding(SOLO), Plan({}, {0: Applied()}, {}, ()), id="it is there: done"),
        pytest.param(
            EVICTION, holding(PROMOTED), Plan({}, {0: Refused(PROMOTED)}, {}, ()), id="another has its epoch: never"
        ),
        pytest.param(
            EVICTION, holding(successor(SOLO, Add(AMS), reason="")), Plan({}, {}, {}, (0,)), id="overtaken: not known"
        ),
        pytest.param(CORDON, holding(), Plan({0: CORDON}, {}, {}, ()), id="a doc whose base stands: again"),
        pytest.param(CORDON, holding(docs=(CORDON,)), Plan({}, {0: Applied()}, {}, ()), id="a doc that is there: done"),
        pytest.param(
            CORDON,
            holding(docs=(Doc("cordons/fra1", 2, b""),)),
            Plan({}, {}, {}, (0,)),
            id="a doc overtaken: not known",
        ),
    ],
)
def test_what_was_sent_without_an_answer_is_found_out_row_by_row(item: Item, held: Held, expected: Plan) -> None:
    assert plan(item, held=held, sent=(0,)) == expected


def test_what_was_written_without_being_sent_by_us_is_refused_with_itself() -> None:
    assert plan(EVICTION, held=holding(SOLO)) == Plan({}, {0: Refused(SOLO)}, {}, ())


def test_after_a_write_its_rows_its_docs_and_its_term_are_known() -> None:
    assert holding(FIRST).after(7, [PROMOTION, CORDON]) == holding(PROMOTED, docs=(CORDON,), term=7)
