"""Which errors a client's operation may end with while a fleet is in trouble; a request that is right meets no others.

Drawn from the tree at the top of ``core/errors.py``: what a client can only wait for, or not know.
"""

from collections.abc import Iterable, Mapping

from chaos.fleet_laws import Breach, FleetLaw
from core.errors import (
    NotOwnerError,
    OverloadedError,
    StaleEpochError,
    TwinholdError,
    UnavailableError,
    UnknownOutcomeError,
)

MAY_END: Mapping[type[TwinholdError], str] = {
    UnavailableError: "certainly not done: nobody could do it in time",
    OverloadedError: "certainly not done: a bound is reached, here the queue of a shard that changes hands",
    UnknownOutcomeError: "it may have happened: a retry under the same request id tells",
    NotOwnerError: "certainly not done: no time was left to ask the owner",
    StaleEpochError: "certainly not done: no time was left to ask in the newer epoch",
}
"""What an operation may end with, and what that tells its caller."""


def undocumented(told: Iterable[str]) -> list[Breach]:
    """Judge the errors that ended clients' operations, by the names of their classes."""
    known = {kind.__name__ for kind in MAY_END}
    return [Breach(FleetLaw.ERRORS, f"a client was told {name}") for name in sorted(set(told) - known)]
