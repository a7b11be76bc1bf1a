"""Whatever two nodes say to each other arrives as it was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.assignments import Assignment, Copy, Fence
from core.errors import MalformedError, UnavailableError
from core.names import CopyId, NodeId, ShardId
from core.topology import Kind
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
from nodes.records import Generation, Record, Tip, following, tip_of
from nodes.wire import frame_from_pb, write_frame
from twinhold.v1 import replication_pb2 as pb

numbers = st.integers(0, 2**48)
shards = st.integers(0, 2**20).map(ShardId)
gens = st.builds(Generation, st.integers(1, 9), st.integers(1, 2**40), st.integers(0, 99))
hashes = st.binary(min_size=16, max_size=16)
tips = st.builds(Tip, numbers, gens, hashes)
spans = st.lists(st.builds(Span, gens, numbers), max_size=4).map(tuple)
copies = st.builds(Copy, st.sampled_from([NodeId("fra1-c1"), NodeId("ams1-c2")]), st.text(max_size=8).map(CopyId))
records = st.builds(
    Assignment,
    shards,
    st.sampled_from(Kind),
    st.integers(1, 9),
    st.integers(1, 2**40),
    copies,
    st.none() | copies,
    st.text(max_size=12),
)


@st.composite
def appends(draw: st.DrawFn) -> Append:
    gen, prev = draw(gens), draw(tips)
    entries: list[Record] = []
    tip = prev
    for body in draw(st.lists(st.binary(max_size=20), max_size=5)):
        entries.append(following(tip, draw(st.sampled_from([gen, Generation(1, 1, 0)])), body))
        tip = tip_of(entries[-1])
    return Append(draw(shards), gen, prev, tuple(entries), draw(numbers), draw(st.none() | records))


texts = st.text(max_size=10)
messages: st.SearchStrategy[Message] = st.one_of(
    appends(),
    st.builds(Ack, shards, gens, numbers),
    st.builds(Stale, shards, gens, st.none() | records),
    st.builds(Decided, shards, records),
    st.builds(Invite, shards, gens, records, numbers),
    st.builds(
        Hello, shards, gens, texts.map(CopyId), tips, tips, spans, numbers, numbers, st.tuples(st.just(1), st.just(2))
    ),
    st.builds(Welcome, shards, gens, records, numbers, tips, st.booleans()),
    st.builds(SnapshotPart, shards, gens, numbers, tips, st.integers(0, 99), st.binary(max_size=20), st.booleans()),
    st.builds(SnapshotAck, shards, gens, numbers, st.integers(0, 99)),
    st.builds(Unfit, shards, gens, texts.map(CopyId), texts),
    st.builds(Forward, shards, numbers, texts, texts, texts, st.binary(max_size=9), texts, texts),
    st.builds(Forwarded, shards, numbers, st.none(), texts, st.binary(max_size=9), numbers, st.booleans()),
    st.builds(
        Heartbeat,
        st.floats(0, 1e9),
        numbers,
        st.none() | st.lists(st.tuples(shards, st.builds(Fence, numbers, numbers)), max_size=3).map(tuple),
    ),
    st.builds(HeartbeatReply, st.floats(0, 1e9), numbers, st.lists(shards, max_size=3).map(tuple)),
)


def written(frame: Frame) -> pb.Frame:
    message = pb.Frame()
    write_frame(frame, message)
    return message


@given(st.lists(messages, max_size=6).map(tuple).map(Frame))
def test_a_frame_survives_the_wire(frame: Frame) -> None:
    sent = written(frame).SerializeToString()
    assert frame_from_pb(pb.Frame.FromString(sent)) == frame


def test_an_error_arrives_as_what_it_was() -> None:
    error = UnavailableError("shard 7 changes hands: retry", reason="STOPPED", retry_after_s=0.1, shard=7)
    frame = frame_from_pb(written(Frame((Forwarded(ShardId(7), 1, error),))))
    arrived = frame.messages[0]
    assert isinstance(arrived, Forwarded)
    assert isinstance(arrived.error, UnavailableError)
    assert (arrived.error.message, arrived.error.reason, arrived.error.facts) == (
        error.message,
        "STOPPED",
        {"shard": "7"},
    )


def test_an_altered_entry_is_refused() -> None:
    gen = Generation(1, 1, 0)
    prev = Tip(4, gen, bytes(16))
    message = written(Frame((Append(ShardId(7), gen, prev, (following(prev, gen, b"pay 10"),), 4),)))
    message.messages[0].append.bodies[0] = b"pay 90"
    with pytest.raises(MalformedError, match="match their hash"):
        frame_from_pb(message)


def test_a_kind_of_message_that_is_not_known_is_left_out() -> None:
    assert frame_from_pb(pb.Frame(messages=[pb.PeerMessage()])) == Frame()
