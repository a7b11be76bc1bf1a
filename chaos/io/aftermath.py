"""After a rehearsal: reads what it left in its folder, and makes values of it for the verdict and the report."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from chaos.bystanders import Census, Reach
from chaos.history import Line
from chaos.io.check import lines_of, without_cycles
from chaos.judgement import Judgement
from chaos.laws import Judge
from chaos.told import EVENTS, STORE, Told
from core.names import DcId, ShardId, tenant_name
from core.sharding import home_shard
from core.topology import Topology, rtt_table_s


def surveyed(history: Path, topology: Topology, reaches: list[Reach]) -> tuple[Judgement, Census]:
    """Judge a history and count its bystanders, in one pass."""
    judge, census, shards = Judge(), Census(reaches), dict[str, ShardId]()

    def shard(line: Line) -> ShardId:
        found = shards.get(line.tenant)
        if found is None:
            tenant = tenant_name(line.tenant)
            found = shards[line.tenant] = home_shard(tenant, topology.geography(tenant.geography))
        return found

    with without_cycles():
        for number, line in enumerate(lines_of(history), start=1):
            judge.take(line, number)
            census.take(line, shard(line))
        return judge.judgement(), census


def told_by(fleet: Path) -> Iterator[Told]:
    """Yield what the fleet's processes told in their logs, as far as a rehearsal wants to know it."""
    for path in sorted(fleet.glob("*/*/log.jsonl*")):
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                # Most lines are of no interest: do not parse them.
                if any(event in text for event in EVENTS):
                    facts = _parsed(text)
                    if facts.get("event") in EVENTS:
                        yield Told(path.parent.name, facts)


def _parsed(text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}  # the last line of a process that was killed
    return found if isinstance(found, dict) else {}


def measured_rtt_s(topology: Topology, told: Iterable[Told]) -> dict[tuple[DcId, DcId], float]:
    """Tabulate round trips between data centers: as seen where a link told it, else as the topology asks."""
    table = dict(rtt_table_s(topology))
    dcs = {node.id: node.dc for node in topology.nodes}
    for line in told:
        peer = str(line.facts.get("peer", ""))
        here, there = (next((dc for node, dc in dcs.items() if node == name), None) for name in (line.process, peer))
        seen_s = line.number("seen_ms") / 1000
        if here is not None and there is not None and seen_s > 0:
            table[here, there] = table[there, here] = seen_s
    return table


def store_writes_s(
    topology: Topology, leader_dc: DcId, rtt_s: Mapping[tuple[DcId, DcId], float], told: Iterable[Told]
) -> dict[int, float]:
    """Say what a store's write takes, by shard: the leader's trip to the nearest majority of the vote sites, and work.

    The work is what the leader saw beyond the trip that it was asked for.
    """
    works = [line.number("seen_ms") - line.number("site_trip_ms") for line in told if line.event == STORE]
    work_s = max(0.0, works[-1] / 1000) if works else 0.0
    found: dict[int, float] = {}
    for geography in topology.geographies:
        trips = sorted(rtt_s.get((leader_dc, site), 0.0) for site in geography.vote_sites)
        trip_s = trips[len(trips) // 2]
        shards = range(geography.first_shard, geography.first_shard + geography.shards)
        found |= dict.fromkeys(shards, trip_s + work_s)
    return found
