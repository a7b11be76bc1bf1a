"""PASS, FAIL or INVALID: what a rehearsal proves, and if nothing, why not and what to do about it.

A breach of safety fails whatever else went wrong: a lost write needs no clean measurement. Everything else is judged
only if the run can be trusted: faults that took effect, a generator that kept time, probes that covered their shards,
a fleet that was steady before the first fault.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from math import sqrt
from typing import assert_never

from chaos.faults import Deed
from chaos.figures import percentile, spread
from chaos.judgement import Verdict as Word
from chaos.load import LATE_RATIO_MAX, LATE_S
from chaos.probes import COVERAGE_MIN
from chaos.run import Run
from chaos.scenario import Limit, Measure

SETTLE_S = 2.0
"""The load's first connections and tenants' first channels are not steady state."""
STEADY_RATE_MIN = 0.9
STEADY_P99_MAX_MS = 1_000.0


class Outcome(Enum):
    """What a rehearsal ends with."""

    PASS = "PASS"
    FAIL = "FAIL"
    INVALID = "INVALID"


EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INVALID: 10}
SAFETY = (Measure.LOST, Measure.DUPLICATED, Measure.STALE)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why it is not a PASS."""

    what: str
    figure: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.figure}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Held:
    """One limit, and what was measured."""

    limit: Limit
    measured: float | None
    """None: the run had nothing to measure it on."""

    @property
    def holds(self) -> bool:
        """Say whether the limit was kept."""
        return self.measured is None or self.measured <= self.limit.most


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict, its causes, and every limit next to what was measured."""

    outcome: Outcome
    causes: tuple[Cause, ...]
    held: tuple[Held, ...]


def verdict(run: Run) -> Verdict:
    """Judge a rehearsal."""
    held = tuple(Held(limit, measured(run, limit)) for limit in run.scenario.limits)
    unsafe = [*_unlawful(run), *(cause for cause in _broken(held) if cause[0] in SAFETY)]
    if unsafe:
        return Verdict(Outcome.FAIL, tuple(cause for _, cause in unsafe), held)
    untrusted = tuple(_untrusted(run))
    if untrusted:
        return Verdict(Outcome.INVALID, untrusted, held)
    broken = (*(cause for _, cause in _broken(held)), *_missed(run))
    return Verdict(Outcome.FAIL if broken else Outcome.PASS, broken, held)


def measured(run: Run, limit: Limit) -> float | None:
    """Find the figure that a limit is set on; None when there was nothing to measure."""
    match limit.measure:
        case Measure.LOST:
            return run.judgement.lost
        case Measure.DUPLICATED:
            return run.judgement.duplicated
        case Measure.STALE:
            return run.judgement.stale_reads
        case Measure.GAP_P99_S:
            return _gap_p99_s(run, limit.deed)
        case Measure.PLANNED_GAP_P99_MS:
            return percentile([gap.beyond_ms for gap in run.planned], 0.99) if run.planned else None
        case Measure.PLANNED_FAILED:
            return run.planned_writes.failed
        case Measure.BYSTANDERS_FAILED:
            return run.bystanders.failed
        case Measure.LEADERLESS_FAILED:
            return run.leaderless.failed
        case _:
            assert_never(limit.measure)


def _gap_p99_s(run: Run, deed: Deed | None) -> float | None:
    """Take the worst fault's p99: a good one must not hide a bad one."""
    found = [
        percentile(done.gaps.seconds, 0.99)
        for done in run.done
        if done.gaps is not None and done.gaps.seconds and deed in (None, done.deed)
    ]
    return max(found, default=None)


def _unlawful(run: Run) -> Iterator[tuple[Measure, Cause]]:
    judgement = run.judgement
    if judgement.verdict is Word.VIOLATED:
        first = f"{judgement.violations} found, the first: {judgement.findings[0]}"
        remedy = "repeat with the same seed, and read the journals of the shard's two nodes"
        yield Measure.LOST, Cause("the history breaks a law", first, remedy)


def _broken(held: tuple[Held, ...]) -> Iterator[tuple[Measure, Cause]]:
    for item in held:
        if not item.holds:
            figure = f"measured {item.measured:g}, at most {item.limit.most:g}"
            remedy = "see the fault's row and the events of that time in report.html"
            yield item.limit.measure, Cause(item.limit.name, figure, remedy)


def _missed(run: Run) -> Iterator[Cause]:
    for what in run.missed:
        yield Cause("not done in time", what, "see `events` of the control plane's leader for what it waited for")


def _untrusted(run: Run) -> Iterator[Cause]:
    if run.cut_short:
        yield Cause("cut short", f"stopped after {run.length_s:.0f} s", "let it run to its end")
    yield from _unproved(run)
    load = run.load
    if load.late_ratio > LATE_RATIO_MAX:
        figure = f"{load.late_ratio:.1%} of {load.sent} operations were sent more than {LATE_S * 1000:.0f} ms late"
        remedy = f"at most {LATE_RATIO_MAX:.0%} may: end what else uses this machine, or lower --rate"
        yield Cause("the load could not keep time", figure, remedy)
    yield from _unsteady(run)
    if run.audit_failed:
        yield Cause("audit incomplete", f"{run.audit_failed} channels could not be read at the end", "run it again")
    elif run.judgement.verdict is Word.UNDECIDED and not run.cut_short:
        count = len(run.judgement.unconfirmed)
        yield Cause("history undecided", f"{count} acknowledged posts or more are not covered", "run it again")


