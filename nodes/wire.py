"""Between the frames that nodes exchange and protobuf; the only file of this floor's heart that knows both.

Entries travel as their bodies alone: the receiver computes the hashes between ``prev`` and the last one itself, which
is the check that nothing was altered on the way.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from core.assignments import Fence
from core.errors import MalformedError
from core.names import CopyId, ShardId
from core.wire import assignment_from_pb, assignment_to_pb, command_error, error_of_command
from nodes.frames import (
    Ack,
    Append,
    Decided,
    Forward,
    Forwarded,
    Frame,
    Heartbeat,
    HeartbeatReply,
    Hello,
    Invite,
    Message,
    SnapshotAck,
    SnapshotPart,
    Stale,
    Unfit,
    Welcome,
)
from nodes.ports import Span
from nodes.records import Generation, Record, Tip, record_hash
from twinhold.v1 import replication_pb2 as pb


def write_frame(frame: Frame, into: pb.Frame) -> None:
    """Write a frame into a message, in place: protobuf copies what is built apart, entries and all, at every level."""
    add = into.messages.add
    for message in frame.messages:
        _WRITERS[type(message)](message, add())


def frame_from_pb(message: pb.Frame) -> Frame:
    """Read a frame; kinds of message that this code does not know are left out.

    Raises:
        MalformedError: an entry does not match its hash, or a field has the wrong form.
    """
    found = []
    for part in message.messages:
        kind = part.WhichOneof("kind")
        if kind is not None:
            found.append(_READERS[kind](part))
    return Frame(tuple(found))


def _write_gen(gen: Generation, into: pb.Generation) -> None:
    into.incarnation, into.epoch, into.boot = gen


def _gen_from(message: pb.Generation) -> Generation:
    return Generation(message.incarnation, message.epoch, message.boot)


def _write_tip(tip: Tip, into: pb.Tip) -> None:
    gen = into.generation
    into.lsn, (gen.incarnation, gen.epoch, gen.boot), into.hash = tip


def _tip_from(message: pb.Tip) -> Tip:
    if len(message.hash) != 16:
        raise MalformedError("journal hash", message.hash.hex(), expected="16 bytes")
    return Tip(message.lsn, _gen_from(message.generation), message.hash)


def _write_span(gen: Generation, first_lsn: int, into: pb.Span) -> None:
    _write_gen(gen, into.generation)
    into.first_lsn = first_lsn


def _spans_from(messages: Iterable[pb.Span]) -> tuple[Span, ...]:
    return tuple(Span(_gen_from(message.generation), message.first_lsn) for message in messages)


def _write_append(m: Append, part: pb.PeerMessage) -> None:
    into, records, gen = part.append, m.records, m.gen
    into.shard, into.commit_lsn = m.shard, m.commit_lsn
    _write_gen(gen, into.gen)
    _write_tip(m.prev, into.prev)
    if records:
        into.bodies.extend([record.body for record in records])
        into.last_hash = records[-1].hash
    for record in records:
        if record.generation != gen:  # It changes within them; hardly ever.
            gen = record.generation
            _write_span(gen, record.lsn, into.spans.add())
    if m.decided is not None:
        into.decided.CopyFrom(assignment_to_pb(m.decided))


def _append_from(part: pb.PeerMessage) -> Append:
    m = part.append
    gen, prev = _gen_from(m.gen), _tip_from(m.prev)
    return Append(
        ShardId(m.shard),
        gen,
        prev,
        _records_from(m, gen, prev),
        m.commit_lsn,
        assignment_from_pb(m.decided) if m.HasField("decided") else None,
    )


def _records_from(m: pb.Append, gen: Generation, prev: Tip) -> tuple[Record, ...]:
    records: list[Record] = []
    lsn, digest, turns = prev.lsn, prev.hash, list(_spans_from(m.spans)) if m.spans else []
    for body in m.bodies[:]:  # Sliced first: protobuf's own iteration is slower.
        lsn += 1
        if turns and turns[0].first_lsn == lsn:
            gen = turns.pop(0).generation
        digest = record_hash(digest, lsn, gen, body)
        records.append(Record(lsn, gen, digest, body))
    if records and digest != m.last_hash:
        raise MalformedError("entries", f"of shard {m.shard} up to {lsn}", expected="bodies that match their hash")
    return tuple(records)


def _write_hello(m: Hello, part: pb.PeerMessage) -> None:
    into = part.hello
    into.shard, into.copy_id, into.number, into.ask = m.shard, m.copy_id, m.number, m.ask
    into.reads_min, into.reads_max = m.reads
    _write_gen(m.seen, into.seen)
    _write_tip(m.tip, into.tip)
    _write_tip(m.floor, into.floor)
    for span in m.spans:
        _write_span(span.generation, span.first_lsn, into.spans.add())


def _hello_from(part: pb.PeerMessage) -> Hello:
    m = part.hello
    return Hello(
        ShardId(m.shard),
        _gen_from(m.seen),
        CopyId(m.copy_id),
        _tip_from(m.tip),
        _tip_from(m.floor),
        _spans_from(m.spans),
        m.number,
        m.ask,
        (m.reads_min, m.reads_max),
    )


def _write_forwarded(m: Forwarded, part: pb.PeerMessage) -> None:
    into = part.forwarded
    into.shard, into.ticket, into.type_url, into.body = m.shard, m.ticket, m.type_url, m.body
    into.lsn, into.replayed = m.lsn, m.replayed
    if m.error is not None:
        into.error.CopyFrom(command_error(m.error))


def _forwarded_from(part: pb.PeerMessage) -> Forwarded:
    m = part.forwarded
    error = error_of_command(m.error) if m.HasField("error") else None
    return Forwarded(ShardId(m.shard), m.ticket, error, m.type_url, m.body, m.lsn, m.replayed)


def _write_heartbeat(m: Heartbeat, part: pb.PeerMessage) -> None:
    into, wanted = part.heartbeat, m.wanted
    into.sent_at, into.version, into.complete = m.sent_at, m.version, wanted is not None
    if wanted:
        into.shards.extend([shard for shard, _ in wanted])
        into.incarnations.extend([fence.incarnation for _, fence in wanted])
        into.epochs.extend([fence.epoch for _, fence in wanted])


def _heartbeat_from(part: pb.PeerMessage) -> Heartbeat:
    m = part.heartbeat
    if not m.complete:
        return Heartbeat(m.sent_at, m.version, None)
    if not len(m.shards) == len(m.incarnations) == len(m.epochs):
        raise MalformedError("heartbeat", f"version {m.version}", expected="columns of one length")
    wanted = tuple(
        (ShardId(shard), Fence(incarnation, epoch))
        for shard, incarnation, epoch in zip(m.shards, m.incarnations, m.epochs, strict=True)
    )
    return Heartbeat(m.sent_at, m.version, wanted)


def _write_ack(m: Ack, part: pb.PeerMessage) -> None:
    into = part.ack
    into.shard, into.lsn = m.shard, m.lsn
    _write_gen(m.gen, into.gen)


def _ack_from(part: pb.PeerMessage) -> Ack:
    return Ack(ShardId(part.ack.shard), _gen_from(part.ack.gen), part.ack.lsn)


def _write_stale(m: Stale, part: pb.PeerMessage) -> None:
    into = part.stale
    into.shard = m.shard
    _write_gen(m.seen, into.seen)
    if m.decided is not None:
        into.decided.CopyFrom(assignment_to_pb(m.decided))


def _stale_from(part: pb.PeerMessage) -> Stale:
    m = part.stale
    decided = assignment_from_pb(m.decided) if m.HasField("decided") else None
    return Stale(ShardId(m.shard), _gen_from(m.seen), decided)


def _write_decided(m: Decided, part: pb.PeerMessage) -> None:
    into = part.decided
    into.shard = m.shard
    into.decided.CopyFrom(assignment_to_pb(m.decided))


def _decided_from(part: pb.PeerMessage) -> Decided:
    return Decided(ShardId(part.decided.shard), assignment_from_pb(part.decided.decided))


def _write_invite(m: Invite, part: pb.PeerMessage) -> None:
    into = part.invite
    into.shard, into.ask = m.shard, m.ask
    _write_gen(m.gen, into.gen)
    into.decided.CopyFrom(assignment_to_pb(m.decided))


def _invite_from(part: pb.PeerMessage) -> Invite:
    m = part.invite
    return Invite(ShardId(m.shard), _gen_from(m.gen), assignment_from_pb(m.decided), m.ask)


def _write_welcome(m: Welcome, part: pb.PeerMessage) -> None:
    into = part.welcome
    into.shard, into.number, into.snapshot = m.shard, m.number, m.snapshot
    _write_gen(m.gen, into.gen)
    _write_tip(m.common, into.common)
    into.decided.CopyFrom(assignment_to_pb(m.decided))


def _welcome_from(part: pb.PeerMessage) -> Welcome:
    m = part.welcome
    decided = assignment_from_pb(m.decided)
    return Welcome(ShardId(m.shard), _gen_from(m.gen), decided, m.number, _tip_from(m.common), m.snapshot)


def _write_part(m: SnapshotPart, part: pb.PeerMessage) -> None:
    into = part.snapshot_part
    into.shard, into.number, into.index, into.body, into.last = m.shard, m.number, m.index, m.body, m.last
    _write_gen(m.gen, into.gen)
    _write_tip(m.tip, into.tip)


def _part_from(part: pb.PeerMessage) -> SnapshotPart:
    m = part.snapshot_part
    return SnapshotPart(ShardId(m.shard), _gen_from(m.gen), m.number, _tip_from(m.tip), m.index, m.body, m.last)


def _write_part_ack(m: SnapshotAck, part: pb.PeerMessage) -> None:
    into = part.snapshot_ack
    into.shard, into.number, into.index = m.shard, m.number, m.index
    _write_gen(m.gen, into.gen)


def _part_ack_from(part: pb.PeerMessage) -> SnapshotAck:
    m = part.snapshot_ack
    return SnapshotAck(ShardId(m.shard), _gen_from(m.gen), m.number, m.index)


def _write_unfit(m: Unfit, part: pb.PeerMessage) -> None:
    into = part.unfit
    into.shard, into.copy_id, into.cause = m.shard, m.copy_id, m.cause
    _write_gen(m.gen, into.gen)


def _unfit_from(part: pb.PeerMessage) -> Unfit:
    m = part.unfit
    return Unfit(ShardId(m.shard), _gen_from(m.gen), CopyId(m.copy_id), m.cause)


def _write_forward(m: Forward, part: pb.PeerMessage) -> None:
    into = part.forward
    into.shard, into.ticket, into.tenant, into.app = m.shard, m.ticket, m.tenant, m.app
    into.type_url, into.body, into.actor, into.request_id = m.type_url, m.body, m.actor, m.request_id


def _forward_from(part: pb.PeerMessage) -> Forward:
    m = part.forward
    return Forward(ShardId(m.shard), m.ticket, m.tenant, m.app, m.type_url, m.body, m.actor, m.request_id)


def _write_reply(m: HeartbeatReply, part: pb.PeerMessage) -> None:
    into = part.heartbeat_reply
    into.sent_at, into.version = m.sent_at, m.version
    if m.refused:
        into.refused.extend(m.refused)


def _reply_from(part: pb.PeerMessage) -> HeartbeatReply:
    m = part.heartbeat_reply
    return HeartbeatReply(m.sent_at, m.version, tuple(map(ShardId, m.refused)))


_WRITERS: Mapping[type[Message], Callable[[Any, pb.PeerMessage], None]] = {  # Any: each takes the type it stands for
    Append: _write_append,
    Ack: _write_ack,
    Stale: _write_stale,
    Decided: _write_decided,
    Invite: _write_invite,
    Hello: _write_hello,
    Welcome: _write_welcome,
    SnapshotPart: _write_part,
    SnapshotAck: _write_part_ack,
    Unfit: _write_unfit,
    Forward: _write_forward,
    Forwarded: _write_forwarded,
    Heartbeat: _write_heartbeat,
    HeartbeatReply: _write_reply,
}
_READERS: Mapping[str, Callable[[pb.PeerMessage], Message]] = {
    "append": _append_from,
    "ack": _ack_from,
    "stale": _stale_from,
    "decided": _decided_from,
    "invite": _invite_from,
    "hello": _hello_from,
    "welcome": _welcome_from,
    "snapshot_part": _part_from,
    "snapshot_ack": _part_ack_from,
    "unfit": _unfit_from,
    "forward": _forward_from,
    "forwarded": _forwarded_from,
    "heartbeat": _heartbeat_from,
    "heartbeat_reply": _reply_from,
}
