"""A space-time diagram in text: processes as columns, time downwards, messages as arrows, faults across.

It is drawn from a trace of lines ``time text``; the text is ``a -> b what, what`` for messages that arrive together
(``what`` is a word and, if it is about a shard, its number up to a colon), begins with a process's name for what that
process does, and is anything else for what happens to the world.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

WIDTH = 118
TIME_WIDTH = 11
COLUMN_MIN, COLUMN_MAX = 13, 20
ROWS = 60
ROUTINE = frozenset("Sign Register Report Led Confer Conferred Watch Unwatch Age Heartbeat".split())
"""Messages that everybody sends all the time."""
MEASURED = re.compile(r"\w+\.measured\b")
SHARD = re.compile(r"shard(?:s/|', |=| )(\d+)")
FACT = re.compile(r"\('(\w+)', '?([^(),']*)'?\)")


@dataclass(frozen=True, slots=True)
class Message:
    """Something arrives."""

    at_s: float
    source: str
    target: str
    what: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Deed:
    """A process does something, or something is done to it."""

    at_s: float
    host: str
    what: str


@dataclass(frozen=True, slots=True)
class News:
    """Something happens to the world."""

    at_s: float
    what: str


Moment: TypeAlias = Message | Deed | News


def moments(trace: Iterable[str], hosts: Sequence[str], shard: int | None = None) -> Iterator[Moment]:
    """Read a trace; what is routine, or about another shard than the one that matters, is left out."""
    known = frozenset(hosts)
    for line in trace:
        at, _, text = line.strip().partition(" ")
        at_s, words = float(at), text.split()
        if len(words) > 2 and words[1] == "->":
            parts = text.split(None, 3)[3].split(", ")
            what = ", ".join(part for part in parts if part not in ROUTINE and _is_about(part, shard))
            if what:
                yield Message(at_s, words[0], words[2], what)
        elif words and words[0] in known:
            if not MEASURED.match(words[1]) and _concerns(text, shard):
                yield Deed(at_s, words[0], _plain(text.partition(" ")[2]))
        else:
            yield News(at_s, text)


def diagram(
    trace: Iterable[str], *, hosts: Sequence[str], until_s: float, shard: int | None = None, rows: int = ROWS
) -> str:
    """Draw the last moments up to a time.

    Args:
        trace: all of it, or its end.
        hosts: every process, in the order of their columns; those that take no part get none.
        until_s: the last moment shown.
        shard: the one that matters; None: all do.
        rows: how many moments at most.
    """
    found = [moment for moment in moments(trace, hosts, shard) if moment.at_s <= until_s]
    shown = list(_joined(found))[-rows:]
    columns = _columns(shown, hosts)
    if not columns:
        return "\n".join(f"{moment.at_s:10.4f} {moment.what}" for moment in shown)
    return "\n".join(line.rstrip() for line in _drawn(shown, columns))


def _is_about(part: str, shard: int | None) -> bool:
    """Say whether a message is about this shard, or about none."""
    number = part.partition(" ")[2].partition(":")[0]
    return shard is None or not number.isdecimal() or int(number) == shard


def _concerns(text: str, shard: int | None) -> bool:
    """Say whether a deed names this shard, or none."""
    named = SHARD.findall(text)
    return shard is None or not named or str(shard) in named


def _plain(text: str) -> str:
    """Write facts as ``name=value``."""
    event, _, facts = text.partition(" [")
    pairs = [f"{name}={value}" for name, value in FACT.findall(facts)]
    return " ".join([event, *pairs])


def _joined(found: Iterable[Moment]) -> Iterator[Moment]:
    """Count equal messages that follow each other as one."""
    held: Moment | None = None
    for moment in found:
        if isinstance(held, Message) and isinstance(moment, Message) and _same(held, moment):
            held = replace(held, times=held.times + 1)
            continue
        if held is not None:
            yield held
        held = moment
    if held is not None:
        yield held


def _same(a: Message, b: Message) -> bool:
    return (a.source, a.target, a.what) == (b.source, b.target, b.what)


def _columns(shown: Sequence[Moment], hosts: Sequence[str]) -> dict[str, int]:
    """Give the busiest processes a place each; the middle of their columns, in characters."""
    busy: Counter[str] = Counter()
    for moment in shown:
        match moment:
            case Message(_, source, target):
                busy.update((source, target))
            case Deed(_, host):
                busy[host] += 3  # What somebody does says more than a message.
            case News():
                pass
    most = (WIDTH - TIME_WIDTH) // COLUMN_MIN
    taken = {name for name, _ in busy.most_common(most)}
    names = [name for name in hosts if name in taken]
    width = min(COLUMN_MAX, (WIDTH - TIME_WIDTH) // max(1, len(names)))
    return {name: TIME_WIDTH + n * width + 1 for n, name in enumerate(names)}


def _drawn(shown: Sequence[Moment], columns: dict[str, int]) -> Iterator[str]:
    head = [" "] * WIDTH
    _write(head, 4, "time s")
    for name, at in columns.items():
        _write(head, at, name)
    yield "".join(head)
    for moment in shown:
        line = [" "] * WIDTH
        _write(line, 0, f"{moment.at_s:{TIME_WIDTH - 1}.4f}")
        for at in columns.values():
            line[at] = "|"
        if _fits(moment, columns):
            _draw(line, moment, columns)
            yield "".join(line)


def _fits(moment: Moment, columns: dict[str, int]) -> bool:
    match moment:
        case Message(_, source, target):
            return source in columns and target in columns
        case Deed(_, host):
            return host in columns
        case News():
            return True


def _draw(line: list[str], moment: Moment, columns: dict[str, int]) -> None:
    match moment:
        case Message(_, source, target, what, times):
            label = what if times == 1 else f"{what} x{times}"
            _arrow(line, columns[source], columns[target], label)
        case Deed(_, host, what):
            _write(line, columns[host], f"* {what}")
        case News(_, what):
            _write(line, TIME_WIDTH, f"~~~ {what} ".ljust(WIDTH - TIME_WIDTH, "~"))


def _arrow(line: list[str], source: int, target: int, label: str) -> None:
    left, right = min(source, target), max(source, target)
    for at in range(left + 1, right):
        line[at] = "-"
    line[source] = "o"
    line[target - 1 if target > source else target + 1] = ">" if target > source else "<"
    room = right - left - 4
    if room > 0:
        cut = label[:room]
        _write(line, left + 2 + (room - len(cut)) // 2, cut)


def _write(line: list[str], at: int, text: str) -> None:
    for n, letter in enumerate(text[: WIDTH - at]):
        line[at + n] = letter
