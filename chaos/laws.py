"""The judge of a history: takes its lines in any order and in one pass, then says which laws it breaks.

A channel is a list that only grows. For a history to be good there must be one order of its operations in which each
lies between its invocation and its completion, every acknowledged post stands exactly once at its seq, every read
shows the newest posts of that moment, a post of unknown outcome stands nowhere or once, and a failed one nowhere.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from chaos.history import Line, Post, Read, Seen
from chaos.judgement import Finding, Judgement, Law, Verdict
from chaos.order import NEVER_NS, Span, Window, afterwards, disorder, filled

FINDINGS_MAX = 100
"""How many findings are kept with their lines; all are counted."""


@dataclass(slots=True)
class _Channel:
    """What has been read of one channel so far."""

    texts: list[str | None] = field(default_factory=list)
    """What reads showed at each position, from 1; None: deleted, or never shown."""
    shown: list[int] = field(default_factory=list)
    """The line that showed it first; 0: none did."""
    posts: list[Span] = field(default_factory=list)
    """Acknowledged ones."""
    unknown: list[Span] = field(default_factory=list)
    """Posts of unknown outcome, wherever they stand."""
    windows: list[Window] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Say how many posts the channel must have had."""
        return max(len(self.texts), *(post.seq for post in self.posts), 0)

    def is_shown(self, seq: int) -> bool:
        """Say whether a read showed a position."""
        return seq <= len(self.shown) and self.shown[seq - 1] > 0

    def room_for(self, end: int) -> None:
        """Let the channel have at least this many positions."""
        grown = end - len(self.texts)
        if grown > 0:
            self.texts.extend([None] * grown)
            self.shown.extend([0] * grown)


