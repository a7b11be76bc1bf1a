"""What nodes told in their logs becomes gaps, trips and counts of returned copies."""

from chaos.moments import Decision, moments
from chaos.told import ADMITTING, LINK, REJOINED, STOPPED, Told, planned_gaps, rejoined, switchovers, trips
from core.names import DcId


def told(process: str, event: str, **facts: object) -> Told:
    return Told(process, {"event": event, **facts})


SWITCHOVER = [
    told("ber1-c1", ADMITTING, shard=7, boottime_s=100.050),
    told("waw1-c1", STOPPED, shard=7, boottime_s=100.000),
    told("waw1-c1", STOPPED, shard=8, boottime_s=101.000),
]


def test_stopped_is_paired_with_the_next_admitting_elsewhere_and_an_unfinished_one_is_left_out() -> None:
    ((shard, source, target, gap_s),) = switchovers(SWITCHOVER)
    assert (shard, source, target) == (7, "waw1-c1", "ber1-c1")
    assert abs(gap_s - 0.05) < 1e-9


def test_a_switchover_that_was_called_off_is_no_gap() -> None:
    again = [told("waw1-c1", ADMITTING, shard=8, boottime_s=101.5)]
    assert len(switchovers([*SWITCHOVER, *again])) == 1


def test_the_allowance_is_the_pair_the_leader_and_the_store() -> None:
    waw, ber, fra = DcId("waw1"), DcId("ber1"), DcId("fra1")
    rtt_s = {(waw, ber): 0.008, (waw, fra): 0.012}
    (gap,) = planned_gaps(SWITCHOVER, leader_dc=fra, rtt_s=rtt_s, store_s={7: 0.010})
    assert round(gap.allowance_ms, 3) == 30.0
    assert round(gap.beyond_ms, 3) == 20.0


def test_returned_copies_are_counted() -> None:
    found = rejoined(
        [
            told("fra1-c1", REJOINED, shard=1, common_lsn=10, orphaned=2, snapshot=False),
            told("fra1-c1", REJOINED, shard=2, common_lsn=0, orphaned=0, snapshot=True),
        ]
    )
    assert (found.copies, found.reused, found.orphaned) == (2, 1, 2)


def test_the_latest_measurement_of_a_link_counts() -> None:
    lines = [told("fra1-c1", LINK, peer="ber1-c1", asked_ms=6.9, seen_ms=seen_ms) for seen_ms in (9.0, 7.1)]
    (trip,) = trips(lines)
    assert (trip.asked_ms, trip.seen_ms) == (6.9, 7.1)


def test_decisions_after_a_fault_are_summed_up_by_kind() -> None:
    decisions = [
        Decision(9.0, "verdict.reached", "dataCenters/par1"),
        Decision(10.3, "verdict.reached", "dataCenters/fra1"),
        Decision(11.1, "failover.promoted", "shards/1"),
        Decision(11.3, "failover.promoted", "shards/2"),
        Decision(11.2, "move.started", "shards/3"),
        Decision(11.4, "verdict.reached", "dataCenters/iad1"),
    ]
    first, second = moments(decisions, injected_s=10.0, until_s=11.35)
    assert first.what == "verdict: dataCenters/fra1"
    assert round(first.after_s, 3) == 0.3
    assert second.what == "standby promoted: shards/1 first, 2 in all, the last at +1.30 s"
