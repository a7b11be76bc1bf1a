"""What this node reports: the whole of it once per stream, then only what changed, each stream at its own pace."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from core.assignments import Fence
from core.fleet_map import Revision
from core.names import ControlPlaneId, NodeId, ShardId
from core.ports import Clock
from core.timers import Timers
from core.wire import revision_to_pb
from nodes.io.control_wire import copy_report, observation
from nodes.sighting import Sight, Sighting, judged
from nodes.views import CopyView, Observation
from twinhold.v1 import node_service_pb2 as pb

COPIES_MAX = 512
"""Per message: a report never holds a loop up, however many copies changed at once."""


class Reported(Protocol):
    """What knows the copies, and sees the partners: the driver."""

    def report(self, *, complete: bool) -> Sequence[CopyView]:
        """List the copies: all, or those that changed since the last call."""
        ...

    def gone(self) -> Sequence[ShardId]:
        """List the shards whose copy is no longer held, since the last call."""
        ...

    def observations(self) -> Sequence[Observation]:
        """Say what this node sees of its partners."""
        ...


@dataclass(slots=True)
class Page:
    """What one stream has not been told yet."""

    started: bool = False
    sequence: int = 0
    copies: set[ShardId] = field(default_factory=set)
    gone: set[ShardId] = field(default_factory=set)
    told: dict[str, Sight] = field(default_factory=dict)

    def restart(self) -> None:
        """Begin a new stream: its first message is complete."""
        self.started, self.sequence = False, 0


@dataclass(slots=True)
class Health:
    """How the process does."""

    load: float = 0.0
    """Cores in use, averaged over 10 s."""
    lag_ms: int = 0
    """The longest loop step of the last second."""
    complaint: str = ""
    """Not empty: the node asks to be relieved."""


class Seen(NamedTuple):
    """What is seen of one target now."""

    sight: Sight
    silent_ms: int
    paired: bool


class ReportBook:
    """Collects what the driver and the observers know, and composes messages.

    Args:
        node: this node.
        disk_id: which disk it stands on.
        process_id: new with every start.
        driver: knows the copies, and sees the partners.
        timers: how silence is judged.
        clock: this process's clock.
        fleet: whose map revisions are meant.
    """

    def __init__(
        self,
        node: NodeId,
        *,
        disk_id: str,
        process_id: int,
        driver: Reported,
        timers: Timers,
        clock: Clock,
        fleet: str,
    ) -> None:
        self.node = node
        self.disk_id = disk_id
        self.process_id = process_id
        self.health = Health()
        self._driver = driver
        self._timers = timers
        self._clock = clock
        self._fleet = fleet
        self._copies: dict[ShardId, CopyView] = {}
        self._pages: list[Page] = []
        self._complained = ""
        self.highest = Fence(0, 0)
        """The highest (incarnation, epoch) among the copies (C10)."""

    def page(self) -> Page:
        """Make the page of one more stream."""
        page = Page()
        self._pages.append(page)
        return page

    def collect(self) -> None:
        """Take what changed since the last time, for every stream."""
        changed = {view.shard: view for view in self._driver.report(complete=False)}
        gone = set(self._driver.gone()) - changed.keys()
        self._copies.update(changed)
        for shard in gone:
            self._copies.pop(shard, None)
        if changed or gone:
            self.highest = max((view.fence for view in self._copies.values()), default=Fence(0, 0))
        fresh = set(changed)
        if self.health.complaint != self._complained:
            self._complained = self.health.complaint
            fresh = set(self._copies)
        for page in self._pages:
            page.copies = (page.copies | fresh) - gone
            page.gone = (page.gone | gone) - fresh

    def seen(self, sightings: Iterable[tuple[NodeId | ControlPlaneId, Sighting]]) -> Mapping[str, Seen]:
        """Judge what probes and partners show, once for all streams."""
        now, timers = self._clock.now(), self._timers
        seen: dict[str, Seen] = {
            target: Seen(sighting.sight(now, timers), round(sighting.silent_s(now) * 1000), False)
            for target, sighting in sightings
        }
        for partner in self._driver.observations():
            silent_s = timers.silence_s if partner.missed else partner.silent_ms / 1000
            sight = judged(silent_s, refused=partner.refused, beat_s=timers.heartbeat_s, timers=timers)
            seen[partner.node] = Seen(sight, partner.silent_ms, partner.missed or partner.refused)
        return seen

    def compose(self, page: Page, seen: Mapping[str, Seen], revision: Revision) -> pb.ReportRequest:
        """Write a stream's next message."""
        complete = not page.started
        if complete:
            page.copies, page.gone, page.told = set(self._copies), set(), {}
        told = sorted(page.copies) if complete else sorted(page.copies)[:COPIES_MAX]
        gone = sorted(page.gone)
        page.copies.difference_update(told)
        page.gone.clear()
        page.started = True
        page.sequence += 1
        highest = self.highest
        return pb.ReportRequest(
            node=self.node,
            disk_id=self.disk_id,
            process_id=self.process_id,
            sequence=page.sequence,
            complete=complete,
            observations=self._news(page, seen),
            copies=[copy_report(self._copies[shard], self._complained) for shard in told],
            gone=gone,
            load=self.health.load,
            loop_lag_ms=self.health.lag_ms,
            incarnation_max=highest.incarnation,
            epoch_max=highest.epoch,
            map=revision_to_pb(revision, self._fleet),
        )

    def stirred(self, page: Page, seen: Mapping[str, Seen]) -> bool:
        """Say whether a copy changed, or something is seen otherwise than this stream was told: that can't wait."""
        if page.copies or page.gone:
            return True
        return any(page.told.get(target) != one.sight for target, one in seen.items())

    def _news(self, page: Page, seen: Mapping[str, Seen]) -> list[pb.Observation]:
        news = [
            observation(target, one.sight, silent_ms=one.silent_ms, paired=one.paired)
            for target, one in seen.items()
            if one.sight is not Sight.ALIVE or page.told.get(target) != one.sight
        ]
        page.told = {target: one.sight for target, one in seen.items()}
        return news
