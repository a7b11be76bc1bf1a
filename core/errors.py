"""Everything that can go wrong for a caller, by what the caller can do about it.

::

    TwinholdError
    |-- FixRequestError            the request itself is wrong: mend it
    |   |-- MalformedError             INVALID_ARGUMENT     MALFORMED
    |   |-- OversizedError             INVALID_ARGUMENT     OVERSIZED
    |   |-- WrongGeographyError        INVALID_ARGUMENT     WRONG_GEOGRAPHY
    |   |-- RequestIdReusedError       INVALID_ARGUMENT     REQUEST_ID_REUSED
    |   |-- RequestTooOldError         FAILED_PRECONDITION  REQUEST_TOO_OLD
    |   `-- RefusedByAppError          FAILED_PRECONDITION  REFUSED_BY_APP
    |-- NotAllowedError            PERMISSION_DENIED    NOT_ALLOWED
    |-- NotFoundError              NOT_FOUND            UNKNOWN_TENANT, UNKNOWN_SHARD, ...
    |-- AlreadyExistsError         ALREADY_EXISTS       ALREADY_EXISTS
    |-- ReadAgainError             what you knew is old: read again
    |   |-- StaleEpochError            FAILED_PRECONDITION  STALE_EPOCH
    |   |-- ConflictError              ABORTED              CONFLICT
    |   `-- PositionGoneError          OUT_OF_RANGE         POSITION_GONE
    |-- NotOwnerError              go elsewhere: FAILED_PRECONDITION  NOT_OWNER (+ the new owner)
    |-- NotLeaderError             go elsewhere: FAILED_PRECONDITION  NOT_LEADER (+ the leader)
    |-- AnswerTooLargeError        go elsewhere: FAILED_PRECONDITION  ANSWER_TOO_LARGE (ask by Query, which streams)
    |-- UnavailableError           wait and retry: UNAVAILABLE  UNAVAILABLE, STRICT_SOLO, STOPPED, ...
    |-- OverloadedError            wait and retry: RESOURCE_EXHAUSTED  OVERLOADED, QUOTA (+ RetryInfo)
    |-- UnknownOutcomeError        it may have happened: UNKNOWN  UNKNOWN_OUTCOME (retry under the same request id)
    |-- RefusedBySafetyError       a safety gate said no: FAILED_PRECONDITION  REFUSED_BY_SAFETY (+ violations)
    `-- DamagedError               DATA_LOSS            DATA_DAMAGED (+ shard and lsn): an operator must act

Facts travel as keyword values, never as prose and never as secrets. ``core/io/status.py`` puts them on the wire.
"""

from collections.abc import Mapping, Sequence


class TwinholdError(Exception):
    """The root: a reason of ``errors.proto``, a gRPC code by name, and facts.

    Args:
        message: one line that names cause and remedy.
        facts: what a program needs to act, as strings; goes into ``ErrorInfo.metadata``.
        retry_after_s: when trying again makes sense; None: not by waiting alone.
    """

    code = "INTERNAL"
    reason = "INTERNAL"

    def __init__(self, message: str, *, retry_after_s: float | None = None, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.facts = {key: str(value) for key, value in facts.items() if value is not None}


class FixRequestError(TwinholdError):
    """The request itself is wrong; sending it again changes nothing."""

    code = "INVALID_ARGUMENT"
    reason = "MALFORMED"


class MalformedError(FixRequestError):
    """A value has the wrong form.

    Args:
        what: what the value should have been, e.g. ``tenant name``.
        value: what came, shortened when long.
        expected: the form that is taken.
    """

    def __init__(self, what: str, value: object, *, expected: str) -> None:
        shown = str(value) if len(str(value)) <= 80 else str(value)[:77] + "..."
        super().__init__(f"{what} {shown!r} is malformed: expected {expected}", what=what, expected=expected)


class OversizedError(FixRequestError):
    """A message is larger than the limit."""

    reason = "OVERSIZED"

    def __init__(self, what: str, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{what} has {size_bytes} bytes: at most {limit_bytes} are taken, split it",
            size_bytes=size_bytes,
            limit_bytes=limit_bytes,
        )


class WrongGeographyError(FixRequestError):
    """A tenant was sought, or a copy placed, outside the geography that its data may not leave."""

    reason = "WRONG_GEOGRAPHY"


class RequestIdReusedError(FixRequestError):
    """A request id came back with another body (I10): use a fresh id for a new request."""

    reason = "REQUEST_ID_REUSED"


class RequestTooOldError(FixRequestError):
    """A dated request id is older than the window within which a retry is recognised."""

    code = "FAILED_PRECONDITION"
    reason = "REQUEST_TOO_OLD"


class RefusedByAppError(FixRequestError):
    """The app said no, e.g. a post into a channel that does not exist; ``facts['app_reason']`` says which no."""

    code = "FAILED_PRECONDITION"
    reason = "REFUSED_BY_APP"


class NotAllowedError(TwinholdError):
    """The gate said no."""

    code = "PERMISSION_DENIED"
    reason = "NOT_ALLOWED"


class NotFoundError(TwinholdError):
    """A resource that does not exist.

    Args:
        kind: tenant, shard, data center, node, operation, channel ...
        name: what was asked for.
        remedy: how to find what does exist.
    """

    code = "NOT_FOUND"

    def __init__(self, kind: str, name: object, *, remedy: str = "") -> None:
        tail = f": {remedy}" if remedy else ""
        super().__init__(f"{kind} {str(name)!r} does not exist{tail}", kind=kind, name=name)
        self.reason = "UNKNOWN_" + kind.upper().replace(" ", "_")


class AlreadyExistsError(TwinholdError):
    """A resource of that name exists already."""

    code = "ALREADY_EXISTS"
    reason = "ALREADY_EXISTS"


class ReadAgainError(TwinholdError):
    """What the caller knew is no longer so: read again, then decide again."""

    code = "ABORTED"
    reason = "CONFLICT"


class StaleEpochError(ReadAgainError):
    """An older (incarnation, epoch) than one already seen: fenced (I5)."""

    code = "FAILED_PRECONDITION"
    reason = "STALE_EPOCH"


class ConflictError(ReadAgainError):
    """A compare-and-set met another base, or another operation holds the resource."""


class PositionGoneError(ReadAgainError):
    """A subscription or a watch asks for a position that is no longer kept: take a snapshot first."""

    code = "OUT_OF_RANGE"
    reason = "POSITION_GONE"


class NotOwnerError(TwinholdError):
    """This node does not serve the shard; ``facts`` may name ``owner``, ``owner_endpoint`` and ``epoch``."""

    code = "FAILED_PRECONDITION"
    reason = "NOT_OWNER"


class NotLeaderError(TwinholdError):
    """This control plane does not lead; ``facts`` may name ``leader`` and ``leader_endpoint``."""

    code = "FAILED_PRECONDITION"
    reason = "NOT_LEADER"


class AnswerTooLargeError(TwinholdError):
    """What was read is too large for a session: ask by Query, which streams."""

    code = "FAILED_PRECONDITION"
    reason = "ANSWER_TOO_LARGE"

    def __init__(self, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the answer has {size_bytes} bytes, and a session carries one part of at most {limit_bytes}: "
            "ask by Query, which streams",
            size_bytes=size_bytes,
            limit_bytes=limit_bytes,
        )


class UnavailableError(TwinholdError):
    """Certainly not done, and worth another try: ``reason`` says why it could not be done now."""

    code = "UNAVAILABLE"

    def __init__(
        self, message: str, *, reason: str = "UNAVAILABLE", retry_after_s: float | None = None, **facts: object
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **facts)
        self.reason = reason


class OverloadedError(TwinholdError):
    """A bound is reached; certainly not done. Wait ``retry_after_s``."""

    code = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, *, retry_after_s: float, reason: str = "OVERLOADED", **facts: object) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **facts)
        self.reason = reason


