"""The load on paper: which tenants are in use, and when each of their operations is to be sent.

Open-loop: an operation is due at its time whether or not the ones before it were answered; a closed loop would send
less while the fleet is slow and so hide the outage (a stall of 3 s showed as 30 ms at p80).
"""

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log1p

from chaos.scenario import Load
from core.names import TenantName
from core.ports import Rng
from core.topology import Topology

CHANNELS = ("general", "random", "project")
ZIPF_EXPONENT = 0.8
"""How much busier the first tenants are; companies' use is skewed, yet no tenant here exceeds its quota."""
ZIPF_OFFSET = 10
READ_LIMITS = (20, 20, 20, 50)
"""A screen of posts mostly, sometimes a scroll back."""
PHRASES = ("on my way", "shipped it", "looks good", "can you check?", "see the notes", "thanks!", "done", "tomorrow")
LATE_S = 0.05
"""An operation dispatched later than this after its time counts as late."""
LATE_RATIO_MAX = 0.01
"""Above this the generator, not the fleet, was measured: the run is INVALID."""


@dataclass(frozen=True, slots=True)
class Intended:
    """One operation, before it is sent."""

    number: int
    """From 0; makes its text unique."""
    at_s: float
    """After the load began."""
    tenant: str
    """Its full name."""
    channel: str
    limit: int
    """Of a read; 0: a post."""
    text: str
    """Of a post."""


def tenants_in_use(topology: Topology, *, count: int) -> tuple[TenantName, ...]:
    """Name the tenants that the load uses, shared out among the geographies as the shards are.

    They are interleaved, so that busy and quiet ones live everywhere.
    """
    quotas = [(geography.id, geography.shards / topology.shards * count) for geography in topology.geographies]
    ordered = sorted(
        ((n + 0.5) / quota, geography, n) for geography, quota in quotas for n in range(max(1, round(quota)))
    )
    return tuple(TenantName(geography, f"company-{n + 1:04d}") for _, geography, n in ordered)[:count]


def channels_of(tenants: Sequence[TenantName]) -> Iterator[tuple[TenantName, str]]:
    """Yield every channel that the load may write: one to three per tenant."""
    for index, tenant in enumerate(tenants):
        yield from ((tenant, channel) for channel in CHANNELS[: 1 + index % len(CHANNELS)])


def schedule(load: Load, tenants: Sequence[TenantName], dice: Rng) -> Iterator[Intended]:
    """Yield operations for ever, by time: arrivals as independent people make them (a Poisson process).

    Args:
        load: the rates.
        tenants: the busiest first.
        dice: seeded; the same seed gives the same schedule.
    """
    weights = list(accumulate((index + ZIPF_OFFSET) ** -ZIPF_EXPONENT for index in range(len(tenants))))
    weights_sum, last = weights[-1], len(tenants) - 1
    places = [(str(tenant), CHANNELS[: 1 + index % len(CHANNELS)]) for index, tenant in enumerate(tenants)]
    rate = load.writes_per_s + load.reads_per_s
    at_s, number, chance = 0.0, 0, dice.random
    while True:
        at_s -= log1p(-chance()) / rate
        tenant, channels = places[bisect(weights, chance() * weights_sum, hi=last)]
        channel = channels[int(chance() * len(channels))]
        writes = chance() * rate < load.writes_per_s
        if writes:
            yield Intended(number, at_s, tenant, channel, 0, f"m{number} {PHRASES[int(chance() * len(PHRASES))]}")
        else:
            yield Intended(number, at_s, tenant, channel, READ_LIMITS[int(chance() * len(READ_LIMITS))], "")
        number += 1
