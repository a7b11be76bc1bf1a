"""Exit codes say what the caller can do."""

import pytest

from cli.exits import Exit, exit_for
from core.errors import (
    AlreadyExistsError,
    ConflictError,
    DamagedError,
    MalformedError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    RefusedByAppError,
    RefusedBySafetyError,
    RequestTooOldError,
    StaleEpochError,
    TwinholdError,
    UnavailableError,
    UnknownOutcomeError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(MalformedError("slug", "A", expected="a"), Exit.USAGE, id="malformed"),
        pytest.param(RefusedByAppError("no"), Exit.FAILED, id="refused by the app"),
        pytest.param(RequestTooOldError("old"), Exit.STALE, id="request too old"),
        pytest.param(NotAllowedError("no"), Exit.NOT_ALLOWED, id="not allowed"),
        pytest.param(NotFoundError("tenant", "x"), Exit.NOT_FOUND, id="not found"),
        pytest.param(AlreadyExistsError("there"), Exit.STALE, id="exists already"),
        pytest.param(StaleEpochError("old"), Exit.STALE, id="stale"),
        pytest.param(ConflictError("other base"), Exit.STALE, id="conflict"),
        pytest.param(UnavailableError("away"), Exit.UNREACHABLE, id="unreachable"),
        pytest.param(RefusedBySafetyError("exposed"), Exit.REFUSED, id="safety gate"),
        pytest.param(OverloadedError("full", retry_after_s=1.0), Exit.FAILED, id="overloaded"),
        pytest.param(UnknownOutcomeError("maybe"), Exit.FAILED, id="unknown outcome"),
        pytest.param(DamagedError(shard=1, lsn=2, cause="checksum"), Exit.FAILED, id="damaged"),
    ],
)
def test_an_error_ends_a_command_with_its_own_code(error: TwinholdError, code: Exit) -> None:
    assert exit_for(error) is code
