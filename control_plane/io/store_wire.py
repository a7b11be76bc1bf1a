"""Between the store port's values and the messages of StoreService."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from control_plane.ports import Adoption, Applied, Doc, Partition, PartitionState, Refused, Row, StaleTerm, WriteAnswer
from core.assignments import (
    Add,
    Assignment,
    Cancel,
    Change,
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
from core.names import geography_id
from core.wire import assignment_from_pb, assignment_to_pb, copy_from_pb, copy_to_pb
from twinhold.v1 import node_service_pb2 as node_pb
from twinhold.v1 import store_service_pb2 as pb


def partition_to_pb(partition: Partition) -> pb.Partition:
    """Write a partition."""
    return pb.Partition(geography=partition.geography or "", segment=partition.segment)


def partition_from_pb(message: pb.Partition) -> Partition:
    """Read a partition; raises MalformedError."""
    return Partition(geography_id(message.geography) if message.geography else None, message.segment)


def doc_to_pb(doc: Doc) -> pb.StoreDoc:
    """Write a doc."""
    return pb.StoreDoc(key=doc.key, version=doc.version, body=doc.body)


def doc_from_pb(message: pb.StoreDoc) -> Doc:
    """Read a doc."""
    return Doc(message.key, message.version, message.body)


def row_to_pb(row: Row) -> pb.StoreRow:
    """Write a row."""
    message = pb.StoreRow(new=assignment_to_pb(row.new))
    if row.base is not None:
        message.base.incarnation, message.base.epoch = row.base.incarnation, row.base.epoch
    if row.change is not None:
        _set_change(message, row.change)
    _set_proposer(message, row.proposer)
    return message


def row_from_pb(message: pb.StoreRow) -> Row:
    """Read a row; raises MalformedError."""
    base = Fence(message.base.incarnation, message.base.epoch) if message.HasField("base") else None
    return Row(base, assignment_from_pb(message.new), _change(message), _proposer(message))


def write_answer_to_pb(answer: tuple[Applied | Refused, ...] | StaleTerm) -> pb.WriteResponse:
    """Write what became of a write."""
    if isinstance(answer, StaleTerm):
        return pb.WriteResponse(stale_term=answer.term)
    return pb.WriteResponse(results=[_result(one) for one in answer])


def write_answer_from_pb(message: pb.WriteResponse) -> WriteAnswer:
    """Read what became of a write."""
    if message.stale_term:
        return StaleTerm(message.stale_term)
    return tuple(Applied() if one.applied else Refused(_current(one)) for one in message.results)


def contents_to_pb(contents: Mapping[Partition, PartitionState]) -> pb.ReadResponse:
    """Write what the store holds."""
    return pb.ReadResponse(
        partitions=[
            pb.PartitionContents(
                partition=partition_to_pb(partition),
                term=state.term,
                assignments=[assignment_to_pb(assignment) for assignment in state.assignments],
                docs=[doc_to_pb(doc) for doc in state.docs],
            )
            for partition, state in contents.items()
        ]
    )


def contents_from_pb(message: pb.ReadResponse) -> Mapping[Partition, PartitionState]:
    """Read what the store holds; raises MalformedError."""
    return {
        partition_from_pb(one.partition): PartitionState(
            one.term,
            tuple(assignment_from_pb(assignment) for assignment in one.assignments),
            tuple(doc_from_pb(doc) for doc in one.docs),
        )
        for one in message.partitions
    }


def adoption_to_pb(adoption: Adoption) -> pb.AdoptRequest:
    """Write what takes the place of a restored store's records; without caller and term."""
    return pb.AdoptRequest(
        incarnation=adoption.incarnation,
        next_incarnation=adoption.next_incarnation,
        assignments=[assignment_to_pb(one) for one in adoption.assignments],
        docs=[doc_to_pb(doc) for doc in adoption.docs],
    )


def adoption_from_pb(message: pb.AdoptRequest) -> Adoption:
    """Read what takes the place of a restored store's records; raises MalformedError."""
    return Adoption(
        message.incarnation,
        message.next_incarnation,
        tuple(assignment_from_pb(one) for one in message.assignments),
        tuple(doc_from_pb(doc) for doc in message.docs),
    )


def rows_from_pb(messages: Sequence[pb.StoreRow]) -> list[Row]:
    """Read rows; raises MalformedError."""
    return [row_from_pb(message) for message in messages]


def _result(one: Applied | Refused) -> pb.StoreResult:
    if isinstance(one, Applied):
        return pb.StoreResult(applied=True)
    match one.current:
        case None:
            return pb.StoreResult()
        case Doc():
            return pb.StoreResult(doc=doc_to_pb(one.current))
        case assignment:
            return pb.StoreResult(assignment=assignment_to_pb(assignment))


def _current(one: pb.StoreResult) -> Assignment | Doc | None:
    if one.HasField("assignment"):
        return assignment_from_pb(one.assignment)
    return doc_from_pb(one.doc) if one.HasField("doc") else None


def _set_change(message: pb.StoreRow, change: Change) -> None:
    match change:
        case Evict():
            message.evict.SetInParent()
        case Add(learner):
            message.add.learner.CopyFrom(copy_to_pb(learner))
        case Swap(old, new):
            message.swap.CopyFrom(node_pb.Swap(old=copy_to_pb(old), new=copy_to_pb(new)))
        case Promote():
            message.promote.SetInParent()
        case Switchover():
            message.switchover.SetInParent()
        case Cancel():
            message.cancel.SetInParent()
        case Override(stale, token):
            message.override.CopyFrom(pb.Override(stale=copy_to_pb(stale), token=token))
        case _:
            assert_never(change)


def _change(message: pb.StoreRow) -> Change | None:
    match message.WhichOneof("change"):
        case None:
            return None
        case "evict":
            return Evict()
        case "add":
            return Add(copy_from_pb(message.add.learner))
        case "swap":
            return Swap(copy_from_pb(message.swap.old), copy_from_pb(message.swap.new))
        case "promote":
            return Promote()
        case "switchover":
            return Switchover()
        case "cancel":
            return Cancel()
        case "override":
            return Override(copy_from_pb(message.override.stale), message.override.token)
        case other:
            raise MalformedError("change", other, expected="one that this store knows")


def _set_proposer(message: pb.StoreRow, proposer: Proposer) -> None:
    match proposer:
        case Leader():
            message.leader.SetInParent()
        case Operator(token):
            message.operator.token = token
        case copy:
            message.copy.CopyFrom(copy_to_pb(copy))


def _proposer(message: pb.StoreRow) -> Proposer:
    match message.WhichOneof("proposer"):
        case "leader":
            return Leader()
        case "operator":
            return Operator(message.operator.token)
        case "copy":
            return copy_from_pb(message.copy)
        case _:
            raise MalformedError("row", "without a proposer", expected="a copy, the leader or an operator")
