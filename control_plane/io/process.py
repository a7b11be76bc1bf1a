"""The process of a control plane: the driver between the store, the nodes, the other control planes and the callers."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from control_plane.api.services import SERVICES, add_services
from control_plane.driver import ControlPlaneDriver
from control_plane.io.engines import opened
from control_plane.io.lines import Lines
from control_plane.io.map_relay import MapRelay
from control_plane.io.nodes import NodeCalls
from control_plane.io.peers import PeerStreams
from control_plane.ports import AssignmentStore, LeaderLock
from control_plane.views import LeaderView
from core.discovery import Part
from core.gate import LoopbackPolicy
from core.io.clock import LoopClock
from core.io.hosted import Life, run_hosted
from core.io.json_log import tell, warn
from core.io.jumps import JumpWatch
from core.io.map_feed import CALM_GAP_S, GAP_S, MapFeed
from core.io.presence import be_present
from core.io.serve import Server
from core.processes import ControlPlaneConfig
from core.timers import timers

STORE_DEADLINE_S = 1.0
"""Longer than the farthest majority and a busy disk; then the outcome is Unknown, and the record is read again."""
QUIET_PROBES = 2.6
"""Every second report that a leader gets is answered, and every one that a follower gets, which are half as many."""
_GRACE_S = 0.2


def main(config: ControlPlaneConfig) -> int:
    """Run a control plane to its end; returns the exit code."""
    return run_hosted(Path(config.data_dir), config.life_fd, lambda life: _serve(config, life))


async def _serve(config: ControlPlaneConfig, life: Life) -> None:
    async with AsyncExitStack() as closing:
        store, lock = await opened(config, closing, deadline_s=STORE_DEADLINE_S)
        host = _Host(config, store, lock)
        closing.push_async_callback(host.close)
        host.jumps.start()
        host.driver.start()  # first: a call may come before the server's start returns
        await host.server.start(SERVICES)
        owned = [_owned(host.peers.run(host.driver, host.jumps.check), life)]
        if (register := config.engines.discovery) is not None:
            present = be_present(register, config.topology, Part.CONTROL_PLANE, config.control_plane, life)
            owned.append(_owned(present, life))
        life.ready()
        await life.over()
        host.driver.stop()
        host.jumps.stop()
        for task in owned:
            task.cancel()
        await asyncio.gather(*owned, return_exceptions=True)


class _Host:
    """Everything that one control plane consists of, wired."""

    def __init__(self, config: ControlPlaneConfig, store: AssignmentStore, lock: LeaderLock) -> None:
        topology = config.topology
        me = topology.control_plane(config.control_plane)
        clock = LoopClock(asyncio.get_running_loop())
        profile = timers(config.profile)
        self._me = me.id
        self._lines = Lines()
        self._nodes = NodeCalls(topology, home=me.dc, timers=profile, lines=self._lines)
        self.peers = PeerStreams(topology, me.id, timers=profile, clock=clock)
        self.driver = ControlPlaneDriver(
            topology=topology,
            control_plane=me.id,
            timers=profile,
            clock=clock,
            rng=Random(config.seed),
            store=store,
            lock=lock,
            nodes=self._nodes,
            peers=self.peers,
            tell=lambda event, facts: tell(event, **facts),
        )
        self.jumps = JumpWatch(profile.jump_s, clock, self.driver.jumped)
        self._relay = MapRelay(self.driver, home=me.dc, lines=self._lines, clock=clock)
        self._feed = MapFeed(self.driver.fleet_map, self.driver.map_age_ms, gap_s=GAP_S, calm_gap_s=CALM_GAP_S)
        self.driver.follow_map(self._feed)
        self.server = Server(me.host, me.port, LoopbackPolicy())
        self._told = add_services(
            self.server,
            self.driver,
            feed=self._feed,
            store=store,
            lines=self._lines,
            awake=self.jumps.check,
            now=clock.now,
            home=me.dc,
            quiet_s=QUIET_PROBES * profile.probe_s,
        )
        self.driver.follow_leader(self._led)
        clock.before = self.jumps.check

    def _led(self, now: LeaderView) -> None:
        """Keep the relay on whoever leads, and tell the nodes at once when that changes: they wait for it."""
        self._relay.follow(None if now.leader == self._me else now.leader)
        self._told.leader_changed()

    async def close(self) -> None:
        """Close what was opened, callers first."""
        await self.server.stop(_GRACE_S)
        await self._feed.close()
        await self._relay.close()
        await self._nodes.close()
        await self._lines.close()


def _owned(work: Coroutine[None, None, None], life: Life) -> "asyncio.Task[None]":
    """Run work for as long as the process lives; if it fails, so does the process, and the log says why."""

    def ended(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (cause := task.exception()) is not None:
            warn("process.broken", cause=repr(cause))
            life.end("a part of it broke")

    task = asyncio.ensure_future(work)
    task.add_done_callback(ended)
    return task
