"""Rehearsals made of others: with the servers of engines falling too, or one after another."""

from dataclasses import replace

from chaos.faults import Deed
from chaos.scenario import Limit, Measure, Scenario, Step
from chaos.targets import Scope, Target

SERVERS_GAP_S = 3.0
"""The goal for whoever is writable again after a data center fell together with its servers, p99."""


def with_servers(scenario: Scenario) -> Scenario:
    """Let the servers of Cassandra and Consul in a data center share its fate.

    A failover must then get by with two of three sites: it has the time that a silent data center's has.
    """
    steps = tuple(replace(step, target=_with_servers(step)) for step in scenario.steps)
    return replace(scenario, steps=steps, limits=tuple(map(_with_patience, scenario.limits)))


def followed_by(scenario: Scenario, other: Scenario) -> Scenario:
    """Play another scenario's steps after one's end, on its fleet and under its load; the limits of both must hold."""
    begin_s = scenario.end_at_most_s
    known = {(limit.measure, limit.deed) for limit in scenario.limits}
    return replace(
        scenario,
        title=f"{scenario.title}; then: {other.title}",
        file=f"{scenario.file}, {other.file}",
        steps=scenario.steps + tuple(_later(step, begin_s) for step in other.steps),
        limits=scenario.limits + tuple(limit for limit in other.limits if (limit.measure, limit.deed) not in known),
        end_at_most_s=begin_s + other.end_at_most_s,
    )


def _with_servers(step: Step) -> Target:
    falls = step.target.scope is Scope.DATA_CENTER and step.deed is not Deed.DRAIN
    return replace(step.target, servers=True) if falls else step.target


def _with_patience(limit: Limit) -> Limit:
    return replace(limit, most=max(limit.most, SERVERS_GAP_S)) if limit.measure is Measure.GAP_P99_S else limit


def _later(step: Step, begin_s: float) -> Step:
    latest_s = None if step.latest_s is None else step.latest_s + begin_s
    return replace(step, at_s=step.at_s + begin_s, latest_s=latest_s)
