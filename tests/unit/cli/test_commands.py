"""Every command against a small fleet: what it says, and the code it ends with."""

from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from cli.exits import Exit
from cli.messages import message_json
from regions.io import fleet_file
from tests.unit.cli.conftest import Twinhold, write_fleet_file
from tests.unit.cli.small_fleet import SmallFleet
from tests.unit.cli.small_servers import serve_node
from twinhold.v1.control_plane_service_pb2 import Problem
from twinhold.v1.errors_pb2 import REASON_CONFLICT
from twinhold.v1.operation_pb2 import OperationError
from twinhold.v1.shard_service_pb2 import OverridePlan, StaleCopy

ACME = "tenants/eu/acme"


def test_status_of_a_healthy_fleet_says_so_first(twinhold: Twinhold) -> None:
    told = twinhold("status")
    assert told.code == Exit.DONE
    assert told.out.splitlines()[0] == "Nothing is wrong."
    assert "4: 4 on two copies, 0 on one, 0 not served" in told.out


def test_status_says_first_what_is_wrong_and_fits_a_screen(twinhold: Twinhold, fleet: SmallFleet) -> None:
    fleet.problems = [
        Problem(severity=Problem.SEVERITY_DOWN, subject=f"dataCenters/d{i}", message="lost; evacuating")
        for i in range(30)
    ]
    lines = twinhold("status").out.splitlines()
    assert "dataCenters/d0" in lines[1]
    assert any("and 22 more" in line for line in lines)
    assert len(lines) <= 24


def test_status_with_every_control_plane_dead_says_that_nodes_go_on(shell: Twinhold, tmp_path: Path) -> None:
    node, endpoint = serve_node()
    write_fleet_file(tmp_path, control_planes={"fra1-cp": "127.0.0.1:1"}, nodes={"fra1-c1": endpoint})
    told = shell("status", "--fleet", str(tmp_path))
    node.stop(None).wait()
    assert told.code == Exit.UNREACHABLE
    assert "nodes go on serving from the map of revision 3.12, 42 s old" in told.err


def test_a_tenant_is_located_while_every_control_plane_is_dead(shell: Twinhold, tmp_path: Path) -> None:
    node, endpoint = serve_node()
    write_fleet_file(tmp_path, control_planes={"fra1-cp": "127.0.0.1:1"}, nodes={"fra1-c1": endpoint})
    told = shell("tenant", "locate", ACME, "--fleet", str(tmp_path))
    node.stop(None).wait()
    assert told.code == Exit.DONE
    assert "fra1-c1" in told.out


def test_a_node_asked_for_what_a_control_plane_does_is_named(shell: Twinhold) -> None:
    node, endpoint = serve_node()
    told = shell("dc", "list", "--endpoint", endpoint)
    node.stop(None).wait()
    assert told.code == Exit.UNREACHABLE
    assert "point --endpoint at a control plane" in told.err


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("dc", "list"), id="data centers"),
        pytest.param(("dc", "show", "fra1"), id="a data center"),
        pytest.param(("shard", "list"), id="shards"),
        pytest.param(("shard", "show", "2"), id="a shard"),
        pytest.param(("failover", "status"), id="failovers"),
        pytest.param(("failover", "history"), id="history"),
        pytest.param(("events",), id="events"),
        pytest.param(("tenant", "list", "eu"), id="tenants"),
        pytest.param(("status",), id="status"),
    ],
)
def test_every_reading_command_answers_in_json(twinhold: Twinhold, arguments: tuple[str, ...]) -> None:
    told = twinhold(*arguments, "-o", "json")
    assert told.code == Exit.DONE
    assert isinstance(told.json(), dict | list)
    assert told.err == ""


def test_lists_read_every_page(twinhold: Twinhold) -> None:
    assert len(twinhold("shard", "list").out.splitlines()) == 5
    assert len(twinhold("shard", "list", "--limit", "2").out.splitlines()) == 3


