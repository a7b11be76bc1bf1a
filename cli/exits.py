"""What the exit code of a command means, so that scripts can act on it.

The code says what the caller can do: mend the command line (2), confirm the changes (3), ask for permission (4),
look for the right name (5), read again (6), find the fleet (7), clear what a safety gate named (8), repeat (10).
"""

from enum import IntEnum

from core.errors import (
    AlreadyExistsError,
    FixRequestError,
    NotAllowedError,
    NotFoundError,
    NotLeaderError,
    NotOwnerError,
    ReadAgainError,
    RefusedByAppError,
    RefusedBySafetyError,
    RequestTooOldError,
    TwinholdError,
    UnavailableError,
)


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CHANGES_PENDING = 3
    NOT_ALLOWED = 4
    NOT_FOUND = 5
    STALE = 6
    UNREACHABLE = 7
    REFUSED = 8
    PROVES_NOTHING = 10
    INTERRUPTED = 130


EXIT_BY_ERROR: tuple[tuple[type[TwinholdError], Exit], ...] = (
    (RefusedByAppError, Exit.FAILED),
    (RequestTooOldError, Exit.STALE),
    (FixRequestError, Exit.USAGE),
    (NotAllowedError, Exit.NOT_ALLOWED),
    (NotFoundError, Exit.NOT_FOUND),
    (AlreadyExistsError, Exit.STALE),
    (ReadAgainError, Exit.STALE),
    (NotOwnerError, Exit.UNREACHABLE),
    (NotLeaderError, Exit.UNREACHABLE),
    (UnavailableError, Exit.UNREACHABLE),
    (RefusedBySafetyError, Exit.REFUSED),
)
"""The first class that fits decides; the narrower one stands before the wider."""


def exit_for(error: TwinholdError) -> Exit:
    """Say how a command ends that met this error."""
    return next((code for kind, code in EXIT_BY_ERROR if isinstance(error, kind)), Exit.FAILED)
