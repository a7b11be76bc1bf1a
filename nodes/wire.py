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


def frame_to_pb(frame: Frame) -> pb.Frame:
    """Write a frame."""
    return pb.Frame(messages=[_WRITERS[type(message)](message) for message in frame.messages])


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


def _gen_to(gen: Generation) -> pb.Generation:
    return pb.Generation(incarnation=gen.incarnation, epoch=gen.epoch, boot=gen.boot)


def _gen_from(message: pb.Generation) -> Generation:
    return Generation(message.incarnation, message.epoch, message.boot)


def _tip_to(tip: Tip) -> pb.Tip:
    return pb.Tip(lsn=tip.lsn, generation=_gen_to(tip.generation), hash=tip.hash)


def _tip_from(message: pb.Tip) -> Tip:
    if len(message.hash) != 16:
        raise MalformedError("journal hash", message.hash.hex(), expected="16 bytes")
    return Tip(message.lsn, _gen_from(message.generation), message.hash)


def _spans_to(spans: Iterable[Span]) -> list[pb.Span]:
    return [pb.Span(generation=_gen_to(span.generation), first_lsn=span.first_lsn) for span in spans]


def _spans_from(messages: Iterable[pb.Span]) -> tuple[Span, ...]:
    return tuple(Span(_gen_from(message.generation), message.first_lsn) for message in messages)


def _spans_within(records: Iterable[Record], gen: Generation) -> list[pb.Span]:
    """Say where records, which begin in ``gen``, change their generation; hardly ever anywhere."""
    spans = []
    for record in records:
        if record.generation != gen:
            gen = record.generation
            spans.append(pb.Span(generation=_gen_to(gen), first_lsn=record.lsn))
    return spans


def _append_to(m: Append) -> pb.PeerMessage:
    records = m.records
    return pb.PeerMessage(
        append=pb.Append(
            shard=m.shard,
            gen=_gen_to(m.gen),
            prev=_tip_to(m.prev),
            bodies=[record.body for record in records],
            spans=_spans_within(records, m.gen),
            last_hash=records[-1].hash if records else b"",
            commit_lsn=m.commit_lsn,
            decided=None if m.decided is None else assignment_to_pb(m.decided),
        )
    )


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
    for body in m.bodies:
        lsn += 1
        if turns and turns[0].first_lsn == lsn:
            gen = turns.pop(0).generation
        digest = record_hash(digest, lsn, gen, body)
        records.append(Record(lsn, gen, digest, body))
    if records and digest != m.last_hash:
        raise MalformedError("entries", f"of shard {m.shard} up to {lsn}", expected="bodies that match their hash")
    return tuple(records)


def _hello_to(m: Hello) -> pb.PeerMessage:
    return pb.PeerMessage(
        hello=pb.Hello(
            shard=m.shard,
            seen=_gen_to(m.seen),
            copy_id=m.copy_id,
            tip=_tip_to(m.tip),
            floor=_tip_to(m.floor),
            spans=_spans_to(m.spans),
            number=m.number,
            ask=m.ask,
            reads_min=m.reads[0],
            reads_max=m.reads[1],
        )
    )


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


def _forwarded_to(m: Forwarded) -> pb.PeerMessage:
    return pb.PeerMessage(
        forwarded=pb.Forwarded(
            shard=m.shard,
            ticket=m.ticket,
            error=None if m.error is None else command_error(m.error),
            type_url=m.type_url,
            body=m.body,
            lsn=m.lsn,
            replayed=m.replayed,
        )
    )


def _forwarded_from(part: pb.PeerMessage) -> Forwarded:
    m = part.forwarded
    error = error_of_command(m.error) if m.HasField("error") else None
    return Forwarded(ShardId(m.shard), m.ticket, error, m.type_url, m.body, m.lsn, m.replayed)


def _heartbeat_to(m: Heartbeat) -> pb.PeerMessage:
    wanted = m.wanted
    if not wanted:
        beat = pb.Heartbeat(sent_at=m.sent_at, version=m.version, complete=wanted is not None)
        return pb.PeerMessage(heartbeat=beat)
    return pb.PeerMessage(
        heartbeat=pb.Heartbeat(
            sent_at=m.sent_at,
            version=m.version,
            complete=True,
            shards=[shard for shard, _ in wanted],
            incarnations=[fence.incarnation for _, fence in wanted],
            epochs=[fence.epoch for _, fence in wanted],
        )
    )


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


def _ack_to(m: Ack) -> pb.PeerMessage:
    return pb.PeerMessage(ack=pb.Ack(shard=m.shard, gen=_gen_to(m.gen), lsn=m.lsn))


def _ack_from(part: pb.PeerMessage) -> Ack:
    return Ack(ShardId(part.ack.shard), _gen_from(part.ack.gen), part.ack.lsn)


def _stale_to(m: Stale) -> pb.PeerMessage:
    decided = None if m.decided is None else assignment_to_pb(m.decided)
    return pb.PeerMessage(stale=pb.Stale(shard=m.shard, seen=_gen_to(m.seen), decided=decided))


