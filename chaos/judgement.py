"""What a judge says of a history: the laws, what breaks them, and the figures."""

from dataclasses import dataclass
from enum import Enum


class Law(Enum):
    """What a history can break."""

    LOST = "an acknowledged post is present at its seq"
    ONCE = "a post stands at one position, a position holds one post"
    STALE = "a read shows every post acknowledged before it began"
    MONOTONIC = "a read shows whatever an earlier one showed"
    ORDER = "a post stands after every post acknowledged before it began"
    FUTURE = "a read shows no post that began after it"
    UNWRITTEN = "what a read shows was posted in that channel"
    FAILED = "a failed post is absent"
    WINDOW = "a read shows the newest posts, ascending, without gaps, as many as its limit"


class Verdict(Enum):
    """What the judge says of a whole history."""

    GOOD = "good"
    VIOLATED = "violated"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Finding:
    """A law broken, and the lines that show it."""

    law: Law
    lines: tuple[int, ...]
    complaint: str

    def __str__(self) -> str:
        """Say it in one line."""
        where = " and ".join(f"line {line}" for line in self.lines)
        return f"{where}: {self.complaint} (law: {self.law.value})"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict and its figures."""

    verdict: Verdict
    posts: int
    reads: int
    acknowledged: int
    lost: int
    duplicated: int
    stale_reads: int
    violations: int
    findings: tuple[Finding, ...]
    """The first of them, in the order in which they were found."""
    unconfirmed: tuple[int, ...]
    """Lines of acknowledged posts that no later read covers; the first of them."""
