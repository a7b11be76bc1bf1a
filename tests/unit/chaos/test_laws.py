"""The judge calls good histories good, and every mutation of one violated."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.history import Line, Post, Read
from chaos.judgement import Law, Verdict
from chaos.laws import judged
from tests.unit.chaos.channels import AUDIT_LIMIT, good_history


def post(text: str, seq: int | None, at: int) -> Post:
    return Post("tenants/eu/acme", "general", "ann", f"id {text}", text, seq, at, at + 5, "ok")


def read(at: int, *texts: str | None, first: int = 1, limit: int = AUDIT_LIMIT) -> Read:
    posts = tuple(enumerate(texts, start=first))
    return Read("tenants/eu/acme", "general", "bob", f"read {at}", limit, posts, at, at + 5, "ok")


GOOD: list[Line] = [
    post("one", 1, 100),
    read(110, "one"),
    post("two", 2, 120),
    post("three", 3, 130),
    read(140, "two", "three", first=2, limit=2),
    post("four", 4, 150),
    read(200, "one", "two", "three", "four"),
]


def without(index: int) -> Callable[[list[Line]], list[Line]]:
    return lambda lines: lines[:index] + lines[index + 1 :]


def changed(index: int, line: Line) -> Callable[[list[Line]], list[Line]]:
    return lambda lines: [*lines[:index], line, *lines[index + 1 :]]


def added(line: Line) -> Callable[[list[Line]], list[Line]]:
    return lambda lines: [*lines, line]


def reordered(lines: list[Line]) -> list[Line]:
    return [*lines[:2], post("two", 3, 120), post("three", 2, 130), *lines[4:]]


MUTATIONS = [
    pytest.param(without(2), Law.UNWRITTEN, id="an acknowledged line removed"),
    pytest.param(lambda lines: [*lines[:3], *lines[2:]], Law.ONCE, id="an acknowledged line doubled"),
    pytest.param(reordered, Law.LOST, id="two acknowledged posts exchanged"),
    pytest.param(added(read(160, "one", "two", "three")), Law.STALE, id="a stale read"),
    pytest.param(added(read(300)), Law.STALE, id="an empty read at the end"),
    pytest.param(changed(6, read(200, "one", "two", "three", "four", "two")), Law.ONCE, id="a post on two positions"),
    pytest.param(
        added(replace(post("two", 5, 160), request_id="other")), Law.ONCE, id="a post acknowledged at two positions"
    ),
    pytest.param(changed(6, read(200, "one", "two", "three")), Law.LOST, id="missing from the audit"),
    pytest.param(changed(6, read(200, "one", "two", "four")), Law.LOST, id="missing in the middle of the audit"),
    pytest.param(added(read(210, "one", "two", "three", "four", "five")), Law.UNWRITTEN, id="a post from nowhere"),
    pytest.param(
        added(replace(post("three", 3, 130), channel="random", request_id="x")), Law.ONCE, id="a post in two channels"
    ),
    pytest.param(
        changed(5, replace(post("four", None, 150), outcome="failed")), Law.FAILED, id="a failed post present"
    ),
    pytest.param(
        lambda lines: [*lines[:3], post("three", 2, 130), *lines[4:]], Law.ONCE, id="two posts at one position"
    ),
    pytest.param(
        lambda lines: [post("one", 2, 100), read(110), post("two", 1, 120), read(200, "two", "one")],
        Law.ORDER,
        id="a later post before an acknowledged one",
    ),
    pytest.param(
        lambda lines: [replace(post("one", None, 100), outcome="unknown"), read(110, "one"), read(120)],
        Law.MONOTONIC,
        id="a read that goes back",
    ),
    pytest.param(lambda lines: [read(90, "one"), *lines], Law.FUTURE, id="a read of a post not yet begun"),
    pytest.param(added(read(210, "four", first=4, limit=2)), Law.WINDOW, id="fewer posts than the limit"),
    pytest.param(
        added(read(210, "two", "three", "four", first=2, limit=2)), Law.WINDOW, id="more posts than the limit"
    ),
    pytest.param(lambda lines: [post("one", 2, 100), read(200, "zero", "one")], Law.UNWRITTEN, id="a ghost below"),
    pytest.param(lambda lines: [post("one", 2, 100)], Law.ORDER, id="a gap that nobody can fill"),
]


def test_the_unmutated_history_is_good() -> None:
    assert judged(GOOD).verdict is Verdict.GOOD


@pytest.mark.parametrize(("mutation", "law"), MUTATIONS)
def test_a_mutation_is_found_under_its_law(mutation: Callable[[list[Line]], list[Line]], law: Law) -> None:
    judgement = judged(mutation(GOOD))
    assert judgement.verdict is Verdict.VIOLATED
    assert law in {finding.law for finding in judgement.findings}


def test_lines_are_named() -> None:
    (finding,) = judged([*GOOD, read(210, "one", "two", "three")]).findings[:1]
    assert str(finding).startswith("line 6 and line 8: ")


def test_an_acknowledged_post_that_no_later_read_covers_is_undecided() -> None:
    judgement = judged(GOOD[:-1])
    assert judgement.verdict is Verdict.UNDECIDED
    assert judgement.unconfirmed == (6,)


def test_an_empty_history_is_undecided() -> None:
    assert judged([]).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("present", [True, False])
def test_a_post_of_unknown_outcome_may_be_present_or_absent(present: bool) -> None:
    unknown = replace(post("maybe", None, 160), outcome="unknown", completed_ns=None)
    texts = ("one", "two", "three", "four", *(("maybe",) if present else ()))
    assert judged([*GOOD[:-1], unknown, read(200, *texts)]).verdict is Verdict.GOOD


def test_a_deleted_post_still_stands_at_its_seq() -> None:
    assert judged([*GOOD[:-1], read(200, "one", None, "three", "four")]).verdict is Verdict.GOOD


@settings(deadline=None)  # how busy the machine is must not fail a law
@given(st.integers(0, 2**32), st.integers(1, 120))
def test_every_history_of_a_linearizable_channel_is_good(seed: int, operations: int) -> None:
    judgement = judged(good_history(seed, operations=operations))
    assert judgement.verdict is Verdict.GOOD, judgement.findings


@settings(deadline=None)  # how busy the machine is must not fail a law
@given(st.integers(0, 2**32), st.integers(1, 120))
def test_the_order_of_lines_in_the_file_means_nothing(seed: int, operations: int) -> None:
    lines = good_history(seed, operations=operations)
    random.Random(seed).shuffle(lines)
    assert judged(lines).verdict is Verdict.GOOD


@settings(deadline=None)  # how busy the machine is must not fail a law
@given(st.integers(0, 2**32), st.integers(10, 120), st.data())
def test_an_acknowledged_post_taken_out_of_every_read_is_lost(seed: int, operations: int, data: st.DataObject) -> None:
    lines = good_history(seed, operations=operations)
    acknowledged = [line for line in lines if isinstance(line, Post) and line.outcome == "ok"]
    if not acknowledged:
        return
    victim = data.draw(st.sampled_from(acknowledged))
    robbed = [_without_post(line, victim) if isinstance(line, Read) else line for line in lines]
    judgement = judged(robbed)
    assert judgement.verdict is Verdict.VIOLATED
    assert judgement.lost > 0


def _without_post(line: Read, victim: Post) -> Read:
    """Let a read show the channel as if the victim had never been in it, and later posts had moved up."""
    if line.channel != victim.channel:
        return line
    assert victim.seq is not None
    kept = [(seq if seq < victim.seq else seq - 1, text) for seq, text in line.posts if text != victim.text]
    return replace(line, posts=tuple(kept), limit=max(1, len(kept)) if kept and kept[0][0] > 1 else line.limit)