def test_a_tenant_is_created_listed_located_and_explained(twinhold: Twinhold) -> None:
    assert twinhold("tenant", "create", ACME, "--display-name", "Acme", "--strict").code == Exit.DONE
    assert ACME in twinhold("tenant", "list", "eu").out
    assert "127.3.0.1:7000" in twinhold("tenant", "locate", ACME).out
    assert "most room" in twinhold("tenant", "explain", ACME).out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(("tenant", "create", "acme"), Exit.USAGE, "tenants/{geography}/{slug}", id="malformed name"),
        pytest.param(("tenant", "locate", ACME), Exit.NOT_FOUND, "does not exist", id="unknown tenant"),
        pytest.param(("dc", "show", "xyz9"), Exit.NOT_FOUND, "twinhold dc list", id="unknown data center"),
        pytest.param(("shard", "show", "seventeen"), Exit.USAGE, "shards/{number}", id="malformed shard"),
        pytest.param(("up", "atlantis"), Exit.NOT_FOUND, "atlantis", id="unknown topology"),
        pytest.param(("up", "small", "--profile", "warp"), Exit.USAGE, "warp", id="unknown profile"),
        pytest.param(("down", "--fleet", "/nonexistent"), Exit.UNREACHABLE, "nothing to end", id="nothing to end"),
        pytest.param(("rehearse", "nope.yaml"), Exit.USAGE, "nope.yaml", id="no such scenario"),
        pytest.param(("rehearse", "--seed", "one"), Exit.USAGE, "--seed", id="malformed seed"),
        pytest.param(("shard", "frobnicate"), Exit.USAGE, "No such command", id="unknown command"),
        pytest.param(("status", "--colour"), Exit.USAGE, "No such option", id="unknown option"),
        pytest.param(("failover", "resume", "--yes"), Exit.USAGE, "--reason", id="missing option"),
        pytest.param(("dc", "drain", "fra1"), Exit.USAGE, "--yes", id="nobody to ask"),
    ],
)
def test_bad_input_gets_one_line_and_its_code(
    twinhold: Twinhold, arguments: tuple[str, ...], code: Exit, says: str
) -> None:
    told = twinhold(*arguments)
    assert told.code == code
    assert says in told.err
    assert told.out == ""
    assert len(told.err.splitlines()) == 1


def test_creating_a_tenant_twice_is_a_conflict(twinhold: Twinhold) -> None:
    twinhold("tenant", "create", ACME)
    assert twinhold("tenant", "create", ACME).code == Exit.STALE


def test_no_fleet_file_says_how_to_get_a_fleet(shell: Twinhold, tmp_path: Path) -> None:
    told = shell("status", "--fleet", str(tmp_path))
    assert told.code == Exit.UNREACHABLE
    assert "twinhold up" in told.err


def test_a_damaged_fleet_file_is_named(shell: Twinhold, tmp_path: Path) -> None:
    (tmp_path / "fleet.json").write_text("{")
    told = shell("status", "--fleet", str(tmp_path))
    assert told.code == Exit.UNREACHABLE
    assert "fleet.json describes no fleet" in told.err


def test_a_fleet_whose_host_has_ended_is_not_waited_for(shell: Twinhold, tmp_path: Path) -> None:
    write_fleet_file(tmp_path, control_planes={"fra1-cp": "127.0.0.1:1"}, nodes={})
    content = fleet_file.read(tmp_path)
    assert content is not None
    gone = fleet_file.Process(content.host.pid, content.host.started_ticks - 1)
    fleet_file.write(tmp_path, replace(content, host=gone))
    told = shell("status", "--fleet", str(tmp_path))
    assert told.code == Exit.UNREACHABLE
    assert "has ended" in told.err


def test_an_endpoint_is_enough(shell: Twinhold, follower: str) -> None:
    assert shell("dc", "list", "--endpoint", follower).code == Exit.DONE


def test_a_dead_leader_is_one_line(twinhold: Twinhold, leader: tuple[grpc.Server, str], fleet_dir: Path) -> None:
    leader[0].stop(None).wait()
    write_fleet_file(fleet_dir, control_planes={"fra1-cp": leader[1]}, nodes={})
    told = twinhold("dc", "list")
    assert told.code == Exit.UNREACHABLE
    assert "no control plane gave an answer" in told.err
    assert len(told.err.splitlines()) == 1


def test_cordoning_names_the_actor_in_the_audit_journal(twinhold: Twinhold, fleet: SmallFleet) -> None:
    assert twinhold("dc", "cordon", "fra1", "--reason", "new racks").code == Exit.DONE
    assert fleet.data_centers["dataCenters/fra1"].cordoned
    assert fleet.events[-1].actor != "anonymous"
    assert "new racks" in twinhold("events", "--about", "dataCenters/fra1").out
    assert twinhold("dc", "uncordon", "fra1").code == Exit.DONE
    assert not fleet.data_centers["dataCenters/fra1"].cordoned


def test_a_plan_changes_nothing_and_says_that_changes_are_pending(twinhold: Twinhold, fleet: SmallFleet) -> None:
    told = twinhold("dc", "drain", "fra1", "--plan")
    assert told.code == Exit.CHANGES_PENDING
    assert "switchovers" in told.out
    assert "2 switchovers" in told.err
    assert fleet.operations == {}


def test_a_drain_is_followed_to_its_end(twinhold: Twinhold) -> None:
    told = twinhold("dc", "drain", "fra1", "--yes")
    assert told.code == Exit.DONE
    assert told.err.splitlines()[-1] == "drain dataCenters/fra1 3/3"
    assert "done" in told.out


def test_a_drain_need_not_be_waited_for(twinhold: Twinhold, fleet: SmallFleet) -> None:
    told = twinhold("dc", "drain", "fra1", "--yes", "--no-wait")
    assert told.code == Exit.DONE
    assert "running" in told.out
    assert "drain dataCenters/fra1" in twinhold("failover", "status").out


