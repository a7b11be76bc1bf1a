"""How the map travels in the simulated fleet: whoever holds one tells it to those who watch, step by step.

As on the wire: a watcher says what it has; it gets what it lacks, then every step, and an age when nothing changes. One
that finds a gap asks for the whole map.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from chaos.sim.messages import Age, SimMessage, Step, Unwatch, Watch, Whole
from core.assignments import Assignment
from core.errors import PositionGoneError, TwinholdError
from core.fleet_map import NO_REVISION, Delta, FleetMap, Revision
from core.names import ShardId, TenantName

AGE_EVERY_S = 1.0
SILENCE_S = 3.0
"""A source that tells nothing for so long is watched anew, or left."""
Send = Callable[[str, SimMessage], None]


class MapSource:
    """A map and its watchers."""

    def __init__(self, fleet_map: FleetMap, send: Send) -> None:
        self._map, self._send = fleet_map, send
        self._watchers: dict[str, None] = {}

    def watch(self, who: str, since: Revision | None) -> None:
        """Tell one from now on; nothing as long as there is no map."""
        self._watchers[who] = None
        if self._map.revision != NO_REVISION:
            known = since == self._map.revision
            self._send(who, Age(self._map.revision) if known else self._whole())

    def forget(self, who: str) -> None:
        """Tell it no more."""
        self._watchers.pop(who, None)

    def replaced(self) -> None:
        """Tell everybody that the map is another one."""
        if self._map.revision != NO_REVISION:
            self._tell(self._whole())

    def stepped(self, delta: Delta) -> None:
        """Tell everybody a step."""
        self._tell(Step(delta))

    def tell_age(self) -> None:
        """Tell everybody where the map stands."""
        self._tell(Age(self._map.revision))

    def _tell(self, message: SimMessage) -> None:
        for who in self._watchers:
            self._send(who, message)

    def _whole(self) -> Whole:
        held = self._map
        return Whole(held.revision, tuple(held.shards.values()), tuple(held.overrides.items()))


class MapTaker(Protocol):
    """Whose map follows another one."""

    @property
    def fleet_map(self) -> FleetMap:
        """The map as it stands."""
        ...

    def map_replaced(
        self, revision: Revision, assignments: Iterable[Assignment], overrides: Mapping[TenantName, ShardId]
    ) -> None:
        """Take a snapshot; raises MalformedError for one that is worse."""
        ...

    def map_stepped(self, delta: Delta) -> None:
        """Take a step; raises PositionGoneError when a snapshot is needed."""
        ...


class MapFollower:
    """Follows one source at a time."""

    def __init__(self, taker: MapTaker, send: Send, now: Callable[[], float]) -> None:
        self._taker, self._send, self._now = taker, send, now
        self.source: str | None = None
        self._heard_at = now()

    def follow(self, source: str | None) -> None:
        """Watch this one from now on; None: nobody."""
        if source != self.source:
            if self.source is not None:
                self._send(self.source, Unwatch())
            self.source = source
            self.again()

    def again(self, *, whole: bool = False) -> None:
        """Ask the source, from where the map stands or for all of it."""
        self._heard_at = self._now()
        if self.source is not None:
            revision = self._taker.fleet_map.revision
            self._send(self.source, Watch(None if whole or revision == NO_REVISION else revision))

    def silent(self) -> bool:
        """Say whether the source has been silent for too long."""
        return self.source is not None and self._now() - self._heard_at > SILENCE_S

    def take(self, peer: str, message: Whole | Step | Age) -> None:
        """Take what a source tells; what is told by another one, and what would make the map worse, changes nothing."""
        if peer != self.source:
            return
        self._heard_at = self._now()
        try:
            self._apply(message)
        except PositionGoneError:
            self.again(whole=True)
        except TwinholdError:
            pass  # It stays on the last good one.

    def _apply(self, message: Whole | Step | Age) -> None:
        match message:
            case Whole(revision, held, overrides):
                self._taker.map_replaced(revision, held, dict(overrides))
            case Step(delta):
                self._taker.map_stepped(delta)
            case Age(revision):
                if revision != self._taker.fleet_map.revision:
                    raise PositionGoneError("the source's map is another one")