class Judge:
    """Reads a history; memory grows with its posts and with the number of its reads, not with what they show."""

    def __init__(self) -> None:
        self._channels: dict[tuple[str, str], _Channel] = {}
        self._by_text: dict[str, tuple[Post, int]] = {}
        self._by_line: dict[int, Post] = {}
        self._ids: dict[tuple[str, str, str], int] = {}
        self._findings: list[Finding] = []
        self._violations = 0
        self._lost: set[int] = set()
        self._duplicated: set[str] = set()
        self._stale: set[int] = set()
        self._unconfirmed: list[int] = []
        self._posts = self._reads = self._acknowledged = 0

    def take(self, line: Line, number: int) -> None:
        """Take one line; ``number`` is its place in the file, from 1."""
        self._one_line_per_operation(line, number)
        name = (line.tenant, line.channel)
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = _Channel()
        match line:
            case Post():
                self._take_post(channel, line, number)
            case Read():
                self._reads += 1
                if line.outcome == "ok" and line.completed_ns is not None:
                    self._take_read(channel, line, line.completed_ns, number)

    def judgement(self) -> Judgement:
        """Judge everything taken; to be called once, at the end."""
        for name, channel in self._channels.items():
            self._once_each(channel)
            self._written(name, channel)
            self._present(channel)
            self._in_order(channel)
        return Judgement(
            verdict=self._verdict(),
            posts=self._posts,
            reads=self._reads,
            acknowledged=self._acknowledged,
            lost=len(self._lost),
            duplicated=len(self._duplicated),
            stale_reads=len(self._stale),
            violations=self._violations,
            findings=tuple(self._findings),
            unconfirmed=tuple(sorted(self._unconfirmed)[:FINDINGS_MAX]),
        )

    def _verdict(self) -> Verdict:
        if self._violations:
            return Verdict.VIOLATED
        nothing = self._posts + self._reads == 0
        return Verdict.UNDECIDED if self._unconfirmed or nothing else Verdict.GOOD

    def _found(self, finding: Finding) -> None:
        self._violations += 1
        if finding.law is Law.STALE:
            self._stale.add(finding.lines[-1])
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(finding)

    def _one_line_per_operation(self, line: Line, number: int) -> None:
        if not line.request_id:
            return
        first = self._ids.setdefault((line.tenant, line.client, line.request_id), number)
        if first != number:
            self._found(Finding(Law.ONCE, (first, number), f"request {line.request_id} has two lines"))

    def _take_post(self, channel: _Channel, post: Post, number: int) -> None:
        self._posts += 1
        first, where = self._by_text.setdefault(post.text, (post, number))
        if where != number:
            self._found(Finding(Law.ONCE, (where, number), f"{post.text!r} was posted twice"))
            if "ok" in (first.outcome, post.outcome):
                self._duplicated.add(post.text)
        if post.seq is not None and post.completed_ns is not None:
            self._acknowledged += 1
            self._by_line[number] = post
            channel.posts.append(Span(post.seq, post.invoked_ns, post.completed_ns, number))
        elif post.outcome == "unknown":
            channel.unknown.append(Span(0, post.invoked_ns, NEVER_NS, number))

    def _take_read(self, channel: _Channel, read: Read, completed_ns: int, number: int) -> None:
        seqs, texts = _columns(read.posts)
        complaint = _window_complaint(seqs, read.limit)
        if complaint:
            self._found(Finding(Law.WINDOW, (number,), complaint))
            return
        last, first = (seqs[-1], seqs[0]) if seqs else (0, 1)
        channel.windows.append(Window(first, Span(last, read.invoked_ns, completed_ns, number)))
        channel.room_for(last)
        # Mostly all is known already: one comparison then.
        if channel.texts[first - 1 : last] != texts or None in texts:
            for seq, text in enumerate(texts, start=first):
                self._show(channel, seq, text, number)

    def _show(self, channel: _Channel, seq: int, text: str | None, number: int) -> None:
        before, where = channel.texts[seq - 1], channel.shown[seq - 1]
        channel.shown[seq - 1] = where or number
        if text is None or before == text:
            return
        if before is None:
            channel.texts[seq - 1] = text
            return
        self._found(Finding(Law.ONCE, (where, number), f"position {seq} holds {before!r} and {text!r}"))
        for held in (before, text):
            if held in self._by_text and self._by_text[held][0].outcome == "ok":
                self._lost.add(self._by_text[held][1])

    def _once_each(self, channel: _Channel) -> None:
        """See that no text stands at two positions, and that no position was acknowledged to two posts."""
        at: dict[str, int] = {}
        for seq, text in enumerate(channel.texts, start=1):
            first = seq if text is None else at.setdefault(text, seq)
            if text is not None and first != seq:
                self._duplicated.add(text)
                lines = (channel.shown[first - 1], channel.shown[seq - 1])
                self._found(Finding(Law.ONCE, lines, f"{text!r} stands at {first} and at {seq}"))
        holders: dict[int, int] = {}
        for post in channel.posts:
            holder = holders.setdefault(post.seq, post.line)
            if holder != post.line:
                self._found(Finding(Law.ONCE, (holder, post.line), f"two posts were acknowledged at {post.seq}"))

    def _written(self, name: tuple[str, str], channel: _Channel) -> None:
        """See that whatever was shown was posted into this channel, and did not fail."""
        for text, where in zip(channel.texts, channel.shown, strict=True):
            if text is None:
                continue
            post, line = self._by_text.get(text, (None, 0))
            if post is None:
                self._found(Finding(Law.UNWRITTEN, (where,), f"shows {text!r}, which nobody posted"))
            elif (post.tenant, post.channel) != name:
                self._found(Finding(Law.UNWRITTEN, (line, where), f"{text!r} was posted into another channel"))
            elif post.outcome == "failed":
                self._found(Finding(Law.FAILED, (line, where), f"{text!r} failed, and stands in the channel"))

    def _present(self, channel: _Channel) -> None:
        """See that every acknowledged post stands at its seq, as the reads after it say."""
        for post, later in afterwards(channel.posts, channel.windows):
            told = self._by_line[post.line].text
            held = channel.texts[post.seq - 1] if channel.is_shown(post.seq) else None
            if held is not None and held != told:
                complaint = f"{told!r} was acknowledged at {post.seq}, where {held!r} stands"
                self._found(Finding(Law.LOST, (post.line, channel.shown[post.seq - 1]), complaint))
                self._lost.add(post.line)
            elif later.lacking is not None and not later.covered:
                complaint = f"{told!r} was acknowledged at {post.seq}, and is missing"
                self._found(Finding(Law.LOST, (post.line, later.lacking), complaint))
                self._lost.add(post.line)
            elif not later.covered:
                self._unconfirmed.append(post.line)

    def _in_order(self, channel: _Channel) -> None:
        known = [*channel.posts, *self._placed_unknown(channel)]
        named = {post.line for post in known}
        free = [span for span in channel.unknown if span.line not in named]
        length = channel.length
        placed = filled(known, free, top=length, is_shown=channel.is_shown)
        occupied = {span.seq for span in (*known, *placed)}
        for seq in range(1, length + 1):
            if seq not in occupied and not channel.is_shown(seq):
                lines = [min((p for p in known if p.seq > seq), key=lambda span: span.seq).line]
                self._found(Finding(Law.ORDER, tuple(lines), f"position {seq} is empty: no post can stand there"))
                break
        for finding in disorder([*known, *placed], [window.span for window in channel.windows]):
            self._found(finding)

    def _placed_unknown(self, channel: _Channel) -> Iterator[Span]:
        """Yield the posts of unknown outcome that a read showed."""
        for seq, text in enumerate(channel.texts, start=1):
            post, line = (None, 0) if text is None else self._by_text.get(text, (None, 0))
            if post is not None and post.outcome == "unknown":
                yield Span(seq, post.invoked_ns, NEVER_NS, line)


def judged(lines: Iterable[Line]) -> Judgement:
    """Judge a whole history that is at hand; lines count from 1."""
    judge = Judge()
    for number, line in enumerate(lines, start=1):
        judge.take(line, number)
    return judge.judgement()


def _columns(posts: Sequence[Seen]) -> tuple[Sequence[int], list[str | None]]:
    if not posts:
        return (), []
    seqs, texts = zip(*posts, strict=True)
    return seqs, list(texts)


def _window_complaint(seqs: Sequence[int], limit: int) -> str:
    if not seqs:
        return ""
    if seqs[0] < 1 or tuple(seqs) != tuple(range(seqs[0], seqs[0] + len(seqs))):
        return "its posts do not ascend from 1 by one"
    if len(seqs) > limit:
        return f"shows {len(seqs)} posts, its limit is {limit}"
    if len(seqs) < limit and seqs[0] > 1:
        return f"begins at {seqs[0]} although its limit of {limit} leaves room for earlier posts"
    return ""
