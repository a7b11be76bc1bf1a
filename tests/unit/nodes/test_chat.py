"""Chat: what members may do, what they read, and what can't happen to an order or a read mark."""

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import MalformedError, RefusedByAppError
from nodes.app_port import Asked
from nodes.apps.chat import HISTORY_LIMIT_MAX, PART_BYTES, REACTIONS_PER_POST_MAX, app
from nodes.apps.chat_state import ChatState
from twinhold.v1 import chat_pb2 as pb

ADA, BOB = "users/ada", "users/bob"


def asked(actor: str, at_ms: int = 1000) -> Asked:
    return Asked("tenants/eu/acme", actor, at_ms, 0)


def do(state: ChatState, actor: str, at_ms: int = 1000, **action: Message) -> int:
    """Run one command; returns the answer's seq."""
    decided = app.decide(state, pb.ChatCommand(**action), asked(actor, at_ms))  # type: ignore[arg-type]  # by name
    for event in decided.events:
        app.apply(state, event, 1)
    assert isinstance(decided.answer, pb.ChatAnswer)
    return decided.answer.seq


def post(state: ChatState, actor: str, text: str, *, reply_to_seq: int = 0) -> int:
    return do(state, actor, post=pb.PostMessage(channel="general", text=text, reply_to_seq=reply_to_seq))


def mark(state: ChatState, actor: str, seq: int) -> int:
    return do(state, actor, mark_read=pb.MarkRead(channel="general", seq=seq))


def react(state: ChatState, actor: str, *, emoji: str = "tada", remove: bool = False) -> int:
    return do(state, actor, react=pb.React(channel="general", seq=1, emoji=emoji, remove=remove))


def history(state: ChatState, *, limit: int = 0, before_seq: int = 0) -> pb.ChatQueryAnswer:
    query = pb.ChatQuery(history=pb.ReadHistory(channel="general", limit=limit, before_seq=before_seq))
    return joined(state, query, ADA)


def joined(state: ChatState, query: pb.ChatQuery, actor: str) -> pb.ChatQueryAnswer:
    """Concatenate the parts of an answer, as a client does."""
    whole = pb.ChatQueryAnswer()
    for part in app.ask(state, query, asked(actor)):
        assert isinstance(part, pb.ChatQueryAnswer)
        whole.posts.extend(part.posts)
        whole.channels.extend(part.channels)
        whole.limit = part.limit
    return whole


def test_posts_are_numbered_from_1_without_gaps() -> None:
    state = app.empty()
    assert [post(state, ADA, "one"), post(state, BOB, "two"), post(state, ADA, "three")] == [1, 2, 3]
    assert [(one.seq, one.text, one.author) for one in history(state).posts] == [
        (1, "one", ADA),
        (2, "two", BOB),
        (3, "three", ADA),
    ]


def test_a_deleted_post_keeps_its_place() -> None:
    state = app.empty()
    for text in ("one", "two", "three"):
        post(state, ADA, text)
    react(state, BOB)
    assert do(state, ADA, delete=pb.DeletePost(channel="general", seq=1)) == 1
    shown = history(state).posts
    assert [(one.seq, one.text, one.deleted) for one in shown] == [
        (1, "", True),
        (2, "two", False),
        (3, "three", False),
    ]
    assert not shown[0].reactions


def test_an_edited_post_says_when() -> None:
    state = app.empty()
    post(state, ADA, "one")
    do(state, ADA, 2000, edit=pb.EditPost(channel="general", seq=1, text="uno"))
    (shown,) = history(state).posts
    assert (shown.text, shown.at_ms, shown.edited_at_ms) == ("uno", 1000, 2000)


def test_reactions_are_added_once_and_taken_back() -> None:
    state = app.empty()
    post(state, ADA, "one")
    for actor in (ADA, BOB, BOB):
        react(state, actor)
    assert [(one.emoji, list(one.actors)) for one in history(state).posts[0].reactions] == [("tada", [ADA, BOB])]
    for _ in range(2):
        react(state, ADA, remove=True)
    assert [(one.emoji, list(one.actors)) for one in history(state).posts[0].reactions] == [("tada", [BOB])]
    react(state, BOB, remove=True)
    assert not history(state).posts[0].reactions


def test_reactions_to_a_post_are_bounded() -> None:
    state = app.empty()
    post(state, ADA, "one")
    for number in range(REACTIONS_PER_POST_MAX):
        react(state, f"users/{number}")
    with pytest.raises(RefusedByAppError, match="500 reactions at most"):
        react(state, ADA)


def test_a_read_mark_moves_forward_only() -> None:
    state = app.empty()
    for _ in range(3):
        post(state, ADA, "x")
    assert [mark(state, BOB, seq) for seq in (2, 1, 3, 3)] == [2, 2, 3, 3]
    channels = pb.ChatQuery(channels=pb.ListChannels())
    assert [(one.channel, one.last_seq, one.read_seq) for one in joined(state, channels, BOB).channels] == [
        ("general", 3, 3)
    ]
    assert joined(state, channels, ADA).channels[0].read_seq == 0


