"""Writes to the store under one term: batches what one turn of the loop brings, and finds out what became of it.

One conditional write per partition and turn. An unknown outcome is read back before it is answered (C1); a row that the
store holds exactly as we wanted it counts as applied, whoever's call put it there: a record for an epoch is unique.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from control_plane.ports import (
    FLEET,
    Applied,
    AssignmentStore,
    Doc,
    Partition,
    ReadAnswer,
    Refused,
    Row,
    StaleTerm,
    Unknown,
    WriteAnswer,
)
from core.assignments import Assignment
from core.names import ShardId
from core.ports import Clock

Answer: TypeAlias = Applied | Refused | Unknown
PENDING_MAX = 8192
"""Rows that wait for answers; more are not taken."""
BARRED_S = 1.0
"""After which a write that may not be sent is answered."""


@dataclass(slots=True)
class _Batch:
    rows: list[tuple[Row, Callable[[Answer], None]]] = field(default_factory=list)
    docs: list[tuple[Doc, Callable[[Answer], None]]] = field(default_factory=list)


class Writer:
    """One leader's way to the store.

    Args:
        store: where to.
        clock: turns.
        term: the leader's.
        learned: told every record that an answer shows, before anybody's ``done`` is.
        filed: told every doc that an answer shows.
        deposed: told a higher term; nothing is written any more.
        forgot: told what the store has held before and does not hold any more: it was restored (C10).
        barred: says why nothing may be written to a shard, or, for None, of the fleet's; empty: it may.
    """

    def __init__(
        self,
        store: AssignmentStore,
        clock: Clock,
        term: int,
        *,
        learned: Callable[[Sequence[Assignment]], None],
        filed: Callable[[Doc], None],
        deposed: Callable[[int], None],
        forgot: Callable[[str], None],
        barred: Callable[[ShardId | None], str],
    ) -> None:
        self._store = store
        self._clock = clock
        self._term = term
        self._learned = learned
        self._filed = filed
        self._deposed = deposed
        self._forgot = forgot
        self._barred = barred
        self._waiting: dict[Partition, _Batch] = {}
        self._flush_due = False
        self.pending = 0
        self.closed = False

    def put(self, partition: Partition, row: Row, done: Callable[[Answer], None]) -> None:
        """Write a row with this turn's batch."""
        if self._refuses(row.new.shard, done):
            return
        self._waiting.setdefault(partition, _Batch()).rows.append((row, done))
        self._soon()

    def file(self, doc: Doc, done: Callable[[Answer], None]) -> None:
        """Write a doc of the fleet's with this turn's batch."""
        if self._refuses(None, done):
            return
        self._waiting.setdefault(FLEET, _Batch()).docs.append((doc, done))
        self._soon()

    def close(self) -> None:
        """Write nothing any more; what waits is answered as unknown."""
        self.closed = True
        self._flush()

    def _refuses(self, shard: ShardId | None, done: Callable[[Answer], None]) -> bool:
        """Answer, a while later, that nothing is known of what was not sent: whoever asks again does so at leisure."""
        why = self._barred(shard)
        if why:
            self._clock.call_at(self._clock.now() + BARRED_S, lambda: done(Unknown(why)))
        return bool(why)

    def _soon(self) -> None:
        self.pending += 1
        if not self._flush_due:
            self._flush_due = True
            self._clock.call_at(self._clock.now(), self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        waiting, self._waiting = self._waiting, {}
        for partition, batch in waiting.items():
            if self.closed:
                self._all(batch, Unknown("this control plane does not lead any more"))
            else:
                self._send(partition, batch)

    def _send(self, partition: Partition, batch: _Batch) -> None:
        self._store.write(
            partition,
            self._term,
            [row for row, _ in batch.rows],
            [doc for doc, _ in batch.docs],
            lambda answer: self._answered(partition, batch, answer),
        )

    def _answered(self, partition: Partition, batch: _Batch, answer: WriteAnswer) -> None:
        if isinstance(answer, StaleTerm):
            self.closed = True
            self._deposed(answer.term)
            self._all(batch, Unknown(f"term {answer.term} has begun"))
        elif isinstance(answer, Unknown):
            self._store.read([partition], lambda read: self._read_back(partition, batch, answer, read))
        else:
            self._settle(batch, answer)

    def _read_back(self, partition: Partition, batch: _Batch, cause: Unknown, read: ReadAnswer) -> None:
        """Find out what an unanswered write did; one that has not happened yet may still happen."""
        if isinstance(read, Unknown):
            self._all(batch, cause)
            return
        state = read[partition]
        if state.term > self._term:
            self.closed = True
            self._deposed(state.term)
        records = {assignment.shard: assignment for assignment in state.assignments}
        docs = {doc.key: doc for doc in state.docs}
        answers: list[Answer] = [self._row_now(row, records.get(row.new.shard), cause) for row, _ in batch.rows]
        answers += [self._doc_now(doc, docs.get(doc.key), cause) for doc, _ in batch.docs]
        self._settle(batch, answers)

    def _row_now(self, row: Row, held: Assignment | None, cause: Unknown) -> Answer:
        fence = None if held is None else held.fence
        return cause if fence == row.base else Refused(held)

    def _doc_now(self, doc: Doc, held: Doc | None, cause: Unknown) -> Answer:
        version = 0 if held is None else held.version
        return cause if version == doc.version - 1 else Refused(held)

    def _settle(self, batch: _Batch, answers: Sequence[Answer]) -> None:
        known = [_row_answer(row, answer) for (row, _), answer in zip(batch.rows, answers, strict=False)]
        filed = [_doc_answer(doc, answer) for (doc, _), answer in zip(batch.docs, answers[len(known) :], strict=True)]
        self._learn(batch, known, filed)
        for line in _forgotten(batch, answers):
            self._forgot(line)
        self.pending -= len(known) + len(filed)
        for (_, done), answer in zip(batch.rows, known, strict=True):
            done(answer)
        for (_, told), answer in zip(batch.docs, filed, strict=True):
            told(answer)

    def _learn(self, batch: _Batch, known: Sequence[Answer], filed: Sequence[Answer]) -> None:
        records = [_decided(row, answer) for (row, _), answer in zip(batch.rows, known, strict=True)]
        self._learned([record for record in records if record is not None])
        for (doc, _), answer in zip(batch.docs, filed, strict=True):
            if isinstance(answer, Applied):
                self._filed(doc)
            elif isinstance(answer, Refused) and isinstance(answer.current, Doc):
                self._filed(answer.current)

    def _all(self, batch: _Batch, answer: Unknown) -> None:
        self.pending -= len(batch.rows) + len(batch.docs)
        for _, done in [*batch.rows]:
            done(answer)
        for _, done in [*batch.docs]:
            done(answer)


def _forgotten(batch: _Batch, answers: Sequence[Answer]) -> Iterator[str]:
    """Name what the store holds in an older state than the one that a write was made on: that was in it before."""
    for (row, _), answer in zip(batch.rows, answers, strict=False):
        held = answer.current if isinstance(answer, Refused) else row.new
        if row.base is not None and (held is None or (isinstance(held, Assignment) and held.fence < row.base)):
            yield f"shard {row.new.shard} at {row.base.incarnation}.{row.base.epoch}"
    for (doc, _), answer in zip(batch.docs, answers[len(batch.rows) :], strict=True):
        kept = answer.current if isinstance(answer, Refused) else doc
        if kept is None or (isinstance(kept, Doc) and kept.version < doc.version - 1):
            yield f"version {doc.version - 1} of {doc.key}"


def _row_answer(row: Row, answer: Answer) -> Answer:
    return Applied() if isinstance(answer, Refused) and answer.current == row.new else answer


def _doc_answer(doc: Doc, answer: Answer) -> Answer:
    return Applied() if isinstance(answer, Refused) and answer.current == doc else answer


def _decided(row: Row, answer: Answer) -> Assignment | None:
    if isinstance(answer, Applied):
        return row.new
    current = answer.current if isinstance(answer, Refused) else None
    return current if isinstance(current, Assignment) else None
