"""What the store's client writes is what the store reads."""

from dataclasses import replace

import pytest

from control_plane.io.store_wire import (
    adoption_from_pb,
    adoption_to_pb,
    row_from_pb,
    row_to_pb,
    write_answer_from_pb,
    write_answer_to_pb,
)
from control_plane.ports import Adoption, Applied, Doc, Refused, Row, StaleTerm
from core.assignments import (
    Add,
    Assignment,
    Cancel,
    Change,
    Copy,
    Evict,
    Fence,
    Leader,
    Operator,
    Override,
    Promote,
    Proposer,
    Swap,
    Switchover,
)
from core.errors import MalformedError
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind
from twinhold.v1 import store_service_pb2 as pb

A, B, C = (Copy(NodeId(f"{dc}-c1"), CopyId(f"{dc}.1")) for dc in ("fra1", "ams1", "waw1"))
SYNC = Assignment(ShardId(7), Kind.COLLAB, 2, 5, A, B, "placed")


@pytest.mark.parametrize(
    ("change", "proposer"),
    [
        (None, Leader()),
        (Evict(), A),
        (Add(C), A),
        (Swap(B, C), A),
        (Promote(), Leader()),
        (Switchover(), A),
        (Cancel(), A),
        (Override(C, "ada"), Operator("ada")),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("base", [None, Fence(2, 4)], ids=["created", "changed"])
def test_a_row_survives_the_trip(change: Change | None, proposer: Proposer, base: Fence | None) -> None:
    row = Row(base, SYNC, change, proposer)
    assert row_from_pb(pb.StoreRow.FromString(row_to_pb(row).SerializeToString())) == row


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((), id="nothing"),
        pytest.param((Applied(), Refused(None), Refused(SYNC), Refused(Doc("a/b", 3, b"x"))), id="one of each"),
        pytest.param(StaleTerm(9), id="stale term"),
    ],
)
def test_an_answer_survives_the_trip(answer: tuple[Applied | Refused, ...] | StaleTerm) -> None:
    assert write_answer_from_pb(write_answer_to_pb(answer)) == answer


def test_a_row_without_a_proposer_is_malformed() -> None:
    with pytest.raises(MalformedError, match="proposer"):
        row_from_pb(pb.StoreRow(new=row_to_pb(Row(None, SYNC, None, Leader())).new))


def test_an_adoption_survives_the_trip() -> None:
    adoption = Adoption(3, 5, (SYNC, replace(SYNC, shard=ShardId(8), standby=None)), (Doc("a/b", 3, b"x"),))
    assert adoption_from_pb(pb.AdoptRequest.FromString(adoption_to_pb(adoption).SerializeToString())) == adoption
