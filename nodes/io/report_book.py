"""What this node reports: the whole of it once per stream, then only what changed, each stream at its own pace."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from core.assignments import Fence
from core.copies import CopyView
from core.fleet_map import Revision
from core.names import ControlPlaneId, NodeId, ShardId
from core.ports import Clock
from core.timers import Timers
from core.wire import revision_to_pb
from nodes.io.control_wire import copy_report, observation
from nodes.sighting import Sight, Sighting, judged
from nodes.views import Observation
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

    @property
    def term(self) -> int:
        """The highest term of a leader that has asked something of this node."""
        ...


@dataclass(slots=True)
class Page:
    """What one stream has not been told yet."""

    started: bool = False
    sequence: int = 0
    copies: set[ShardId] = field(default_factory=set)
    gone: set[ShardId] = field(default_factory=set)
    told: Mapping[str, Sight] = field(default_factory=dict)

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


Seen: TypeAlias = tuple[Sight, float, bool]
"""Of one target: how it looks now, when it was last heard, and whether it is a partner whose heartbeats are missed."""
_MISSED = (Sight.SILENT, Sight.REFUSED)


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
        self._seen: Mapping[str, Seen] = {}
        self._sights: Mapping[str, Sight] = {}
        self._all_well = True
        self._stands: tuple[object, ...] = ()
        self._still = pb.ReportRequest()
        """What every message says until one of ``_stands`` is another: most reports are a copy of it."""
        self.highest = Fence(0, 0)
        """The highest (incarnation, epoch) among the copies (C10)."""

    def page(self) -> Page:
        """Make the page of one more stream."""
        page = Page()
        self._pages.append(page)
        return page

    def collect(self) -> None:
        """Take what changed since the last time, for every stream."""
        changed, gone = self._driver.report(complete=False), set(self._driver.gone())
        if not changed and not gone and self.health.complaint == self._complained:
            return
        fresh = {view.shard for view in changed}
        gone -= fresh
        self._copies.update((view.shard, view) for view in changed)
        for shard in gone:
            self._copies.pop(shard, None)
        self.highest = max((view.fence for view in self._copies.values()), default=Fence(0, 0))
        if self.health.complaint != self._complained:
            self._complained = self.health.complaint
            fresh = set(self._copies)
        for page in self._pages:
            page.copies = (page.copies | fresh) - gone
            page.gone = (page.gone | gone) - fresh

    def look(self, sightings: Iterable[tuple[NodeId | ControlPlaneId, Sighting]]) -> None:
        """Judge what probes and partners show, once for all streams."""
        now, timers, all_well = self._clock.now(), self._timers, True
        seen: dict[str, Seen] = {}
        for target, sighting in sightings:
            sight = sighting.sight(now, timers)
            seen[target] = (sight, sighting.heard_at, False)
            all_well = all_well and sight is Sight.ALIVE
        for node, heard_at, refused in self._driver.observations():
            sight = judged(now - heard_at, refused=refused, beat_s=timers.heartbeat_s, timers=timers)
            seen[node] = (sight, heard_at, sight in _MISSED)
            all_well = all_well and sight is Sight.ALIVE
        if not (all_well and self._all_well and seen.keys() == self._seen.keys()):
            self._sights = {target: one[0] for target, one in seen.items()}
        self._seen, self._all_well = seen, all_well

    def compose(self, page: Page, revision: Revision) -> pb.ReportRequest:
        """Write a stream's next message."""
        complete = not page.started
        if complete:
            page.copies, page.gone, page.told = set(self._copies), set(), {}
        unwatched = self._unwatched(page)
        told, gone = _taken(page, len(page.copies) if complete else COPIES_MAX)
        page.started = True
        page.sequence += 1
        message = pb.ReportRequest()
        message.CopyFrom(self._standing(revision))
        message.sequence = page.sequence
        message.load, message.loop_lag_ms = self.health.load, self.health.lag_ms
        news = self._news(page)
        if complete or news or told or gone or unwatched:
            message.complete = complete
            message.observations.extend(news)
            message.copies.extend([copy_report(self._copies[shard], self._complained) for shard in told])
            message.gone.extend(gone)
            message.unwatched.extend(unwatched)
        return message

    def _standing(self, revision: Revision) -> pb.ReportRequest:
        """Write down what seldom changes."""
        stands = (revision, self.highest, self._driver.term)
        if stands != self._stands:
            self._stands = stands
            self._still = pb.ReportRequest(
                node=self.node,
                disk_id=self.disk_id,
                process_id=self.process_id,
                incarnation_max=self.highest.incarnation,
                epoch_max=self.highest.epoch,
                map=revision_to_pb(revision, self._fleet),
                term_max=self._driver.term,
            )
        return self._still

    def stirred(self, page: Page, *, leads: bool) -> bool:
        """Say whether a stream has something to tell that can't wait.

        What is seen otherwise than before can't: verdicts need it, whoever gives them next. How copies stand is acted
        on by the leader alone, so whoever does not lead hears of many changes in one message.

        Args:
            page: of the stream.
            leads: the stream's control plane leads, or nobody is known to.
        """
        return self._untold(page) or (leads and bool(page.copies or page.gone))

    def _untold(self, page: Page) -> bool:
        """Say whether somebody looks otherwise than a stream was told."""
        return page.told is not self._sights and page.told != self._sights

    def _unwatched(self, page: Page) -> list[str]:
        """List whom a stream was told of and nobody looks at any more.

        A partner that was missed when it ceased to be one would stay missed, and its control planes would judge it at
        every look.
        """
        return sorted(page.told.keys() - self._sights.keys()) if self._untold(page) else []

    def _news(self, page: Page) -> list[pb.Observation]:
        untold, before, page.told = self._untold(page), page.told, self._sights
        if self._all_well and not untold:
            return []
        now = self._clock.now()
        return [
            observation(target, sight, silent_ms=round(max(0.0, now - heard_at) * 1000), paired=paired)
            for target, (sight, heard_at, paired) in self._seen.items()
            if sight is not Sight.ALIVE or before.get(target) != sight
        ]


def _taken(page: Page, copies_max: int) -> tuple[list[ShardId], list[ShardId]]:
    """Take from a page the copies, and those that are gone, that its next message names."""
    if not page.copies and not page.gone:
        return [], []
    told = sorted(page.copies)[:copies_max]
    page.copies.difference_update(told)
    gone, page.gone = sorted(page.gone), set()
    return told, gone
