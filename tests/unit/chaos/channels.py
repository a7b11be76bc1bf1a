"""Makes histories that are good by construction: clients of one simulated linearizable channel store."""

import random
from dataclasses import dataclass, field

from chaos.history import Line, Outcome, Post, Read

AUDIT_LIMIT = 100_000


@dataclass(slots=True)
class Store:
    """Channels as they really are; an operation happens at one instant, between its invocation and its completion."""

    channels: dict[str, list[str]] = field(default_factory=dict)

    def post(self, channel: str, text: str) -> int:
        """Append, and return the position."""
        posts = self.channels.setdefault(channel, [])
        posts.append(text)
        return len(posts)

    def read(self, channel: str, limit: int) -> tuple[tuple[int, str | None], ...]:
        """Return the newest posts."""
        posts = self.channels.get(channel, [])
        first = max(0, len(posts) - limit)
        return tuple((seq, text) for seq, text in enumerate(posts[first:], start=first + 1))


def good_history(seed: int, *, operations: int, channels: int = 2) -> list[Line]:
    """Make a history with posts that fail, posts whose outcome nobody knows, reads of any length, and an audit.

    Operations overlap: each takes effect at its own instant, its ends lie at random distances around that.
    """
    dice, store = random.Random(seed), Store()
    lines: list[Line] = []
    for number in range(operations):
        at = 1_000 * (number + 1)
        channel = f"c{dice.randrange(channels)}"
        invoked, completed = at - dice.randrange(0, 5_000), at + dice.randrange(0, 5_000)
        if dice.random() < 0.5:
            lines.append(_post(dice, store, channel, number, invoked, completed))
        else:
            limit = dice.choice((1, 2, 5, 50))
            lines.append(_read(store, channel, f"r{number}", limit, invoked, completed))
    end = 1_000 * (operations + 20)
    lines.extend(
        _read(store, f"c{n}", f"audit{n}", AUDIT_LIMIT, end + 10 * n, end + 10 * n + 5) for n in range(channels)
    )
    return lines


def _post(dice: random.Random, store: Store, channel: str, number: int, invoked: int, completed: int) -> Post:
    text, fate = f"text {number}", dice.random()
    outcome: Outcome = "ok" if fate < 0.8 else "failed" if fate < 0.9 else "unknown"
    took_effect = outcome == "ok" or (outcome == "unknown" and dice.random() < 0.5)
    seq = store.post(channel, text) if took_effect else None
    return Post(
        tenant="tenants/eu/acme",
        channel=channel,
        client=f"client{number % 3}",
        request_id=f"p{number}",
        text=text,
        seq=seq if outcome == "ok" else None,
        invoked_ns=invoked,
        completed_ns=None if outcome == "unknown" else completed,
        outcome=outcome,
    )


def _read(store: Store, channel: str, request_id: str, limit: int, invoked: int, completed: int) -> Read:
    return Read(
        tenant="tenants/eu/acme",
        channel=channel,
        client="reader",
        request_id=request_id,
        limit=limit,
        posts=store.read(channel, limit),
        invoked_ns=invoked,
        completed_ns=completed,
        outcome="ok",
    )
