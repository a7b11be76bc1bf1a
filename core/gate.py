"""The one gate that every call passes: who may do what to which resource.

Actor and audit identity come from the principal, which the transport establishes, never from a message.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from core.errors import MalformedError

DEVELOPMENT = "development"
"""The issuer of principals on a server without credentials, which therefore listens on loopback only."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a name, and who vouches for it."""

    name: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Allow:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Stop; ``reason`` is one line for the caller."""

    reason: str


Decision: TypeAlias = Allow | Deny


class Policy(Protocol):
    """Decides; must be quick, it stands in every call."""

    def authorise(self, principal: Principal, method: str, resource: str) -> Decision:
        """Judge one call.

        Args:
            principal: who calls.
            method: the full gRPC method, e.g. ``/twinhold.v1.TenantService/GetTenant``.
            resource: the resource name that the request names first; empty when it names none.
        """
        ...


@dataclass(frozen=True, slots=True)
class LoopbackPolicy:
    """What holds without credentials: whoever reaches a loopback address may do everything."""

    def authorise(self, principal: Principal, method: str, resource: str) -> Decision:
        """Allow principals of the development issuer, nobody else."""
        if principal.issuer == DEVELOPMENT:
            return Allow()
        return Deny(f"{principal.name} of {principal.issuer} is not known: this server has no credentials configured")


def loopback_only(host: str) -> None:
    """Refuse to listen where others could reach a server that has no credentials.

    Raises:
        MalformedError: the address is not one of 127.0.0.0/8 or ::1.
    """
    if not (host.startswith("127.") or host in {"::1", "localhost"}):
        raise MalformedError("listen address", host, expected="a loopback address while no credentials are configured")
