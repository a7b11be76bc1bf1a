"""`twinhold tenant restore`: shows first, asks, and says what it did."""

import pytest

from cli.exits import Exit
from tests.unit.cli.conftest import Twinhold
from tests.unit.cli.small_fleet import SmallFleet

ACME = "tenants/eu/acme"
NOON = "2026-09-21T14:13:20Z"


@pytest.fixture
def acme(twinhold: Twinhold) -> Twinhold:
    """A fleet in which the tenant exists."""
    twinhold("tenant", "create", ACME)
    return twinhold


def test_a_plan_shows_what_would_change_and_changes_nothing(acme: Twinhold, fleet: SmallFleet) -> None:
    told = acme("tenant", "restore", ACME, "--at", NOON, "--plan")
    assert told.code == Exit.CHANGES_PENDING
    assert told.out.splitlines() == [
        "app   what   come back  go away  change",
        "chat  posts          2        1       0",
    ]
    assert fleet.restored == []


def test_a_restore_says_by_which_entry_and_what_it_changed(acme: Twinhold, fleet: SmallFleet) -> None:
    told = acme("tenant", "restore", ACME, "--at", NOON, "--yes", "--request-id", "r1")
    assert (told.code, fleet.restored) == (Exit.DONE, ["r1"])
    said = "restored to 2026-09-21 14:13:20.000Z, by entry 7: 2 posts come back, 1 go away, 0 change\n"
    assert told.out == said


def test_nobody_is_restored_unasked(acme: Twinhold, fleet: SmallFleet) -> None:
    told = acme("tenant", "restore", ACME, "--at", NOON)
    assert (told.code, fleet.restored) == (Exit.USAGE, [])
    assert "2 posts come back, 1 go away, 0 change. Go on? Without a terminal this needs --yes." in told.err


def test_where_nothing_changes_nothing_is_done(acme: Twinhold, fleet: SmallFleet) -> None:
    told = acme("tenant", "restore", ACME, "--at", "2026-09-21T15:00:00Z", "--yes")
    assert (told.code, fleet.restored) == (Exit.DONE, [])
    assert "nothing is changed" in told.err
    assert acme("tenant", "restore", ACME, "--at", "2026-09-21T15:00:00Z", "--plan").code == Exit.DONE


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param((ACME, "--at", "2026-09-21"), Exit.STALE, "begins at noon", id="too early"),
        pytest.param((ACME, "--at", "noon"), Exit.USAGE, "without a zone it is UTC", id="no time"),
        pytest.param((ACME,), Exit.USAGE, "--at", id="no time at all"),
        pytest.param(("tenants/eu/nobody", "--at", NOON), Exit.NOT_FOUND, "does not exist", id="unknown tenant"),
        pytest.param(("acme", "--at", NOON), Exit.USAGE, "tenants/{geography}/{slug}", id="malformed name"),
    ],
)
def test_bad_input_gets_one_line_and_its_code(
    acme: Twinhold, arguments: tuple[str, ...], code: Exit, says: str
) -> None:
    told = acme("tenant", "restore", *arguments, "--yes")
    assert (told.code, told.out, len(told.err.splitlines())) == (code, "", 1)
    assert says in told.err