def _unproved(run: Run) -> Iterator[Cause]:
    for done in run.done:
        if done.deed is not Deed.DRAIN and not done.proved:
            seen = "; ".join(done.evidence) or "nothing could be seen of it"
            remedy = "a fault that did not happen proves nothing: see journal.json"
            yield Cause(f"no receipt for {done.deed.value} {done.target}", seen, remedy)
        if done.gaps is not None and done.gaps.coverage < COVERAGE_MIN:
            figure = f"{done.gaps.covered} of {done.gaps.touched} shards probed in time"
            remedy = f"at least {COVERAGE_MIN:.0%} must be: end what else uses this machine"
            yield Cause(f"low coverage of {done.deed.value} {done.target}", figure, remedy)


def _unsteady(run: Run) -> Iterator[Cause]:
    first_s = min((done.at_s for done in run.done), default=run.length_s)
    steady = [second for second in run.seconds if SETTLE_S < second.at_s <= first_s]
    if not steady or run.scenario.load.steady_s <= SETTLE_S:
        return
    remedy = "end what else uses this machine, or lower --rate"
    failed = sum(second.failed_per_s for second in steady)
    if failed:
        yield Cause("unsteady before the first fault", "operations failed", "see log.jsonl of the nodes")
    rate = sum(second.writes_per_s for second in steady) / len(steady)
    asked = run.scenario.load.writes_per_s
    if rate < steady_rate_min(asked, seconds=len(steady)):
        yield Cause("unsteady before the first fault", f"{rate:.0f} writes/s acknowledged of {asked} asked", remedy)
    p99_ms = percentile([second.write_p99_ms for second in steady], 0.5)
    if p99_ms > STEADY_P99_MAX_MS:
        yield Cause("unsteady before the first fault", f"writes took {p99_ms:.0f} ms at p99", remedy)


def steady_rate_min(asked_per_s: float, *, seconds: int) -> float:
    """Say how many writes per second must be acknowledged, seen over so many seconds.

    Writes begin at random moments, so a short look at a small load sees fewer by chance alone: a count of n spreads by
    the root of n (Poisson), and three of those are allowed where that is more than the tenth that always is.
    """
    count = asked_per_s * seconds
    return min(STEADY_RATE_MIN * asked_per_s, (count - 3 * sqrt(count)) / seconds)


def document(run: Run, judged: Verdict) -> dict[str, object]:
    """Write ``verdict.json``."""
    return {
        "verdict": judged.outcome.value,
        "causes": [{"cause": cause.what, "figure": cause.figure, "remedy": cause.remedy} for cause in judged.causes],
        "missed": list(run.missed),
        "scenario": run.scenario.file,
        "seed": run.seed,
        "command": run.command,
        "acknowledged": run.judgement.acknowledged,
        "lost": run.judgement.lost,
        "duplicated": run.judgement.duplicated,
        "stale_reads": run.judgement.stale_reads,
        "faults": [
            {
                "name": done.name,
                "kind": done.deed.value,
                "target": done.target,
                "at_s": round(done.at_s, 3),
                "receipt": done.proved,
                "evidence": list(done.evidence),
                "decisions": [f"+{moment.after_s:.3f} s {moment.what}" for moment in done.moments],
                "shards": done.gaps.touched if done.gaps is not None else 0,
                "coverage": round(done.gaps.coverage, 4) if done.gaps is not None else 1.0,
                "write_gap_s": spread(done.gaps.seconds if done.gaps is not None else ()).document(),
            }
            for done in run.done
        ],
        "planned": {
            "switchovers": len(run.planned),
            "gap_ms": spread([gap.gap_ms for gap in run.planned]).document(),
            "beyond_allowance_ms": spread([gap.beyond_ms for gap in run.planned]).document(),
            "sampled": len(run.sampled_gap_ms),
            "sampled_gap_ms": spread(run.sampled_gap_ms).document(),
            "failed_writes": run.planned_writes.failed,
        },
        "bystanders": {"operations": run.bystanders.operations, "failed": run.bystanders.failed},
        "leaderless": {"operations": run.leaderless.operations, "failed": run.leaderless.failed},
        "load": {
            "late_ratio": round(run.load.late_ratio, 5),
            "writes_per_s": round(run.load.acknowledged_per_s, 1),
            "p99_ms": round(run.load.p99_ms, 1),
        },
        "cores": {
            "idle_fleet": round(run.cores.idle_fleet, 2),
            "steady_fleet": round(run.cores.steady_fleet, 2),
            "steady_load": round(run.cores.steady_load, 2),
        },
        "rejoined": {
            "copies": run.rejoined.copies,
            "reused": run.rejoined.reused,
            "orphaned": run.rejoined.orphaned,
        },
        "limits": [
            {"name": item.limit.name, "most": item.limit.most, "measured": item.measured, "holds": item.holds}
            for item in judged.held
        ],
    }
