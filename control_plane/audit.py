"""The lines of the audit journal: every decision, and every decision not to act, with its reasons.

Types, most significant word first:

- ``leader.took_over``, ``leader.stepped_down``
- ``verdict.reached``, ``verdict.withheld`` (data centers and nodes), ``store.restored`` (C10: nothing is written)
- ``store.adopted``: a restored store's records were rebuilt, and which shards stay frozen
- ``evacuation.recorded``, ``evacuation.finished``, ``evacuation.closed``
- ``brake.halted``, ``brake.resumed``
- ``failover.canary``, ``failover.promoted``, ``failover.impossible``
- ``failover.overridden``: a lossy override is in force; ``copy.quarantined``: what a returned primary had to give up
- ``copy.evicted``, ``copy.added``, ``copy.swapped``, ``shard.switched``, ``shard.cancelled``: proposals in force
- ``move.started``, ``move.refused``: an order to a primary; its ``cause`` is ``operations/..``, ``homecomings/..``,
  ``exposure`` or ``relief``
- ``placement.created``, ``exposure.unrepaired``
- ``dc.cordoned``, ``dc.uncordoned``, ``dc.returned``, ``dc.home``
- ``operation.started``, ``operation.ended``
"""

from dataclasses import dataclass

REPEAT_S = 30.0
"""How often an unchanged line about a subject is written again."""
CHANGE_S = 2.0
"""How often one whose reasons keep changing is."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line; the store numbers it."""

    at_ms: int
    type: str
    subject: str
    """E.g. ``dataCenters/fra1``."""
    actor: str
    """``controlPlanes/{id}``, or the principal of a call."""
    acted: bool
    reasons: tuple[str, ...]
    cause: str = ""
    """The operation or evacuation that it belongs to."""
    term: int = 0


class Repeats:
    """Holds back lines that say again what was just said about the same subject."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[tuple[str, ...], float]] = {}

    def fresh(self, event: AuditEvent, now: float) -> bool:
        """Say whether a line is worth writing: its reasons changed, or the last one is old."""
        key = (event.type, event.subject)
        said = self._said.get(key)
        if said is not None and now - said[1] < (REPEAT_S if said[0] == event.reasons else CHANGE_S):
            return False
        self._said[key] = (event.reasons, now)
        return True
