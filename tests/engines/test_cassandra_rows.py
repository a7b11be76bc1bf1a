"""Nothing is written to the store's records in Cassandra but on a condition, and nothing there ever runs out."""

import pytest

from control_plane.cassandra_plan import FleetState, Held
from control_plane.cassandra_schema import FLEET_COLUMNS, NO_SHARD, RECORD_COLUMNS
from control_plane.io.cassandra_rows import DOC, RECORD, SERIAL_READS, conditional, held, statements
from control_plane.io.store_rows import doc_values, values
from control_plane.ports import Doc
from core.errors import UnavailableError
from tests.contracts.store_calls import EU, born, evicted

pytestmark = pytest.mark.engines
FIRST = born(1).new
CORDON = Doc("cordons/fra1", 1, b"x")
BESIDE = (7, "small", 1, 1, "fra1-cp/1", "", None)
NO_ROW = (None,) * len(RECORD_COLUMNS.split(","))
RECORD_ROW = (FIRST.shard, "", *values(FIRST)[1:-1], None, None, values(FIRST)[-1])
DOC_ROW = (NO_SHARD, CORDON.key, *(None,) * 8, *doc_values(CORDON)[1:])


def test_every_statement_reads_or_has_a_condition_and_none_has_a_life_or_a_time_of_its_own() -> None:
    for name, text in statements("k").items():
        assert text.startswith("SELECT") if name in SERIAL_READS else " IF " in text
        assert "TTL" not in text
        assert "TIMESTAMP" not in text


def test_a_partition_is_read_with_what_stands_beside_its_rows() -> None:
    assert len(BESIDE) == 1 + len(FLEET_COLUMNS.split(","))
    found = held([(*BESIDE, *DOC_ROW), (*BESIDE, *RECORD_ROW)])
    assert found == Held(7, {FIRST.shard: FIRST}, {CORDON.key: CORDON}, FleetState("small", 1, 1, "fra1-cp/1", "", 0))
    assert held([(*BESIDE, *NO_ROW)]).state().term == 7, "a partition without rows"
    assert held([]) == Held()


def test_a_record_that_is_not_what_was_written_is_never_served() -> None:
    harmed = (*RECORD_ROW[:4], 9, *RECORD_ROW[5:])
    with pytest.raises(UnavailableError, match="damaged"):
        held([(*BESIDE, *harmed)])


def test_a_write_repeats_the_base_that_it_was_judged_by_digest_included() -> None:
    base = Held(7, {FIRST.shard: FIRST}, {CORDON.key: CORDON})
    name, told = conditional(EU, evicted(FIRST), base)
    assert (name, told[-3:]) == (RECORD, (1, 1, values(FIRST)[-1]))
    name, told = conditional(EU, Doc(CORDON.key, 2, b""), base)
    assert (name, told[-2:]) == (DOC, (1, doc_values(CORDON)[-1]))
    assert conditional(EU, born(2), base)[1][-3:] == (None, None, None)
