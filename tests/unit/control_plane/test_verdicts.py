"""Verdicts: what observers must say before something counts as lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.roster import MISSED_REPORTS, Roster
from control_plane.verdicts import DcLost, Judgement, Known, NodeLost, Settling, Verdicts, Withheld
from control_plane.views import Observation, ReportView, Sight
from core.assignments import Fence
from core.names import ControlPlaneId, DcId, NodeId, dc_of
from core.timers import timers
from core.topology import Topology
from tests.unit.control_plane.lands import two_lands

TIMERS = timers("default")
ME = ControlPlaneId("iad1-cp")
FRA = DcId("fra1")
TOPOLOGY = two_lands()
EU_OBSERVERS = [node.id for node in TOPOLOGY.nodes if node.dc in ("ber1", "ams1", "waw1", "par1")]


@dataclass
class Court:
    """A roster into which observers speak, and its judge; everybody is well until somebody says otherwise."""

    topology: Topology = TOPOLOGY
    me: ControlPlaneId = ME
    now: float = 100.0
    sights: dict[NodeId, dict[NodeId, Sight]] = field(default_factory=dict)
    standbys: dict[NodeId, dict[NodeId, int]] = field(default_factory=dict)
    lost_dcs: frozenset[DcId] = frozenset()

    def __post_init__(self) -> None:
        self.roster = Roster(self.topology, TIMERS, 0.0)
        self.verdicts = Verdicts(self.me, self.topology, TIMERS, self.roster)

    def say(self, observer: str, target: str, sight: Sight) -> None:
        self.sights.setdefault(NodeId(observer), {})[NodeId(target)] = sight

    def all_say(self, target: str, sight: Sight, *, of: list[NodeId] = EU_OBSERVERS) -> None:
        for observer in of:
            self.say(observer, target, sight)

    def report(self, *, silent: tuple[str, ...] = ()) -> None:
        """Let every node that is not silent report what it sees; unless told otherwise it sees all others alive."""
        for node in self.topology.nodes:
            if node.id in silent:
                continue
            seen = {other.id: Sight.ALIVE for other in self.topology.nodes if other.id != node.id}
            seen.update(self.sights.get(node.id, {}))
            observations = tuple(Observation(target, sight, 0, False) for target, sight in seen.items())
            view = ReportView(node.id, "disk", 1, 1, True, observations, (), (), 0.0, 0, Fence(1, 1))
            self.roster.reported(view, self.now)

    def silence(self, *nodes: str) -> None:
        """Let these have reported for the last time one silence ago."""
        for node in nodes:
            self.roster.nodes[NodeId(node)].heard_at = self.now - TIMERS.silence_s

    def judge(self, dc: DcId = FRA) -> list[Judgement]:
        known = Known(self.lost_dcs, frozenset(), lambda node: self.standbys.get(node, {}))
        return self.verdicts.judge(dc, known, self.now)


def reasons(judgements: list[Judgement]) -> str:
    return "; ".join(line for j in judgements if isinstance(j, Withheld) for line in j.reasons)


def accused(court: Court, sight: Sight, *nodes: str) -> None:
    """Let everybody else of the geography and the leader miss some nodes."""
    for node in nodes:
        court.all_say(node, sight)
        for far in ("iad1-c1", "iad1-c2", "pdx1-c1", "pdx1-c2"):
            court.say(far, node, sight)
    court.report(silent=nodes)
    court.silence(*nodes)


def test_a_data_center_that_everybody_misses_is_lost() -> None:
    court = Court()
    accused(court, Sight.SILENT, "fra1-c1", "fra1-c2")
    judgements = court.judge()
    assert [type(j) for j in judgements] == [DcLost]


def test_a_node_that_everybody_misses_is_lost_alone() -> None:
    court = Court()
    accused(court, Sight.SILENT, "fra1-c1")
    judgements = court.judge()
    assert [j.node for j in judgements if isinstance(j, NodeLost)] == ["fra1-c1"]


def test_missing_beats_are_not_enough() -> None:
    court = Court()
    court.all_say("fra1-c1", Sight.SUSPECT)
    court.report(silent=("fra1-c1",))
    assert [type(j) for j in court.judge()] == [Withheld]


def test_refusals_by_three_make_those_who_miss_beats_count_too() -> None:
    court = Court()
    accused(court, Sight.SUSPECT, "fra1-c1", "fra1-c2")
    for target in ("fra1-c1", "fra1-c2"):
        court.all_say(target, Sight.REFUSED, of=EU_OBSERVERS[:4])
    court.report(silent=("fra1-c1", "fra1-c2"))
    assert [type(j) for j in court.judge()] == [DcLost]


def test_a_cut_link_is_told_and_nothing_is_done() -> None:
    court = Court()
    for target in ("fra1-c1", "fra1-c2"):
        court.all_say(target, Sight.SILENT, of=[NodeId("par1-c1"), NodeId("par1-c2")])
    court.report()
    judgements = court.judge()
    assert {type(j) for j in judgements} == {Withheld}
    assert "cut link" in reasons(judgements)


def test_an_observer_that_misses_most_of_what_it_observes_has_no_vote() -> None:
    court = Court()
    for target in TOPOLOGY.nodes:
        if target.id != "par1-c1":
            court.say("par1-c1", target.id, Sight.SILENT)
    court.report()
    judgements = court.judge()
    assert {type(j) for j in judgements} == {Withheld}
    assert "par1-c1 is cut off" in reasons(judgements)


def test_observers_of_one_data_center_are_not_enough() -> None:
    """All that observe it stand in par1, three nodes and more would be needed in a second data center."""
    court = Court(me=ControlPlaneId("fra1-cp"))
    accused(court, Sight.SILENT, "fra1-c1")
    watched = court.roster.watched[NodeId("fra1-c1")]
    for observer in [o for o in watched if dc_of(o) != "par1"]:
        del watched[observer]
    assert [type(j) for j in court.judge()] == [Withheld]


def test_paired_standbys_that_hear_it_speak_against() -> None:
    court = Court(standbys={NodeId("fra1-c1"): {NodeId("par1-c1"): 3, NodeId("waw1-c1"): 1}})
    accused(court, Sight.SILENT, "fra1-c1")
    court.say("par1-c1", "fra1-c1", Sight.ALIVE)
    court.report(silent=("fra1-c1",))
    judgements = court.judge()
    assert {type(j) for j in judgements} == {Withheld}
    assert "80 % needed" in reasons(judgements)


def test_a_node_that_reports_is_not_lost_whatever_the_others_miss() -> None:
    court = Court()
    accused(court, Sight.SILENT, "fra1-c1", "fra1-c2")
    court.report()
    judgements = court.judge()
    assert {type(j) for j in judgements} == {Withheld}
    assert "can go on alone" in reasons(judgements)


def test_an_observer_that_was_not_heard_lately_has_no_vote() -> None:
    court = Court()
    accused(court, Sight.SILENT, "fra1-c1", "fra1-c2")
    for observer in EU_OBSERVERS:
        court.roster.nodes[observer].heard_at = court.now - (MISSED_REPORTS + 0.1) * TIMERS.probe_s
    for far in ("iad1-c1", "iad1-c2", "pdx1-c1", "pdx1-c2"):
        court.roster.nodes[NodeId(far)].heard_at = court.now - (MISSED_REPORTS + 0.1) * TIMERS.probe_s
    assert not [j for j in court.judge() if isinstance(j, DcLost | NodeLost)]


def test_a_node_waits_while_another_of_its_data_center_is_suspect() -> None:
    court = Court()
    accused(court, Sight.SILENT, "fra1-c1")
    court.all_say("fra1-c2", Sight.SUSPECT)
    court.report(silent=("fra1-c1", "fra1-c2"))
    assert [type(j) for j in court.judge()] == [Settling, Withheld]
    court.now += TIMERS.settle_s + 0.01
    court.report(silent=("fra1-c1", "fra1-c2"))
    assert [type(j) for j in court.judge()] == [NodeLost, Withheld]


def test_the_last_sign_of_life_is_the_youngest_anybody_saw() -> None:
    court = Court()
    accused(court, Sight.SILENT, "fra1-c1", "fra1-c2")
    lost = court.judge()[0]
    assert isinstance(lost, DcLost)
    assert lost.last_sign_at == pytest.approx(court.now, abs=0.001)


VOTES = st.fixed_dictionaries({str(o): st.sampled_from(list(Sight)) for o in EU_OBSERVERS})


@settings(max_examples=100, deadline=None)
@given(VOTES, VOTES, st.sampled_from(list(Sight)))
def test_no_verdict_without_two_thirds_three_voices_and_two_data_centers(
    first: Mapping[str, Sight], second: Mapping[str, Sight], far: Sight
) -> None:
    court = Court()
    for observer, sight in first.items():
        court.say(observer, "fra1-c1", sight)
    for observer, sight in second.items():
        court.say(observer, "fra1-c2", sight)
    for observer in ("iad1-c1", "iad1-c2", "pdx1-c1", "pdx1-c2"):
        court.say(observer, "fra1-c1", far)
    court.report(silent=("fra1-c1", "fra1-c2"))
    court.silence("fra1-c1", "fra1-c2")
    judgements = court.judge()
    known = Known(frozenset(), frozenset(), lambda _: {})
    for judgement in judgements:
        nodes = ["fra1-c1", "fra1-c2"] if isinstance(judgement, DcLost) else []
        nodes += [judgement.node] if isinstance(judgement, NodeLost) else []
        for node in nodes:
            ballot = court.verdicts.ballot(NodeId(node), known, court.now)
            voices = {o: s[NodeId(node)] for o, s in court.sights.items() if NodeId(node) in s}
            missing = [ME, *(o for o, sight in voices.items() if sight is not Sight.ALIVE)]
            assert 3 * ballot.missing >= 2 * ballot.qualified
            assert len(missing) >= 3
            assert len({o.split("-")[0] for o in missing}) >= 2