class UnknownOutcomeError(TwinholdError):
    """It may have happened; a retry under the same request id tells."""

    code = "UNKNOWN"
    reason = "UNKNOWN_OUTCOME"


class RefusedBySafetyError(TwinholdError):
    """A safety gate said no; ``violations`` has one line per reason."""

    code = "FAILED_PRECONDITION"
    reason = "REFUSED_BY_SAFETY"

    def __init__(self, message: str, *, violations: Sequence[str] = (), **facts: object) -> None:
        super().__init__(message, retry_after_s=None, **facts)
        self.violations = tuple(violations)


class DamagedError(TwinholdError):
    """A copy's record does not match its checksum: never served."""

    code = "DATA_LOSS"
    reason = "DATA_DAMAGED"

    def __init__(self, *, shard: int, lsn: int, cause: str) -> None:
        super().__init__(
            f"shard {shard} is damaged at lsn {lsn} on this copy ({cause}): it is not served from here",
            shard=shard,
            lsn=lsn,
            cause=cause,
        )


_KINDS: tuple[type[TwinholdError], ...] = (
    MalformedError,
    OversizedError,
    WrongGeographyError,
    RequestIdReusedError,
    RequestTooOldError,
    RefusedByAppError,
    NotAllowedError,
    AlreadyExistsError,
    StaleEpochError,
    ConflictError,
    PositionGoneError,
    NotOwnerError,
    NotLeaderError,
    AnswerTooLargeError,
    UnknownOutcomeError,
    RefusedBySafetyError,
    DamagedError,
)
_BY_REASON = {kind.reason: kind for kind in _KINDS}
_BY_CODE: dict[str, type[TwinholdError]] = {
    "NOT_FOUND": NotFoundError,
    "UNAVAILABLE": UnavailableError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "INVALID_ARGUMENT": FixRequestError,
    "PERMISSION_DENIED": NotAllowedError,
    "UNKNOWN": UnknownOutcomeError,
    "DEADLINE_EXCEEDED": UnknownOutcomeError,
    "CANCELLED": UnknownOutcomeError,
}


def revived(
    *,
    code: str,
    reason: str,
    message: str,
    facts: Mapping[str, str],
    retry_after_s: float | None = None,
    violations: Sequence[str] = (),
) -> TwinholdError:
    """Rebuild an error that came over the wire, as the class that was raised on the other side.

    An unknown reason, from a newer server, becomes the class of its code: what the caller can do about it stays right.
    """
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code, TwinholdError)
    error = kind.__new__(kind)
    TwinholdError.__init__(error, message, retry_after_s=retry_after_s, **facts)
    error.code, error.reason = code, reason
    if isinstance(error, RefusedBySafetyError):
        error.violations = tuple(violations)
    return error
