"""What the control plane decided after a fault, in the order in which it did."""

from collections.abc import Iterable
from dataclasses import dataclass

from chaos.run import Moment

SHOWN = {
    "verdict.reached": "verdict",
    "verdict.withheld": "no verdict yet",
    "evacuation.recorded": "evacuation recorded",
    "failover.canary": "canary",
    "failover.promoted": "standby promoted",
    "dc.returned": "data center returned",
    "dc.home": "data center home again",
    "copy.evicted": "standby evicted",
    "brake.halted": "brake halted",
}
"""Event types, and how the report calls them."""
WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the audit journal."""

    at_s: float
    """After the load began."""
    type: str
    subject: str


def moments(decisions: Iterable[Decision], *, injected_s: float, until_s: float) -> tuple[Moment, ...]:
    """Summarise the decisions after an injection: each kind by its first, with how many followed until when.

    Args:
        decisions: of the whole run.
        injected_s: when the fault began.
        until_s: when the next one did; what comes later is not this fault's.
    """
    end_s = min(until_s, injected_s + WITHIN_S)
    found: dict[str, list[Decision]] = {}
    for decision in sorted(decisions, key=lambda decision: decision.at_s):
        if decision.type in SHOWN and injected_s <= decision.at_s < end_s:
            found.setdefault(decision.type, []).append(decision)
    told = (_told(kind, group, injected_s) for kind, group in found.items())
    return tuple(sorted(told, key=lambda moment: moment.after_s))


def _told(kind: str, group: list[Decision], injected_s: float) -> Moment:
    first, last = group[0], group[-1]
    if len(group) == 1:
        return Moment(first.at_s - injected_s, f"{SHOWN[kind]}: {first.subject}")
    until = f"the last at +{last.at_s - injected_s:.2f} s"
    return Moment(first.at_s - injected_s, f"{SHOWN[kind]}: {first.subject} first, {len(group)} in all, {until}")
