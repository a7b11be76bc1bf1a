"""A scenario is read in Chaos Toolkit's schema; what can't be names file and line."""

from pathlib import Path

import pytest

from chaos.combined import followed_by, with_servers
from chaos.faults import Deed
from chaos.io.load_scenario import load_scenario, shipped
from chaos.scenario import Measure, scenario
from core.errors import NotFoundError
from regions.document import DocumentError

SMALL = (Path(__file__).parents[3] / "chaos" / "scenarios" / "small.yaml").read_text()


def test_the_default_rehearsal_is_the_promised_one() -> None:
    found = load_scenario(None)
    assert [(step.deed.value, str(step.target), step.at_s) for step in found.steps] == [
        ("kill", "dataCenters/fra1", 10.0),
        ("pause", "dataCenters/iad1", 25.0),
        ("kill", "controlPlanes/*", 45.0),
        ("restart", "controlPlanes/*", 55.0),
        ("restart", "dataCenters/fra1", 58.0),
        ("drain", "dataCenters/waw1", 75.0),
    ]
    assert (found.load.tenants, found.load.writes_per_s, found.load.reads_per_s) == (2000, 300, 600)
    assert (found.steps[1].for_s, found.steps[-1].latest_s, found.end_at_most_s) == (10.0, 90.0, 112.0)
    limits = {(limit.measure, limit.deed): limit.most for limit in found.limits}
    assert limits[Measure.GAP_P99_S, Deed.KILL] == 2.0
    assert limits[Measure.GAP_P99_S, Deed.PAUSE] == 3.0
    assert limits[Measure.LOST, None] == 0.0


def test_the_command_line_changes_tenants_and_rate_and_reads_keep_their_proportion() -> None:
    load = shipped("small").with_load(tenants=7, rate=10).load
    assert (load.tenants, load.writes_per_s, load.reads_per_s) == (7, 10, 20)


@pytest.mark.parametrize("service", ["cassandra", "consul"])
def test_an_engine_is_lost_for_twenty_seconds_and_comes_back(service: str) -> None:
    found = shipped(f"{service}-outage")
    assert [(step.deed, str(step.target)) for step in found.steps] == [
        (Deed.KILL, f"{service}/*"),
        (Deed.RESTART, f"{service}/*"),
    ]
    assert found.steps[1].at_s - found.steps[0].at_s == 20.0
    assert {(limit.measure, limit.most) for limit in found.limits} >= {(Measure.BYSTANDERS_FAILED, 0.0)}


def test_a_scenario_is_followed_by_another_under_its_own_load() -> None:
    found = followed_by(load_scenario(None), shipped("consul-outage"))
    assert [step.at_s for step in found.steps[-2:]] == [117.0, 137.0]
    assert (found.end_at_most_s, found.preset, found.load.tenants) == (152.0, "reference", 2000)
    assert len(found.limits) == len({(limit.measure, limit.deed) for limit in found.limits})


def test_servers_fall_and_return_with_their_data_centers_and_nothing_else() -> None:
    found = with_servers(load_scenario(None))
    assert [step.target.servers for step in found.steps] == [True, True, False, False, True, False]
    limits = {(limit.measure, limit.deed): limit.most for limit in found.limits}
    assert limits[Measure.GAP_P99_S, Deed.KILL] == limits[Measure.GAP_P99_S, Deed.PAUSE] == 3.0
    assert limits[Measure.PLANNED_GAP_P99_MS, None] == 100.0


def test_a_scenario_itself_may_ask_for_the_servers() -> None:
    content = SMALL.replace("{ target: dataCenters/fra1 }", "{ target: dataCenters/fra1, servers: true }")
    assert [step.target.servers for step in scenario(content, "my.yaml").steps] == [True, True, False]


def line_of(words: str) -> int:
    return next(number for number, line in enumerate(SMALL.splitlines(), start=1) if words in line)


@pytest.mark.parametrize(
    ("old", "new", "at", "complaint"),
    [
        pytest.param("    tenants: 60", "    tenant: 60", "tenants: 60", "unknown field 'tenant'", id="unknown field"),
        pytest.param("profile: fast", "profle: fast", "profile: fast", "did you mean 'profile'", id="typing mistake"),
        pytest.param("func: kill", "func: explode", "func: kill", "expected one of kill", id="unknown fault"),
        pytest.param("dataCenters/fra1", "dc/fra1", "dataCenters/fra1", "target 'dc/fra1'", id="unknown target"),
        pytest.param("at_s: 8", "at_s: 2", "name: fra1 returns", "before the action above", id="going back in time"),
        pytest.param("at_s: 8", "at_s: soon", "at_s: 8", "expected a number", id="no number"),
        pytest.param("func: stale_reads", "func: vibes", "func: stale_reads", "expected one of", id="unknown measure"),
        pytest.param(
            "accept_exposure: true", "servers: true", "latest_s: 30", "only a data center that is", id="drained servers"
        ),
        pytest.param("rollbacks: []", "rollbacks: [1]", "rollbacks: []", "undone by itself", id="a rollback"),
    ],
)
def test_a_mistake_is_named_by_file_and_line(old: str, new: str, at: str, complaint: str) -> None:
    with pytest.raises(DocumentError) as caught:
        scenario(SMALL.replace(old, new, 1), "my.yaml")
    file, line, _ = str(caught.value).split(":", 2)
    assert file == "my.yaml"
    assert abs(int(line) - line_of(at)) <= 1
    assert complaint in str(caught.value)


def test_pauses_place_an_action_after_the_one_before() -> None:
    content = SMALL.replace("    at_s: 8\n", "    pauses: { before: 4 }\n")
    assert [step.at_s for step in scenario(content, "my.yaml").steps] == [3.0, 7.0, 18.0]


def test_a_missing_file_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="name a YAML file"):
        load_scenario(tmp_path / "none.yaml")
