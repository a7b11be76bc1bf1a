"""What a ledger holds: per tenant what each app keeps and the retry index, and where in the journal that stands."""

from bisect import bisect_right, insort
from dataclasses import dataclass, field

from core.errors import NotFoundError
from nodes.apps import tenant as tenant_app
from nodes.retries import Retries


class TenantState:
    """One tenant."""

    __slots__ = ("apps", "retries", "stored_bytes")

    def __init__(self, stored_bytes: int) -> None:
        self.apps: dict[str, object] = {}
        self.retries = Retries()
        self.stored_bytes = stored_bytes

    @property
    def record(self) -> tenant_app.TenantRecord:
        """The tenant's own record."""
        record = self.apps.get(tenant_app.NAME)
        assert isinstance(record, tenant_app.TenantRecord), "a tenant is made by its own first entry"
        return record


@dataclass(slots=True)
class LedgerState:
    """A shard, as of one entry."""

    lsn: int = 0
    at_ms: int = 0
    written_bytes: int = 0
    """Of all entries."""
    tenants: dict[str, TenantState] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """Of the tenants, ascending."""

    def add(self, name: str, stored_bytes: int) -> TenantState:
        """Let a tenant in."""
        known = self.tenants[name] = TenantState(stored_bytes)
        self.written_bytes += stored_bytes
        insort(self.names, name)
        return known

    def known(self, name: str) -> TenantState:
        """Find a tenant; raises NotFoundError."""
        known = self.tenants.get(name)
        if known is None:
            raise NotFoundError("tenant", name, remedy="check the name, or create it")
        return known

    def listed(self, listing: tenant_app.Listing) -> list[tenant_app.TenantRecord]:
        """List tenants by name."""
        first = bisect_right(self.names, listing.after)
        return [self.tenants[name].record for name in self.names[first : first + listing.limit]]