def test_opening_an_open_channel_changes_nothing() -> None:
    state = app.empty()
    post(state, ADA, "one")
    do(state, BOB, create_channel=pb.CreateChannel(channel="general"))
    do(state, BOB, create_channel=pb.CreateChannel(channel="random"))
    channels = joined(state, pb.ChatQuery(channels=pb.ListChannels()), ADA).channels
    assert [(one.channel, one.last_seq) for one in channels] == [("general", 1), ("random", 0)]


@pytest.mark.parametrize(
    ("limit", "before_seq", "seqs", "in_force"),
    [
        pytest.param(0, 0, range(11, 61), 50, id="50 when nothing is said"),
        pytest.param(3, 0, range(58, 61), 3, id="the newest"),
        pytest.param(3, 10, range(7, 10), 3, id="before a post"),
        pytest.param(5, 3, range(1, 3), 5, id="down to the first"),
        pytest.param(5, 1, range(0), 5, id="before the first"),
        pytest.param(2, 1000, range(59, 61), 2, id="before one that is not there yet"),
        pytest.param(1_000_000, 0, range(1, 61), HISTORY_LIMIT_MAX, id="capped"),
    ],
)
def test_history_is_the_newest_posts_ascending(limit: int, before_seq: int, seqs: range, in_force: int) -> None:
    state = app.empty()
    for number in range(60):
        post(state, ADA, str(number))
    shown = history(state, limit=limit, before_seq=before_seq)
    assert [one.seq for one in shown.posts] == list(seqs)
    assert shown.limit == in_force


def test_a_channel_that_was_never_opened_is_empty() -> None:
    shown = history(app.empty(), limit=7)
    assert (list(shown.posts), shown.limit) == ([], 7)


def test_a_long_history_comes_in_parts_that_fit_into_messages() -> None:
    state = app.empty()
    for _ in range(100):
        post(state, ADA, "x" * 16_000)
    query = pb.ChatQuery(history=pb.ReadHistory(channel="general", limit=100))
    sizes = [part.ByteSize() for part in app.ask(state, query, asked(ADA))]
    assert len(sizes) > 4
    assert max(sizes) < 2 * PART_BYTES


REFUSED: dict[str, tuple[str, dict[str, Message]]] = {
    "a reply to nothing": ("NO_SUCH_POST", {"post": pb.PostMessage(channel="general", text="x", reply_to_seq=9)}),
    "an edit of nothing": ("NO_SUCH_POST", {"edit": pb.EditPost(channel="general", seq=9, text="x")}),
    "a reaction to nothing": ("NO_SUCH_POST", {"react": pb.React(channel="general", seq=9, emoji="x")}),
    "a mark beyond the end": ("NO_SUCH_POST", {"mark_read": pb.MarkRead(channel="general", seq=9)}),
    "no such channel": ("NO_SUCH_CHANNEL", {"mark_read": pb.MarkRead(channel="nowhere", seq=1)}),
    "an edit of another's": ("NOT_YOURS", {"edit": pb.EditPost(channel="general", seq=2, text="x")}),
    "a deletion of another's": ("NOT_YOURS", {"delete": pb.DeletePost(channel="general", seq=2)}),
    "an edit of a deleted one": ("POST_DELETED", {"edit": pb.EditPost(channel="general", seq=1, text="x")}),
    "a reaction to a deleted one": ("POST_DELETED", {"react": pb.React(channel="general", seq=1, emoji="x")}),
}
MALFORMED: dict[str, dict[str, Message]] = {
    "an empty text": {"post": pb.PostMessage(channel="general")},
    "a long text": {"post": pb.PostMessage(channel="general", text="x" * 16_385)},
    "a new channel with a bad name": {"post": pb.PostMessage(channel="No", text="x")},
    "a channel with a long name": {"create_channel": pb.CreateChannel(channel="x" * 81)},
    "a long reaction": {"react": pb.React(channel="general", seq=1, emoji="x" * 33)},
    "nothing at all": {},
}


def two_posts() -> ChatState:
    state = app.empty()
    post(state, ADA, "one")
    post(state, BOB, "two")
    do(state, ADA, delete=pb.DeletePost(channel="general", seq=1))
    return state


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_refusal_says_which_no_it_is(name: str) -> None:
    reason, action = REFUSED[name]
    with pytest.raises(RefusedByAppError) as raised:
        do(two_posts(), ADA, 1000, **action)
    assert raised.value.facts["app_reason"] == reason


@pytest.mark.parametrize("name", list(MALFORMED))
def test_a_malformed_command_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        do(two_posts(), ADA, 1000, **MALFORMED[name])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([ADA, BOB]), st.integers(0, 5)), max_size=30))
def test_no_order_of_marks_moves_one_back(marks: list[tuple[str, int]]) -> None:
    state = app.empty()
    for _ in range(5):
        post(state, ADA, "x")
    highest = {ADA: 0, BOB: 0}
    for actor, seq in marks:
        highest[actor] = max(highest[actor], seq)
        assert mark(state, actor, seq) == highest[actor]
