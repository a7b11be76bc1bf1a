"""What `twinhold store` says and asks, and the codes that it ends with."""

import pytest

from cli.exits import Exit
from cli.messages import message_json
from tests.unit.cli.conftest import Twinhold
from tests.unit.cli.small_fleet import SmallFleet
from tests.unit.cli.small_store import restored


def test_a_store_that_was_not_restored_needs_nothing(twinhold: Twinhold, fleet: SmallFleet) -> None:
    told = twinhold("store", "status")
    assert told.code == Exit.DONE
    assert "is not needed" in told.out
    assert twinhold("store", "adopt", "--plan").code == Exit.DONE
    told = twinhold("store", "adopt", "--yes")
    assert (told.code, "nothing is to be adopted" in told.err) == (Exit.DONE, True)
    assert fleet.store.adopted == []


def test_a_restored_store_is_shown_with_what_stays_frozen_and_why(twinhold: Twinhold, fleet: SmallFleet) -> None:
    fleet.store.plan = restored()
    told = twinhold("store", "status")
    assert "it was restored from a backup" in told.out
    assert "its standby on ams1-c1 is not heard" in told.out
    assert "1 nodes are not heard: ams1-c1" in told.out
    assert twinhold("store", "adopt", "--plan", "-o", "json").json() == message_json(restored())


def test_a_plan_lists_every_record_and_changes_nothing(twinhold: Twinhold, fleet: SmallFleet) -> None:
    fleet.store.plan = restored()
    told = twinhold("store", "adopt", "--plan")
    assert told.code == Exit.CHANGES_PENDING
    frozen, rebuilt = told.out.splitlines()[1:]
    assert frozen.split()[0] == "3"
    assert rebuilt.split()[:2] == ["0", "1.4"]
    assert "1 records are rebuilt" in told.err
    assert "the brake halts" in told.err
    assert fleet.store.adopted == []


@pytest.mark.parametrize("sure", [("--yes",), ("--confirm", "small")])
def test_it_is_adopted_once_somebody_is_sure(twinhold: Twinhold, fleet: SmallFleet, sure: tuple[str, ...]) -> None:
    fleet.store.plan = restored()
    assert twinhold("store", "adopt").code == Exit.USAGE
    assert twinhold("store", "adopt", "--confirm", "large").code == Exit.USAGE
    told = twinhold("store", "adopt", *sure, "--reason", "an old disk")
    assert told.code == Exit.DONE
    assert "adopted, at incarnation 2" in told.out
    (request,) = fleet.store.adopted
    assert (request.confirm, request.reason, bool(request.request_id)) == ("small", "an old disk", True)


def test_what_speaks_against_it_is_told(twinhold: Twinhold, fleet: SmallFleet) -> None:
    fleet.store.plan = restored()
    fleet.store.plan.obstacles.append("wait 1.5 s")
    assert "not now: wait 1.5 s" in twinhold("store", "adopt", "--plan").err
    told = twinhold("store", "adopt", "--yes")
    assert (told.code, "wait 1.5 s" in told.err) == (Exit.REFUSED, True)
