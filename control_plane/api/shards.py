"""ShardService, on the leader."""
# ruff: noqa: N802 - the .proto names the methods

from control_plane.api.asking import answered, asked
from control_plane.api.view_wire import operation_to_pb, override_to_pb, shard_to_pb
from control_plane.paging import page_by_number, page_size
from control_plane.reception import Reception
from control_plane.views import Started, Statement
from core.errors import MalformedError
from core.io.serve import Context
from core.names import dc_id, geography_id, node_id, shard_id
from twinhold.v1 import shard_service_pb2 as pb
from twinhold.v1 import shard_service_pb2_grpc as pb_grpc

PAGE_DEFAULT, PAGE_MAX = 100, 20_000
STATED_BY_LENGTH_MAX = 100


class ShardService(pb_grpc.ShardServiceServicer):
    """Shards; whoever does not lead says who does."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def GetShard(self, request: pb.GetShardRequest, context: Context) -> pb.GetShardResponse:
        """Read one."""
        return pb.GetShardResponse(shard=shard_to_pb(self._reception.shard(shard_id(request.name))))

    async def ListShards(self, request: pb.ListShardsRequest, context: Context) -> pb.ListShardsResponse:
        """Page through the shards."""
        found = self._reception.shards(
            geography=geography_id(request.geography) if request.geography else None,
            dc=dc_id(request.dc) if request.dc else None,
            exposed_only=request.exposed_only,
        )
        size = page_size(request.page_size, default=PAGE_DEFAULT, most=PAGE_MAX)
        cut = page_by_number(found, size, request.page_token, lambda view: view.assignment.shard)
        return pb.ListShardsResponse(shards=[shard_to_pb(view) for view in cut.items], next_page_token=cut.next_token)

    async def SwitchoverShard(self, request: pb.SwitchoverShardRequest, context: Context) -> pb.SwitchoverShardResponse:
        """Change the roles of primary and standby by plan."""
        by = asked(context, reason=request.reason, request_id=request.request_id, validate_only=request.validate_only)
        started: Started = await answered(
            lambda done: self._reception.switchover(
                shard_id(request.name), validate_only=request.validate_only, asked=by, done=done
            )
        )
        running = None if started.operation is None else operation_to_pb(started.operation)
        return pb.SwitchoverShardResponse(operation=running)

    async def PromoteShard(self, request: pb.PromoteShardRequest, context: Context) -> pb.PromoteShardResponse:
        """Promote the standby although no verdict was reached."""
        by = asked(context, reason=request.reason, request_id=request.request_id, validate_only=request.validate_only)
        started: Started = await answered(
            lambda done: self._reception.promote(
                shard_id(request.name), validate_only=request.validate_only, asked=by, done=done
            )
        )
        running = None if started.operation is None else operation_to_pb(started.operation)
        return pb.PromoteShardResponse(operation=running)

    async def OverrideShard(self, request: pb.OverrideShardRequest, context: Context) -> pb.OverrideShardResponse:
        """Let a stale copy take over, and give up what only the lost primary had."""
        shard, stated = shard_id(request.name), _statement(request)
        by = asked(context, reason=request.reason, request_id=request.request_id, validate_only=request.validate_only)
        started: Started = await answered(
            lambda done: self._reception.override(
                shard, statement=stated, validate_only=request.validate_only, asked=by, done=done
            )
        )
        running = None if started.operation is None else operation_to_pb(started.operation)
        plan = None if started.override is None else override_to_pb(started.override)
        return pb.OverrideShardResponse(plan=plan, operation=running)


def _statement(request: pb.OverrideShardRequest) -> Statement:
    """Take a person's statement; where something is to be done, it needs a name, and the shard's name once more."""
    who, shard = request.stated_by.strip(), shard_id(request.name)
    if not request.validate_only and request.confirm != f"shards/{shard}":
        raise MalformedError("confirm", request.confirm, expected=f"shards/{shard}, the shard's name once more")
    if not request.validate_only and not 0 < len(who) <= STATED_BY_LENGTH_MAX:
        expected = f"who states that the primary's data center is fenced, at most {STATED_BY_LENGTH_MAX} characters"
        raise MalformedError("stated_by", request.stated_by, expected=expected)
    return Statement(who, node_id(request.takes_over) if request.takes_over else None)
