"""What differs between two states of chat, counted: channels, posts, read marks."""

from collections.abc import Iterable

from nodes.app_port import Change
from nodes.apps.chat_state import Channel, ChatState
from twinhold.v1 import chat_pb2 as pb

NO_CHANNEL = Channel()


def changes(now: ChatState, then: ChatState) -> list[Change]:
    """Count what changes when ``then`` takes the place of ``now``; a deleted post counts as one that is not there."""
    mine, others = now.channels, then.channels
    channels = Change("channels", len(others.keys() - mine.keys()), len(mine.keys() - others.keys()), 0)
    pairs = [(mine.get(name, NO_CHANNEL), others.get(name, NO_CHANNEL)) for name in mine.keys() | others.keys()]
    return [channels, _summed("posts", map(_posts, pairs)), _summed("read marks", map(_marks, pairs))]


def _posts(pair: tuple[Channel, Channel]) -> tuple[int, int, int]:
    now, then = pair[0].posts, pair[1].posts
    both = min(len(now), len(then))
    differing = [(_living(a), _living(b)) for a, b in zip(now, then, strict=False) if a != b]
    added = sum(b and not a for a, b in differing) + sum(map(_living, then[both:]))
    removed = sum(a and not b for a, b in differing) + sum(map(_living, now[both:]))
    return added, removed, sum(a and b for a, b in differing)


def _marks(pair: tuple[Channel, Channel]) -> tuple[int, int, int]:
    now, then = pair[0].marks, pair[1].marks
    moved = sum(now[actor] != then[actor] for actor in now.keys() & then.keys())
    return len(then.keys() - now.keys()), len(now.keys() - then.keys()), moved


def _living(post: bytes) -> bool:
    return not pb.Post.FromString(post).deleted


def _summed(kind: str, counts: Iterable[tuple[int, int, int]]) -> Change:
    added, removed, changed = (sum(column) for column in zip((0, 0, 0), *counts, strict=True))
    return Change(kind, added, removed, changed)
