"""The laws of a single step of an assignment: what the store may take in, judged anew from the two records alone.

PROTOCOL.md section 2 (C2 to C6) and I2, I13, residency and two data centers. Written apart from ``legal_successor`` on
purpose: a rule that is wrong there must be seen here.
"""

from collections.abc import Callable, Iterator

from chaos.fleet_laws import Breach, FleetLaw
from core.assignments import Add, Assignment, Cancel, Change, Copy, Override, Proposer, Swap, Switchover
from core.names import DcId, GeographyId, dc_of

GeographyOf = Callable[[DcId], GeographyId]


def step_breaches(
    old: Assignment | None,
    new: Assignment,
    change: Change | None,
    proposer: Proposer | None,
    geography_of: GeographyOf,
) -> Iterator[Breach]:
    """Judge a record that the store took in.

    Args:
        old: what the store held before; None: nothing.
        new: what it holds now.
        change: what kind of change that was; None: the shard's first record.
        proposer: who asked for it; None: nobody, as with the first record.
        geography_of: the topology's map from a data center to its geography.
    """
    yield from _placed(new, geography_of)
    if old is None:
        return
    if (new.incarnation - old.incarnation, new.epoch - old.epoch) != (int(isinstance(change, Override)), 1):
        yield Breach(FleetLaw.C2, f"{said(new)} follows {said(old)}")
    if not isinstance(change, Override):
        yield from _chained(old, new, change, proposer)


def reused(before: Assignment | None, new: Assignment) -> Breach | None:
    """Judge a record against the one that had its (incarnation, epoch) before: there must be none (C2)."""
    if before is None or before == new:
        return None
    return Breach(FleetLaw.C2, f"{said(new)} and {said(before)} have one epoch")


def said(record: Assignment) -> str:
    """Say a record in a few words."""
    standby = "nobody" if record.standby is None else record.standby.node
    return f"shard {record.shard} at {record.incarnation}.{record.epoch} with {record.primary.node} and {standby}"


def _chained(old: Assignment, new: Assignment, change: Change | None, proposer: Proposer | None) -> Iterator[Breach]:
    if new.primary not in old.in_sync:
        yield Breach(FleetLaw.I2, f"{said(new)}: its primary was not in sync in {said(old)}")
    joined = [copy for copy in new.in_sync if copy not in old.in_sync]
    if joined and not (isinstance(change, Add | Swap) and proposer == old.primary):
        yield Breach(FleetLaw.C4, f"{said(new)}: {_named(joined)} joined unasked by {old.primary.node}")
    handed = isinstance(change, Switchover) and proposer == old.primary
    if new.primary != old.primary and not handed and not new.solo:
        yield Breach(FleetLaw.C5, f"{said(new)}: promoted unplanned, and still two in sync")
    if isinstance(change, Swap | Switchover | Cancel) and new.solo and not old.solo:
        yield Breach(FleetLaw.I13, f"{said(new)}: {type(change).__name__} left one copy")


def _placed(new: Assignment, geography_of: GeographyOf) -> Iterator[Breach]:
    dcs = [dc_of(copy.node) for copy in new.in_sync]
    if len(set(dcs)) < len(dcs):
        yield Breach(FleetLaw.TWO_DATA_CENTERS, said(new))
    if len({geography_of(dc) for dc in dcs}) > 1:
        yield Breach(FleetLaw.GEOGRAPHY, said(new))


def _named(copies: list[Copy]) -> str:
    return " and ".join(copy.node for copy in copies)