def test_a_drain_refused_by_a_gate_says_what_to_do(twinhold: Twinhold, fleet: SmallFleet) -> None:
    fleet.exposed = True
    told = twinhold("dc", "drain", "fra1", "--yes")
    assert told.code == Exit.REFUSED
    assert "--accept-exposure" in told.err
    assert "shard 2: one copy" in told.err
    assert twinhold("dc", "drain", "fra1", "--yes", "--accept-exposure").code == Exit.DONE


def test_an_operation_that_fails_ends_with_the_code_of_its_reason(twinhold: Twinhold, fleet: SmallFleet) -> None:
    fleet.operation_error = OperationError(reason=REASON_CONFLICT, message="fra1 is being evacuated: wait")
    told = twinhold("dc", "drain", "fra1", "--yes")
    assert told.code == Exit.STALE
    assert "fra1 is being evacuated: wait" in told.err


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("dc", "evacuate", "fra1"), id="evacuate"),
        pytest.param(("shard", "switchover", "2"), id="switchover"),
        pytest.param(("shard", "promote", "2"), id="promote"),
    ],
)
def test_a_dangerous_verb_asks_plans_and_acts(twinhold: Twinhold, arguments: tuple[str, ...]) -> None:
    assert twinhold(*arguments).code == Exit.USAGE
    assert twinhold(*arguments, "--plan").code == Exit.CHANGES_PENDING
    assert twinhold(*arguments, "--yes").code == Exit.DONE


def test_a_switchover_of_a_shard_on_one_copy_is_a_conflict(twinhold: Twinhold, fleet: SmallFleet) -> None:
    fleet.shards[2].assignment.ClearField("standby")
    assert twinhold("shard", "switchover", "2", "--yes").code == Exit.STALE
    assert "NONE" in twinhold("shard", "list", "--exposed").out


def test_an_override_is_planned_typed_again_and_stated_by_somebody(twinhold: Twinhold, fleet: SmallFleet) -> None:
    fleet.shards[2].assignment.ClearField("standby")
    planned = twinhold("shard", "override", "2", "--plan")
    assert planned.code == Exit.CHANGES_PENDING
    assert "it is not heard" in planned.out
    assert "ACKNOWLEDGED WRITES FROM LSN 11 ON MAY BE LOST; fra1-c1 last reported entry 40" in planned.err
    assert "waw1-c1 HOLDS MORE, but it is not heard" in planned.err
    assert twinhold("shard", "override", "2", "--plan", "-o", "json").json() == message_json(
        OverridePlan(
            base=fleet.shards[2].assignment,
            stale=StaleCopy(node="ams1-c1", copy_id="b.1", last_lsn=12, commit_lsn=10, last_epoch=6),
            lossy_from_lsn=11,
            primary_last_lsn=40,
            others=[StaleCopy(node="waw1-c1", last_lsn=3, last_epoch=7, unfit="it is not heard")],
            evidence=["fra1 is gone"],
        )
    )
    assert fleet.operations == {}
    for missing in (("--confirm", "2"), ("--stated-by", "ada"), ("--stated-by", "ada", "--confirm", "3")):
        assert twinhold("shard", "override", "2", *missing).code == Exit.USAGE
    assert fleet.operations == {}
    assert twinhold("shard", "override", "2", "--stated-by", "ada", "--confirm", "shards/2").code == Exit.DONE
    assert (fleet.events[-1].subject, list(fleet.events[-1].reasons)) == ("shards/2", ["ada", "ams1-c1"])
    assert "failover.overridden" in twinhold("failover", "history").out


def test_an_override_that_a_gate_refuses_says_who_answers(twinhold: Twinhold) -> None:
    told = twinhold("shard", "override", "2", "--stated-by", "ada", "--confirm", "2")
    assert told.code == Exit.REFUSED
    assert "ams1-c1 answers fra1-cp" in told.err


def test_resuming_failover_releases_the_brake(twinhold: Twinhold, fleet: SmallFleet) -> None:
    fleet.halted = True
    assert "HALTED" in twinhold("failover", "status").out
    told = twinhold("failover", "resume", "--reason", "cable repaired", "--yes")
    assert "two data centers of eu looked dead" in told.out
    assert not fleet.halted


def test_history_gathers_what_was_decided_and_what_was_not(twinhold: Twinhold, fleet: SmallFleet) -> None:
    fleet.decided(
        "verdict.withheld", "dataCenters/fra1", "one observer only", actor="controlPlanes/fra1-cp", acted=False
    )
    fleet.decided("dc.cordoned", "dataCenters/ams1", "by hand", actor="root")
    fleet.decided("failover.promoted", "shards/2", "fra1 is lost", actor="controlPlanes/fra1-cp")
    lines = twinhold("failover", "history").out.splitlines()
    assert ["failover.promoted" in lines[1], "verdict.withheld" in lines[2], len(lines)] == [True, True, 3]
