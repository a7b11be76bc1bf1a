"""One node as a process: puts the driver between its journal, its links, its services and the control planes."""

import asyncio
import sys
import time
import traceback
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from core.assignments import Assignment
from core.discovery import Part
from core.gate import LoopbackPolicy
from core.io import map_feed
from core.io.beat import Beat
from core.io.clock import LoopClock
from core.io.hosted import Life, run_hosted
from core.io.json_log import tell, warn
from core.io.presence import be_present
from core.io.serve import Server
from core.names import ShardId, TenantName, tenant_name
from core.processes import NodeConfig
from core.rhythm import Rhythm
from core.timers import Timers, timers
from nodes.admission import USUAL_LIMITS
from nodes.api import commands, node_service, replication, restore
from nodes.api.intake import Intake
from nodes.door import Door
from nodes.driver import NodeDriver
from nodes.io import replication_calls
from nodes.io.app_registry import installed_apps
from nodes.io.archive_reader import ArchiveReader
from nodes.io.archiving import hold_s, opened_archive, start_archiving
from nodes.io.control import LeaderControl
from nodes.io.control_planes import ControlPlanes
from nodes.io.lag import LagMeter
from nodes.io.links import GrpcLinks
from nodes.io.map_follower import MapFollower
from nodes.io.probes import Prober
from nodes.io.report_book import ReportBook
from nodes.io.reporter import Reporter
from nodes.io.sqlite_journal import SqliteJournal
from nodes.pair_rules import Rules
from nodes.retries import USUAL_WINDOW
from nodes.shedding import Shedder
from twinhold.v1 import command_service_pb2_grpc, node_service_pb2_grpc

JOURNAL_DIR = "journal"
SWITCH_S = 0.0005
"""A busy loop lets the journal's thread run after this; with Python's 5 ms a commit waits ten times as long for it."""
PARTNERS_EVERY_S = 1.0
"""A change of partners is followed at once when the map brings it, and within this when an order does."""
STOP_S = 0.3
"""Calls in flight have this long to end; replication streams never end by themselves."""


def main(config: NodeConfig) -> int:
    """Run a node until its end; returns the exit code."""
    sys.setswitchinterval(SWITCH_S)
    return run_hosted(Path(config.data_dir), config.life_fd, lambda life: _serve(config, life))


async def _serve(config: NodeConfig, life: Life) -> None:
    async with AsyncExitStack() as closing:
        node = _Node(config, life, closing)
        await node.start()
        life.ready()
        await life.over()
        node.driver.stop()


