"""All services of a control plane on its server."""

from collections.abc import Callable

from control_plane.api.control_planes import ControlPlaneService
from control_plane.api.data_centers import DataCenterService
from control_plane.api.events import AuditJournal, EventService
from control_plane.api.node_service import NodeService
from control_plane.api.operations import OperationService
from control_plane.api.shards import ShardService
from control_plane.api.store_admin import StoreAdminService
from control_plane.api.tenants import TenantService
from control_plane.driver import ControlPlaneDriver
from control_plane.io.lines import Lines
from control_plane.io.primaries import Primaries
from control_plane.ports import AssignmentStore
from core.io import map_feed
from core.io.delay import trip_s
from core.io.map_feed import MapFeed
from core.io.serve import Server
from core.names import DcId
from twinhold.v1 import (
    control_plane_service_pb2_grpc,
    data_center_service_pb2_grpc,
    event_service_pb2_grpc,
    node_service_pb2_grpc,
    operation_service_pb2_grpc,
    shard_service_pb2_grpc,
    store_admin_service_pb2_grpc,
    tenant_service_pb2_grpc,
)

SERVICES = (
    map_feed.SERVICE,
    *(
        f"twinhold.v1.{noun}Service"
        for noun in ("ControlPlane", "DataCenter", "Event", "Node", "Operation", "Shard", "StoreAdmin", "Tenant")
    ),
)


def add_services(
    server: Server,
    driver: ControlPlaneDriver,
    *,
    feed: MapFeed,
    store: AssignmentStore,
    lines: Lines,
    awake: Callable[[], None],
    now: Callable[[], float],
    home: DcId,
    quiet_s: float,
) -> NodeService:
    """Add every service to a server that has not started yet.

    Args:
        server: gets them.
        driver: answers.
        feed: the map.
        store: holds the audit journal.
        lines: channels to the nodes.
        awake: looks whether this process was away; before every report, and every heartbeat of a control plane.
        now: reads this process's clock.
        home: the data center in which this control plane stands.
        quiet_s: how long a report may go without an answer when there is no news.

    Returns:
        The one that has to be told when the leader changes.
    """
    fleet_map = driver.fleet_map
    fleet = fleet_map.topology.fleet
    events = EventService(driver.reception, AuditJournal(store))
    trips_s = {node.id: trip_s(fleet_map.topology, home, node.dc) for node in fleet_map.topology.nodes}
    nodes = NodeService(driver, fleet, awake=awake, now=now, trips_s=trips_s, quiet_s=quiet_s)
    tenants = TenantService(fleet_map, Primaries(fleet_map, lines), events.about)
    data_centers, operations, shards = (
        DataCenterService(driver.reception),
        OperationService(driver.reception),
        ShardService(driver.reception),
    )
    control_planes = ControlPlaneService(driver, fleet, awake)
    server.server.add_generic_rpc_handlers((map_feed.handlers(feed),))
    control_plane_service_pb2_grpc.add_ControlPlaneServiceServicer_to_server(control_planes, server.server)
    data_center_service_pb2_grpc.add_DataCenterServiceServicer_to_server(data_centers, server.server)
    event_service_pb2_grpc.add_EventServiceServicer_to_server(events, server.server)
    node_service_pb2_grpc.add_NodeServiceServicer_to_server(nodes, server.server)
    operation_service_pb2_grpc.add_OperationServiceServicer_to_server(operations, server.server)
    shard_service_pb2_grpc.add_ShardServiceServicer_to_server(shards, server.server)
    store_admin = StoreAdminService(driver.reception, fleet)
    store_admin_service_pb2_grpc.add_StoreAdminServiceServicer_to_server(store_admin, server.server)
    tenant_service_pb2_grpc.add_TenantServiceServicer_to_server(tenants, server.server)
    return nodes