def _stale_from(part: pb.PeerMessage) -> Stale:
    m = part.stale
    decided = assignment_from_pb(m.decided) if m.HasField("decided") else None
    return Stale(ShardId(m.shard), _gen_from(m.seen), decided)


def _decided_to(m: Decided) -> pb.PeerMessage:
    return pb.PeerMessage(decided=pb.Decided(shard=m.shard, decided=assignment_to_pb(m.decided)))


def _decided_from(part: pb.PeerMessage) -> Decided:
    return Decided(ShardId(part.decided.shard), assignment_from_pb(part.decided.decided))


def _invite_to(m: Invite) -> pb.PeerMessage:
    decided = assignment_to_pb(m.decided)
    return pb.PeerMessage(invite=pb.Invite(shard=m.shard, gen=_gen_to(m.gen), decided=decided, ask=m.ask))


def _invite_from(part: pb.PeerMessage) -> Invite:
    m = part.invite
    return Invite(ShardId(m.shard), _gen_from(m.gen), assignment_from_pb(m.decided), m.ask)


def _welcome_to(m: Welcome) -> pb.PeerMessage:
    return pb.PeerMessage(
        welcome=pb.Welcome(
            shard=m.shard,
            gen=_gen_to(m.gen),
            decided=assignment_to_pb(m.decided),
            number=m.number,
            common=_tip_to(m.common),
            snapshot=m.snapshot,
        )
    )


def _welcome_from(part: pb.PeerMessage) -> Welcome:
    m = part.welcome
    decided = assignment_from_pb(m.decided)
    return Welcome(ShardId(m.shard), _gen_from(m.gen), decided, m.number, _tip_from(m.common), m.snapshot)


def _part_to(m: SnapshotPart) -> pb.PeerMessage:
    return pb.PeerMessage(
        snapshot_part=pb.SnapshotPart(
            shard=m.shard,
            gen=_gen_to(m.gen),
            number=m.number,
            tip=_tip_to(m.tip),
            index=m.index,
            body=m.body,
            last=m.last,
        )
    )


def _part_from(part: pb.PeerMessage) -> SnapshotPart:
    m = part.snapshot_part
    return SnapshotPart(ShardId(m.shard), _gen_from(m.gen), m.number, _tip_from(m.tip), m.index, m.body, m.last)


def _part_ack_to(m: SnapshotAck) -> pb.PeerMessage:
    ack = pb.SnapshotAck(shard=m.shard, gen=_gen_to(m.gen), number=m.number, index=m.index)
    return pb.PeerMessage(snapshot_ack=ack)


def _part_ack_from(part: pb.PeerMessage) -> SnapshotAck:
    m = part.snapshot_ack
    return SnapshotAck(ShardId(m.shard), _gen_from(m.gen), m.number, m.index)


def _unfit_to(m: Unfit) -> pb.PeerMessage:
    return pb.PeerMessage(unfit=pb.Unfit(shard=m.shard, gen=_gen_to(m.gen), copy_id=m.copy_id, cause=m.cause))


def _unfit_from(part: pb.PeerMessage) -> Unfit:
    m = part.unfit
    return Unfit(ShardId(m.shard), _gen_from(m.gen), CopyId(m.copy_id), m.cause)


def _forward_to(m: Forward) -> pb.PeerMessage:
    return pb.PeerMessage(
        forward=pb.Forward(
            shard=m.shard,
            ticket=m.ticket,
            tenant=m.tenant,
            app=m.app,
            type_url=m.type_url,
            body=m.body,
            actor=m.actor,
            request_id=m.request_id,
        )
    )


def _forward_from(part: pb.PeerMessage) -> Forward:
    m = part.forward
    return Forward(ShardId(m.shard), m.ticket, m.tenant, m.app, m.type_url, m.body, m.actor, m.request_id)


def _reply_to(m: HeartbeatReply) -> pb.PeerMessage:
    reply = pb.HeartbeatReply(sent_at=m.sent_at, version=m.version, refused=m.refused)
    return pb.PeerMessage(heartbeat_reply=reply)


def _reply_from(part: pb.PeerMessage) -> HeartbeatReply:
    m = part.heartbeat_reply
    return HeartbeatReply(m.sent_at, m.version, tuple(map(ShardId, m.refused)))


_WRITERS: Mapping[type[Message], Callable[[Any], pb.PeerMessage]] = {  # Any: each takes the type that it stands for
    Append: _append_to,
    Ack: _ack_to,
    Stale: _stale_to,
    Decided: _decided_to,
    Invite: _invite_to,
    Hello: _hello_to,
    Welcome: _welcome_to,
    SnapshotPart: _part_to,
    SnapshotAck: _part_ack_to,
    Unfit: _unfit_to,
    Forward: _forward_to,
    Forwarded: _forwarded_to,
    Heartbeat: _heartbeat_to,
    HeartbeatReply: _reply_to,
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
