"""TenantService: there is no central directory; every call goes to the node that serves the tenant's shard."""
# ruff: noqa: N802 - the .proto names the methods

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from control_plane.api.asking import required_request_id
from control_plane.explain import placement_reasons
from control_plane.io.primaries import DEADLINE_S, Primaries, unpacked
from control_plane.paging import page_size, place_of, token
from core.assignments import Assignment
from core.errors import MalformedError, NotFoundError, TwinholdError
from core.fleet_map import FleetMap
from core.io.serve import Context, principal_of
from core.names import ShardId, TenantName, geography_id, tenant_name, tenant_slug
from core.wire import assignment_to_pb
from twinhold.v1 import event_pb2, journal_pb2, tenant_pb2
from twinhold.v1 import tenant_service_pb2 as pb
from twinhold.v1 import tenant_service_pb2_grpc as pb_grpc

PAGE_DEFAULT, PAGE_MAX = 100, 1_000
SHARDS_PER_PAGE_MAX = 256
"""How many shards one ListTenants asks; a page may be short, or empty, and still name a next one."""
EXPLAIN_EVENTS = 20
LOOK_UP_S = 1.0
"""How long LocateTenant and ExplainTenant wait for the shard to say whether it knows the tenant."""
RESTORE_S = 60.0
"""How long a node may take to rebuild a tenant."""


EventsAbout = Callable[[str, int], Awaitable[Sequence[event_pb2.Event]]]
"""Finds the newest events about a subject, at most so many, newest first."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page of tenants begins: in this shard, after this slug."""

    shard: ShardId
    after: str


class TenantService(pb_grpc.TenantServiceServicer):
    """Tenants, wherever they live; any control plane answers."""

    def __init__(self, fleet_map: FleetMap, primaries: Primaries, events_about: EventsAbout) -> None:
        self._map = fleet_map
        self._primaries = primaries
        self._events_about = events_about

    async def CreateTenant(self, request: pb.CreateTenantRequest, context: Context) -> pb.CreateTenantResponse:
        """Create a tenant in the shard that its name hashes to."""
        name = tenant_name(request.tenant.name)
        command = journal_pb2.TenantCommand(
            create=journal_pb2.CreateTenantCommand(
                display_name=request.tenant.display_name, strict=request.tenant.strict
            )
        )
        body = await self._primaries.submit(
            self._map.locate(name),
            tenant=str(name),
            body=command,
            request_id=required_request_id(request.request_id),
            actor=principal_of(context).name,
        )
        answer = journal_pb2.TenantAnswer()
        unpacked(body, answer)
        return pb.CreateTenantResponse(tenant=answer.tenants[0])

    async def GetTenant(self, request: pb.GetTenantRequest, context: Context) -> pb.GetTenantResponse:
        """Read a tenant's record."""
        name = tenant_name(request.name)
        query = journal_pb2.TenantQuery(get=journal_pb2.GetTenantQuery())
        found = await self._ask(self._map.locate(name), str(name), query, context)
        return pb.GetTenantResponse(tenant=found[0])

    async def ListTenants(self, request: pb.ListTenantsRequest, context: Context) -> pb.ListTenantsResponse:
        """Page through a geography's shards."""
        geography = self._map.topology.geography(geography_id(request.parent))
        size = page_size(request.page_size, default=PAGE_DEFAULT, most=PAGE_MAX)
        place = _place(request.page_token) or _Place(ShardId(geography.first_shard), "")
        if not geography.holds(place.shard):
            raise MalformedError("page_token", request.page_token, expected=f"one of a page of {geography.id}")
        answer = pb.ListTenantsResponse()
        for shard in range(place.shard, geography.first_shard + geography.shards):
            wanted = size - len(answer.tenants)
            if not wanted or shard >= place.shard + SHARDS_PER_PAGE_MAX:
                answer.next_page_token = token(f"{shard}:")
                break
            after = str(TenantName(geography.id, place.after)) if shard == place.shard and place.after else ""
            found = await self._list_shard(ShardId(shard), after, wanted, context)
            answer.tenants.extend(found)
            if len(found) >= wanted:
                answer.next_page_token = token(f"{shard}:{found[-1].name.rsplit('/', 1)[-1]}")
                break
        return answer

    async def LocateTenant(self, request: pb.LocateTenantRequest, context: Context) -> pb.LocateTenantResponse:
        """Say where a tenant lives, whether or not anybody serves it now."""
        holder = await self._home_of(tenant_name(request.name), context)
        return pb.LocateTenantResponse(
            assignment=assignment_to_pb(holder),
            primary_endpoint=self._map.topology.node(holder.primary.node).endpoint,
        )

    async def ExplainTenant(self, request: pb.ExplainTenantRequest, context: Context) -> pb.ExplainTenantResponse:
        """Say where a tenant lives, why, and what would happen next."""
        holder = await self._home_of(tenant_name(request.name), context)
        return pb.ExplainTenantResponse(
            assignment=assignment_to_pb(holder),
            reasons=placement_reasons(holder, self._map),
            events=await self._events_about(f"shards/{holder.shard}", EXPLAIN_EVENTS),
        )

    async def RestoreTenant(self, request: pb.RestoreTenantRequest, context: Context) -> pb.RestoreTenantResponse:
        """Bring a tenant back to what it was, on the node that serves it."""
        holder = self._map.locate(tenant_name(request.name))
        if not request.validate_only:
            required_request_id(request.request_id)
        actor = principal_of(context).name
        return await self._primaries.restore(holder, request, actor=actor, deadline_s=RESTORE_S)

    async def _home_of(self, name: TenantName, context: Context) -> Assignment:
        """Find a tenant's shard; NotFoundError only when the shard itself says that it has no such tenant."""
        holder = self._map.locate(name)
        query = journal_pb2.TenantQuery(get=journal_pb2.GetTenantQuery())
        try:
            await self._ask(holder, str(name), query, context, deadline_s=LOOK_UP_S)
        except NotFoundError:
            raise
        except TwinholdError:
            return holder
        return holder

    async def _list_shard(self, shard: ShardId, after: str, limit: int, context: Context) -> list[tenant_pb2.Tenant]:
        query = journal_pb2.TenantQuery(list=journal_pb2.ListTenantsQuery(after=after, limit=limit))
        return await self._ask(self._map.shard(shard), f"shards/{shard}", query, context)

    async def _ask(
        self,
        holder: Assignment,
        name: str,
        query: journal_pb2.TenantQuery,
        context: Context,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> list[tenant_pb2.Tenant]:
        actor = principal_of(context).name
        parts = await self._primaries.query(holder, tenant=name, body=query, actor=actor, deadline_s=deadline_s)
        answer = journal_pb2.TenantAnswer()
        for part in parts:
            read = journal_pb2.TenantAnswer()
            unpacked(part, read)
            answer.MergeFrom(read)
        return list(answer.tenants)


def _place(page_token: str) -> _Place | None:
    text = place_of(page_token)
    if not text:
        return None
    shard, separator, after = text.partition(":")
    if not shard.isdecimal() or not separator:
        raise MalformedError("page_token", page_token, expected="next_page_token of the page before, as it came")
    return _Place(ShardId(int(shard)), tenant_slug(after) if after else "")
