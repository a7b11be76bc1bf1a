"""The process of the embedded assignment store."""

import asyncio
from pathlib import Path

from control_plane.io.sqlite_store import SqliteStore
from control_plane.io.store_service import StoreService
from control_plane.io.store_writer import StoreWriter
from control_plane.store_rules import RESTORED
from core.gate import LoopbackPolicy
from core.io.hosted import Life, run_hosted
from core.io.json_log import warn
from core.io.serve import Server
from core.processes import StoreConfig
from twinhold.v1 import store_service_pb2 as pb
from twinhold.v1 import store_service_pb2_grpc as pb_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["StoreService"].full_name
_GRACE_S = 0.2


def main(config: StoreConfig) -> int:
    """Run the store to its end; returns the exit code."""
    data_dir = Path(config.data_dir)
    return run_hosted(data_dir, config.life_fd, lambda life: _serve(config, data_dir, life))


async def _serve(config: StoreConfig, data_dir: Path, life: Life) -> None:
    store = SqliteStore(data_dir, config.topology)
    if store.restored:
        warn("store.restored", message=RESTORED)
    writer = StoreWriter(store, asyncio.get_running_loop(), life.end)
    server = Server(config.topology.store_host, config.topology.store_port, LoopbackPolicy())
    service = StoreService(config.topology, writer)
    pb_grpc.add_StoreServiceServicer_to_server(service, server.server)
    writer.start()
    try:
        await server.start([SERVICE])
        life.ready()
        await life.over()
        await server.stop(_GRACE_S)
    finally:
        writer.close()
        store.close()
