"""A rehearsal that went well, to change one thing of at a time."""

from chaos.bystanders import Tally
from chaos.faults import Deed
from chaos.io.load_scenario import shipped
from chaos.judgement import Judgement
from chaos.judgement import Verdict as Word
from chaos.probes import Gaps
from chaos.run import Cores, Done, LoadFigures, Moment, PlannedGap, Rejoined, Run, Second, Trip
from core.names import ShardId

JUDGEMENT = Judgement(
    verdict=Word.GOOD,
    posts=33_410,
    reads=66_020,
    acknowledged=33_402,
    lost=0,
    duplicated=0,
    stale_reads=0,
    violations=0,
    findings=(),
    unconfirmed=(),
)


def second(at_s: float) -> Second:
    stalled = 10 <= at_s < 11.5 or 25 <= at_s < 27.5
    exposed = 120 if 10 < at_s < 20 else 60 if 26 < at_s < 34 else 0
    return Second(
        at_s=at_s,
        writes_per_s=200.0 if stalled else 300.0,
        reads_per_s=420.0 if stalled else 600.0,
        failed_per_s=0.0,
        write_p50_ms=24.0,
        write_p99_ms=1_400.0 if stalled else 60.0,
        read_p99_ms=1_300.0 if stalled else 22.0,
        exposed=exposed,
    )


KILL = Done(
    name="fra1 dies, with the leader",
    deed=Deed.KILL,
    target="dataCenters/fra1",
    at_s=10.0,
    ended_at_s=58.0,
    proved=True,
    evidence=("fra1-c1: dead, connection refused", "fra1-cp: dead, connection refused"),
    gaps=Gaps(touched=123, covered=123, seconds=tuple(1.1 + n / 300 for n in range(123))),
    moments=(Moment(0.31, "verdict on dataCenters/fra1"), Moment(0.88, "evacuation recorded")),
)
PAUSE = Done(
    name="iad1 falls silent",
    deed=Deed.PAUSE,
    target="dataCenters/iad1",
    at_s=25.0,
    ended_at_s=35.0,
    proved=True,
    evidence=("iad1-c1: frozen, connected, no answer",),
    gaps=Gaps(touched=164, covered=163, seconds=tuple(2.0 + n / 400 for n in range(163))),
)
DRAIN = Done(
    name="waw1 is drained",
    deed=Deed.DRAIN,
    target="dataCenters/waw1",
    at_s=75.0,
    ended_at_s=98.0,
    proved=True,
    evidence=(),
    gaps=None,
)
RUN = Run(
    scenario=shipped("default"),
    seed=1,
    begun="2026-11-24 17:20",
    machine="2 cores",
    command="twinhold rehearse --seed 1",
    length_s=100.0,
    done=(KILL, PAUSE, DRAIN),
    judgement=JUDGEMENT,
    bystanders=Tally(80_112, 0),
    leaderless=Tally(9_004, 0),
    planned_writes=Tally(6_871, 0),
    planned=tuple(PlannedGap(ShardId(n), "waw1-c1", "ber1-c2", 18.0 + n / 10, 12.0) for n in range(60)),
    sampled_gap_ms=(31.0, 28.0),
    load=LoadFigures(sent=100_000, late=12, acknowledged_per_s=298.0, p99_ms=410.0),
    seconds=tuple(second(n / 2) for n in range(200)),
    cores=Cores(idle_fleet=0.32, steady_fleet=0.91, steady_load=0.45),
    trips=(Trip("fra1-c1", "ber1-c1", 6.9, 7.2), Trip("iad1-c1", "pdx1-c1", 54.8, 55.1)),
    rejoined=Rejoined(copies=123, reused=123, orphaned=4),
    tenants=2_000,
    tenants_existing=6_000_000,
    shards=1_024,
    missed=(),
    audit_failed=0,
    cut_short=False,
)
