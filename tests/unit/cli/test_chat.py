"""How a channel is told to a person."""

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from cli.chat import line, posts_table, seen
from client.io import Entry, Gap
from twinhold.v1 import chat_pb2 as pb


@pytest.mark.parametrize(
    ("event", "text"),
    [
        pytest.param(pb.ChatEvent(posted=pb.Posted(seq=1, author="ada", text="hi")), "-  #1  ada: hi", id="posted"),
        pytest.param(pb.ChatEvent(edited=pb.Edited(seq=1, text="hello")), "-  #1  now reads: hello", id="edited"),
        pytest.param(pb.ChatEvent(deleted=pb.Deleted(seq=1)), "#1  was deleted", id="deleted"),
        pytest.param(
            pb.ChatEvent(reacted=pb.Reacted(seq=1, actor="ada", emoji="+1")), "#1  ada reacted with +1", id="reacted"
        ),
        pytest.param(
            pb.ChatEvent(reacted=pb.Reacted(seq=1, actor="ada", emoji="+1", removed=True)),
            "#1  ada took back +1",
            id="took back",
        ),
        pytest.param(
            pb.ChatEvent(read_marked=pb.ReadMarked(seq=3, actor="ada")), "#3  ada has read up to here", id="read"
        ),
        pytest.param(
            pb.ChatEvent(channel_created=pb.ChannelCreated(channel="general")), "general was opened", id="opened"
        ),
        pytest.param(pb.ChatEvent(), "something happened that this release does not know", id="from the future"),
    ],
)
def test_every_event_is_told_on_one_line(event: pb.ChatEvent, text: str) -> None:
    assert line(event) == text


def test_a_deleted_post_keeps_its_place() -> None:
    rows = posts_table([pb.Post(seq=1, author="ada", deleted=True)]).rows
    assert rows == [(1, "-", "ada", "(deleted)")]


def test_only_events_of_the_channel_are_seen() -> None:
    packed = []
    for channel in ("general", "random"):
        body = AnyMessage()
        body.Pack(pb.ChatEvent(posted=pb.Posted(channel=channel, seq=1)))
        packed.append(body)
    entry = Entry(lsn=9, app="chat", events=tuple(packed), actor="ada", at_ms=0)
    assert [event.posted.channel for event in seen(entry, "random")] == ["random"]


def test_a_gap_is_never_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(seen(Gap(first_lsn=4, last_lsn=9), "general")) == []
    assert "between lsn 4 and 9" in capsys.readouterr().err
