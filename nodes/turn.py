"""What one turn of a node's loop has for others: frames by peer, proposals, reads of records; sent at its end.

One frame carries many shards' messages, and one call to the leader many shards' changes: work at our own pace.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from core.assignments import Assignment
from core.names import NodeId, ShardId
from core.ports import Clock
from core.proposals import Proposal, ProposalAnswer, ProposalUnknown
from nodes.control_port import Control
from nodes.frames import Append, Frame, Message, SnapshotPart
from nodes.ports import Links

FRAME_MESSAGES = 256
FRAME_BYTES = 1024 * 1024
"""Of entries and snapshot parts; a frame stays well below what a stream takes at once."""
AT_ONCE = float("-inf")
"""A time in the past: at the next turn."""


class Flushed(Protocol):
    """Whoever collected something during the turn."""

    def flush(self) -> None:
        """Write and send it now."""
        ...


class Turn:
    """Collects; everything leaves at the end of the turn, in the order in which it came."""

    def __init__(self, *, clock: Clock, links: Links[Frame], control: Control) -> None:
        self._clock = clock
        self._links = links
        self._control = control
        self._dirty: dict[Flushed, None] = {}
        """In the order in which they came, each once."""
        self._messages: dict[tuple[NodeId, bool], list[Message]] = {}
        self._proposals: list[tuple[Proposal, Callable[[ProposalAnswer], None]]] = []
        self._reads: dict[ShardId, Callable[[Assignment | None], None]] = {}
        self._due = False

    def flush_later(self, who: Flushed) -> None:
        """Call ``who.flush`` at the end of the turn."""
        self._dirty[who] = None
        if not self._due:
            self._end_later()

    def send(self, peer: NodeId, message: Message, *, bulk: bool) -> None:
        """Send a message."""
        self._messages.setdefault((peer, bulk), []).append(message)
        if not self._due:
            self._end_later()

    def propose(self, proposal: Proposal, done: Callable[[ProposalAnswer], None]) -> None:
        """Ask the leader for a change."""
        self._proposals.append((proposal, done))
        if not self._due:
            self._end_later()

    def read(self, shard: ShardId, done: Callable[[Assignment | None], None]) -> None:
        """Read a record; None: no answer."""
        self._reads[shard] = done
        if not self._due:
            self._end_later()

    def _end_later(self) -> None:
        self._due = True
        self._clock.call_at(AT_ONCE, self._end)

    def _end(self) -> None:
        while self._dirty:
            dirty, self._dirty = self._dirty, {}
            for who in dirty:
                who.flush()
        self._due = False
        messages, self._messages = self._messages, {}
        for (peer, bulk), found in messages.items():
            for frame in frames(found):
                self._links.send(peer, frame, bulk=bulk)
        if self._proposals or self._reads:
            self._ask()

    def _ask(self) -> None:
        proposals, self._proposals = self._proposals, []
        if proposals:
            askers = [done for _, done in proposals]
            self._control.propose([proposal for proposal, _ in proposals], lambda answers: _answer(askers, answers))
        reads, self._reads = self._reads, {}
        if reads:
            self._control.record(list(reads), lambda answer: _spread(reads, answer))


def frames(messages: list[Message]) -> list[Frame]:
    """Cut messages into frames of bounded size, one message at least in each."""
    if len(messages) <= FRAME_MESSAGES and sum(map(_weight_bytes, messages)) <= FRAME_BYTES:
        return [Frame(tuple(messages))]
    found: list[Frame] = []
    start = size = 0
    for n, message in enumerate(messages):
        weight = _weight_bytes(message)
        if n > start and (size + weight > FRAME_BYTES or n - start >= FRAME_MESSAGES):
            found.append(Frame(tuple(messages[start:n])))
            start, size = n, 0
        size += weight
    found.append(Frame(tuple(messages[start:])))
    return found


def _weight_bytes(message: Message) -> int:
    if type(message) is Append:
        return sum([len(record.body) for record in message.records])
    return len(message.body) if type(message) is SnapshotPart else 0


def _answer(askers: Sequence[Callable[[ProposalAnswer], None]], answers: Sequence[ProposalAnswer]) -> None:
    for done, answer in zip(askers, answers, strict=True):
        done(answer)


def _spread(
    reads: Mapping[ShardId, Callable[[Assignment | None], None]], answer: Mapping[ShardId, Assignment] | ProposalUnknown
) -> None:
    for shard, done in reads.items():
        done(None if isinstance(answer, ProposalUnknown) else answer.get(shard))
