"""The laws of a simulated fleet, besides those of its clients' history (``chaos/laws.py``).

They are named as in the protocol: I1 to I13 for a pair's invariants, C2 to C9 for what the assignment store and its
writers guarantee; the rest has a word of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from chaos.judgement import Law


class FleetLaw(Enum):
    """What a run can break."""

    I1 = "what is acknowledged in an epoch is durable on every member of in_sync"
    I2 = "the primary of an epoch was in sync in the epoch before"
    I3 = "nothing is acknowledged alone before the change that allows it is known applied"
    I4 = "while a change is in flight, commits and leases satisfy both assignments"
    I5 = "a copy never acts below the highest epoch that it persisted"
    I6 = "one primary per epoch, and a lease never overlaps a newer primary"
    I7 = "whoever joins in_sync has every acknowledged entry"
    I8 = "truncation never removes an acknowledged entry from a member of in_sync"
    I9 = "a lost disk comes back as a new copy"
    I10 = "a request id takes effect once"
    I11 = "nothing uncommitted is shown"
    I12 = "a tenant is served by one shard"
    I13 = "no planned change passes through one copy"
    C2 = "(incarnation, epoch) only grows, by one, and is never reused"
    C4 = "in_sync grows only when the present primary asks for it"
    C5 = "an unplanned promotion leaves the new primary alone in sync"
    C7 = "terms only grow, and only the leader of the highest term writes"
    C8 = "a map shows decided records only, in order, and skips none"
    C9 = "an evacuation is recorded before the first shard moves, and every open one is closed"
    BRAKE = "no more is evacuated automatically than the brake allows"
    VERDICT = "nothing is declared lost that lives and is reachable"
    HOLD_DOWN = "no primary is planned into a data center that is held down"
    GEOGRAPHY = "a copy never lies outside its tenants' geography"
    TWO_DATA_CENTERS = "both copies never lie in one data center, and nobody asks for it"
    EXPOSURE = "the exposure ledger lists the shards that stand on one copy"
    ROUTE = "a client never turns to an older epoch than one it was sent to"
    ERRORS = "a client is told documented errors only"
    IMPOSSIBLE = "what the code calls impossible does not happen"
    DECIDED = "the history can be judged"
    LIVENESS = "once everything heals, every shard is SYNC and served within the stated time"


AnyLaw: TypeAlias = Law | FleetLaw
LAWS: Mapping[str, AnyLaw] = {law.name: law for law in (*Law, *FleetLaw)}
"""By name; none has two meanings."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A law broken, and what shows it, in one line."""

    law: AnyLaw
    what: str
    at_s: float | None = None
    """When, in virtual time; None: it shows at the end."""

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.law.name}: {self.what}"


def first_of_each(breaches: Iterable[Breach]) -> list[Breach]:
    """Leave one breach of every law, the first."""
    found: dict[AnyLaw, Breach] = {}
    for breach in breaches:
        found.setdefault(breach.law, breach)
    return list(found.values())