class _Node:
    """The parts of one node, made in the order in which they need each other."""

    def __init__(self, config: NodeConfig, life: Life, closing: AsyncExitStack) -> None:
        self._life = life
        self._closing = closing
        self._timers: Timers = timers(config.profile)
        self._here = config.topology.node(config.node)
        topology, node, data_dir = config.topology, config.node, Path(config.data_dir)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_complain)
        process_id = time.time_ns()
        clock, chance = LoopClock(loop), Random(f"{config.seed}/{node}/{process_id}")
        journal = SqliteJournal(
            data_dir / JOURNAL_DIR, call_soon=loop.call_soon, call_soon_threadsafe=loop.call_soon_threadsafe
        )
        closing.callback(journal.close)
        apps = installed_apps()
        self._archive = opened_archive(config, closing, loop.call_soon_threadsafe)
        self._control_planes = ControlPlanes(topology, node)
        closing.push_async_callback(self._control_planes.close)
        control = LeaderControl(node, self._control_planes, timers=self._timers)
        closing.push_async_callback(control.close)
        self._links = GrpcLinks(topology, node, timers=self._timers, clock=clock, chance=chance)
        closing.push_async_callback(self._links.close)
        self.driver = NodeDriver(
            topology=topology,
            node=node,
            timers=self._timers,
            rhythm=Rhythm(self._timers.heartbeat_s),
            clock=clock,
            spawn=clock,
            rng=chance,
            journal=journal,
            links=self._links,
            apps=apps,
            window=USUAL_WINDOW,
            rules=Rules(),
            control=control,
            tell=lambda event, facts: tell(event, **facts),
            snapshot_hold_s=hold_s(self._archive),
        )
        self._follower = MapFollower(
            topology, self._control_planes, data_dir=data_dir, clock=clock, chance=chance, changed=self._map_changed
        )
        self._beat = Beat(clock, Rhythm(self._timers.probe_s))
        self._prober = Prober(topology, node, timers=self._timers, clock=clock, chance=chance)
        book = ReportBook(
            node,
            disk_id=journal.disk_id,
            process_id=process_id,
            driver=self.driver,
            timers=self._timers,
            clock=clock,
            fleet=topology.fleet,
        )
        clock.before = self.driver.look
        clock.late = LagMeter(book.health, self._timers.jump_s).late
        self._links.plug(self.driver.inbox())
        self._reporter = Reporter(
            self._here.endpoint,
            book,
            self._control_planes,
            probed=self._prober.sightings,
            revision=lambda: self._follower.map.revision,
            beat=self._beat,
            timers=self._timers,
            clock=clock,
            chance=chance,
        )
        self.driver.follow_steps(self._reporter.forget)
        self._config = config
        self._intake = Intake(apps, topology)
        self._door = Door(USUAL_LIMITS, Shedder(), clock=clock, spawn=clock)
        self._clock, self._journal = clock, journal
        reader = ArchiveReader(self._archive, journal, apps)
        self._restores = restore.RestoreService(self.driver, reader, apps, clock=clock, pointed=self._intake.pointed)

    async def start(self) -> None:
        """Recover, listen, and begin to follow, report and probe.

        Raises:
            UnavailableError: the address is in use, or another process holds the directory.
        """
        self.driver.start()
        self._follower.load()
        await self._listen()
        self._closing.push_async_callback(self._follower.save)
        for name, work in (
            ("map", self._follower.run()),
            ("map file", self._follower.keep()),
            ("reports", self._reporter.run()),
            ("probes", self._prober.run()),
            ("partners", self._keep_links()),
        ):
            self._own(name, work)
        start_archiving(
            self._archive,
            self.driver,
            self._journal,
            clock=self._clock,
            busy=lambda: self._door.busy,
            closing=self._closing,
        )
        if (register := self._config.engines.discovery) is not None:
            present = be_present(register, self._config.topology, Part.NODE, self._here.id, self._life)
            self._own("register", present)

    async def _listen(self) -> None:
        server = Server(self._here.host, self._here.port, LoopbackPolicy())
        service = commands.CommandService(self.driver, self._intake, self._door, self._shard_of)
        nodes = node_service.NodeService(self.driver, self._beat)
        command_service_pb2_grpc.add_CommandServiceServicer_to_server(service, server.server)
        node_service_pb2_grpc.add_NodeServiceServicer_to_server(nodes, server.server)
        server.server.add_generic_rpc_handlers(
            (replication.handlers(self._links), map_feed.handlers(self._follower.feed), self._restores.handlers())
        )
        self._closing.push_async_callback(self._follower.feed.close)
        await server.start([commands.SERVICE, node_service.SERVICE, replication_calls.SERVICE, map_feed.SERVICE])
        self._closing.push_async_callback(server.stop, STOP_S)

    def _own(self, name: str, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)

        def ended(_: asyncio.Future[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                warn("task.failed", task=name, trace="".join(traceback.format_exception(error)))
                self._life.end(f"the task {name!r} failed")

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        task.add_done_callback(ended)
        self._closing.push_async_callback(end)

    def _map_changed(self, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId] | None) -> None:
        self.driver.map_changed(assignments, overrides)
        self._links.follow(self.driver.partners())

    async def _keep_links(self) -> None:
        while True:
            await self._beat.after(PARTNERS_EVERY_S)
            self._links.follow(self.driver.partners())

    def _shard_of(self, tenant: str) -> ShardId:
        return self._follower.map.locate(tenant_name(tenant)).shard


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    trace = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
    warn("loop.exception", message=context.get("message"), trace=trace)
