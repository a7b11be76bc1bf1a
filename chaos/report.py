"""``report.html``: one self-contained page, the verdict first."""

from collections.abc import Iterable, Sequence
from html import escape

from chaos.chart import Line, Shade, chart
from chaos.faults import Deed
from chaos.figures import spread
from chaos.report_style import STYLE
from chaos.run import Done, Run
from chaos.verdict import Held, Outcome, Verdict

MARK_S = 1.0
"""How wide a moment without an end is shaded."""
TRIPS_SHOWN = 12
NONE = "&ndash;"


def page(run: Run, verdict: Verdict) -> str:
    """Render a rehearsal."""
    body = (
        _head(run, verdict),
        _tiles(run),
        _limits(verdict.held),
        _faults(run.done),
        _charts(run),
        _planned(run),
        _fleet(run),
        _repeat(run),
    )
    title = escape(f"{verdict.outcome.value}: {run.scenario.title}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def sentence(run: Run, verdict: Verdict) -> str:
    """Say the verdict in one sentence."""
    lost = run.judgement.lost
    match verdict.outcome:
        case Outcome.PASS:
            return (
                f"Of {run.judgement.acknowledged:,} acknowledged writes none was lost, none stands twice, and no read "
                f"was stale; {run.bystanders.operations:,} operations of bystanders, none failed."
            )
        case Outcome.FAIL:
            return f"{lost:,} of {run.judgement.acknowledged:,} acknowledged writes lost. What did not hold:"
        case Outcome.INVALID:
            return "This run proves nothing, in either direction:"


def _head(run: Run, verdict: Verdict) -> str:
    causes = _list(f"{cause.what}: {cause.figure}. {_capital(cause.remedy)}." for cause in verdict.causes)
    return (
        f"<h1>{escape(run.scenario.title)}</h1>"
        f'<p class="soft">{escape(run.scenario.description)}</p>'
        f'<div class="verdict {verdict.outcome.value}"><b>{verdict.outcome.value}</b>'
        f"<p>{escape(sentence(run, verdict))}</p>{causes}</div>"
        f'<p class="soft">{escape(run.begun)}, seed {run.seed}, {run.length_s:.0f} s of load on {escape(run.machine)}. '
        f"{run.tenants:,} tenants in use over {run.shards:,} shards; the {run.tenants_existing:,} that exist are "
        "seeded weights per shard, log-normal with a Pareto tail.</p>"
    )


def _tiles(run: Run) -> str:
    figures = (
        (f"{run.judgement.acknowledged:,}", "writes acknowledged"),
        (f"{run.judgement.lost:,}", "lost"),
        (f"{run.judgement.duplicated:,}", "duplicated"),
        (f"{run.judgement.stale_reads:,}", "stale reads"),
        (f"{run.bystanders.failed:,}", f"of {run.bystanders.operations:,} bystanders' operations failed"),
        (f"{run.load.acknowledged_per_s:.0f}/s", "writes acknowledged, whole run"),
        (f"{run.load.p99_ms:.0f} ms", "p99 of writes, whole run"),
        (f"{run.load.late_ratio:.2%}", "of operations sent late"),
    )
    tiles = (f'<div class="tile"><b>{figure}</b><span>{label}</span></div>' for figure, label in figures)
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _limits(held: Sequence[Held]) -> str:
    rows = (
        f"<tr><td>{escape(_capital(item.limit.name))}</td><td class=n>{item.limit.most:g}</td>"
        f"<td class=n>{'not exercised' if item.measured is None else f'{item.measured:.4g}'}</td>"
        f"<td>{_mark(item.holds)}</td></tr>"
        for item in held
    )
    return _table("What had to hold", ("", "n:At most", "n:Measured", ""), rows)


def _faults(done: Iterable[Done]) -> str:
    head = ("At", "What", "Receipt", "n:Shards", "n:Coverage", "n:Gap p50", "n:p99", "n:max", "Detection and failover")
    return _table("Faults", head, map(_fault, done))


def _fault(done: Done) -> str:
    gaps = done.gaps
    found = spread(gaps.seconds if gaps is not None else ())
    cells: tuple[str, ...] = (NONE,) * 5
    if gaps is not None and gaps.touched:
        cells = (
            f"{gaps.touched}",
            f"{gaps.coverage:.0%}",
            *(f"{value:.2f} s" for value in (found.p50, found.p99, found.max)),
        )
    moments = _list(f"+{moment.after_s:.2f} s {moment.what}" for moment in done.moments)
    evidence = f"<details><summary>evidence</summary>{_list(done.evidence)}</details>" if done.evidence else ""
    ended = "" if done.ended_at_s is None else f" until {done.ended_at_s:.1f} s"
    proof = NONE if done.deed is Deed.DRAIN else _mark(done.proved)
    return (
        f'<tr class="key {done.deed.value}"><td class=n>{done.at_s:.1f} s</td>'
        f'<td>{escape(done.name)}<br><span class="soft">{done.deed.value} {escape(done.target)}{ended}</span></td>'
        f"<td>{proof}{evidence}</td>"
        + "".join(f"<td class=n>{cell}</td>" for cell in cells)
        + f"<td>{moments}</td></tr>"
    )


def _charts(run: Run) -> str:
    shades = [
        Shade(
            done.target.removeprefix("dataCenters/"), done.deed.value, done.at_s, done.ended_at_s or done.at_s + MARK_S
        )
        for done in run.done
    ]
    seconds = run.seconds

    def curve(label: str, colour: str, field: str) -> Line:
        return Line(label, colour, [(second.at_s, float(getattr(second, field))) for second in seconds])

    charts = (
        chart(
            "Acknowledged per second",
            "",
            [
                curve("writes", "blue", "writes_per_s"),
                curve("reads", "teal", "reads_per_s"),
                curve("failed", "red", "failed_per_s"),
            ],
            shades,
            length_s=run.length_s,
        ),
        chart(
            "Latency from the intended send time",
            " ms",
            [
                curve("writes p99", "blue", "write_p99_ms"),
                curve("writes p50", "amber", "write_p50_ms"),
                curve("reads p99", "teal", "read_p99_ms"),
            ],
            shades,
            length_s=run.length_s,
        ),
        chart("Shards on one copy", "", [curve("exposed", "violet", "exposed")], shades, length_s=run.length_s),
    )
    return "<h2>Over time</h2>" + "".join(charts)


def _planned(run: Run) -> str:
    if not run.planned:
        return ""
    gap, beyond = spread([p.gap_ms for p in run.planned]), spread([p.beyond_ms for p in run.planned])
    sampled = spread(run.sampled_gap_ms)
    rows = (
        f"<tr><td>{name}</td>" + "".join(f"<td class=n>{value:.1f}</td>" for value in (s.p50, s.p99, s.max)) + "</tr>"
        for name, s in (
            ("Stopped admitting to new owner admitting, ms", gap),
            ("The same beyond the round trips and the store's write, ms", beyond),
            (f"Longest gap between acknowledgements, {sampled.count} shards written every 10 ms, ms", sampled),
        )
    )
    head = (f"{len(run.planned)} switchovers", "n:p50", "n:p99", "n:max")
    failed = f"<p>{run.planned_writes.operations:,} writes meanwhile, {run.planned_writes.failed:,} failed.</p>"
    return _table("Planned moves", head, rows) + failed


def _fleet(run: Run) -> str:
    cores, rejoined = run.cores, run.rejoined
    facts = _list(
        (
            f"Processor: idle fleet {cores.idle_fleet:.2f} cores, steady load {cores.steady_fleet:.2f} cores, "
            f"load and probes themselves {cores.steady_load:.2f} cores.",
            f"Returned copies: {rejoined.copies}, of which {rejoined.reused} found a common prefix and were reused; "
            f"{rejoined.orphaned} entries moved to orphan/.",
        )
    )
    worst = sorted(run.trips, key=lambda trip: abs(trip.seen_ms - trip.asked_ms), reverse=True)[:TRIPS_SHOWN]
    rows = (
        f"<tr><td>{escape(trip.source)} to {escape(trip.target)}</td><td class=n>{trip.asked_ms:.1f}</td>"
        f"<td class=n>{trip.seen_ms:.1f}</td></tr>"
        for trip in worst
    )
    trips = _table(f"Round trips, ms: {len(run.trips)} measured, the worst matches", ("", "n:Asked", "n:Seen"), rows)
    return f"<h2>The fleet</h2>{facts}" + (trips if run.trips else "")


def _repeat(run: Run) -> str:
    return f"<h2>Repeat this run</h2><code>{escape(run.command)}</code>"


def _table(title: str, head: Iterable[str], rows: Iterable[str]) -> str:
    cells = "".join(
        f"<th class=n>{escape(cell[2:])}</th>" if cell.startswith("n:") else f"<th>{escape(cell)}</th>" for cell in head
    )
    return f'<h2>{escape(title)}</h2><div class="scroll"><table><tr>{cells}</tr>{"".join(rows)}</table></div>'


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _mark(holds: bool) -> str:
    return '<span class="ok">✓ yes</span>' if holds else '<span class="bad">✗ no</span>'


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
