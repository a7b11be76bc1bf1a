"""Errors that a client may be told while a fleet is in trouble: all that only time or a retry mends, and no others."""

import pytest

from chaos.error_laws import MAY_END, undocumented
from chaos.fleet_laws import FleetLaw
from client.call import without_effect
from core import errors
from core.errors import FixRequestError, TwinholdError, UnknownOutcomeError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TwinholdError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_is_judged(kind: type[TwinholdError]) -> None:
    found = [breach.law for breach in undocumented([kind.__name__, kind.__name__])]
    assert found == ([] if kind in MAY_END else [FleetLaw.ERRORS])


def test_a_right_request_is_never_told_to_mend_itself() -> None:
    assert not [kind for kind in MAY_END if issubclass(kind, FixRequestError)]


def test_only_an_unknown_outcome_leaves_doubt() -> None:
    made = [kind.__new__(kind) for kind in MAY_END]
    assert {type(error) for error in made if not without_effect(error)} == {UnknownOutcomeError}
