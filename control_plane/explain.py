"""Says in sentences where a shard lives, why, and what would happen next if either copy were lost."""

from core.assignments import Assignment
from core.fleet_map import FleetMap
from core.names import dc_of
from core.topology import Geography


def placement_reasons(assignment: Assignment, fleet_map: FleetMap) -> list[str]:
    """Tell a shard's place and its prospects, one sentence each."""
    geography = fleet_map.topology.geography_of_shard(assignment.shard)
    return [_where(assignment, geography), _why(assignment), *_next(assignment, fleet_map, geography)]


def _where(assignment: Assignment, geography: Geography) -> str:
    primary = assignment.primary.node
    if assignment.standby is None:
        return f"Shard {assignment.shard} of {geography.id} is served by {primary}, on one copy."
    standby = assignment.standby.node
    return f"Shard {assignment.shard} of {geography.id} is served by {primary}, with its standby on {standby}."


def _why(assignment: Assignment) -> str:
    told = f": {assignment.reason}" if assignment.reason else ""
    return f"This has been so since epoch {assignment.epoch}{told}."


def _next(assignment: Assignment, fleet_map: FleetMap, geography: Geography) -> list[str]:
    others = [
        dc.id
        for dc in fleet_map.topology.dcs_in(geography.id)
        if dc.id not in {dc_of(copy.node) for copy in assignment.in_sync}
    ]
    spare = f"a second copy would then be made in {' or '.join(others)}" if others else "there is no third data center"
    primary = dc_of(assignment.primary.node)
    if assignment.standby is None:
        return [
            f"If {primary} were lost now, its tenants would wait until it returns: nothing is lost, nothing serves."
        ]
    standby = dc_of(assignment.standby.node)
    return [
        f"If {primary} were lost now, {assignment.standby.node} would take over; {spare}.",
        f"If {standby} were lost now, {assignment.primary.node} would go on alone; {spare}.",
    ]
