"""Simulated operators: they ask whoever leads, again and again until it is done, as a person at a terminal would."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from chaos.sim.plane import SimPlane
from chaos.sim.time import World
from control_plane.reception import Reception
from control_plane.views import Asked
from core.errors import NotLeaderError, TwinholdError, UnavailableError, UnknownOutcomeError
from core.names import ControlPlaneId, DcId, ShardId

AGAIN_S = 0.4
ANSWER_S = 2.0
"""After so long without an answer it is asked again: the leader may have died over it."""
AGAIN = (NotLeaderError, UnavailableError, UnknownOutcomeError)
"""After these it is asked again, under the same request id."""
Done: TypeAlias = Callable[[object], None]
Ask: TypeAlias = Callable[[Reception, Asked, Done], None]


@dataclass(slots=True, eq=False)
class _Wish:
    """One order, under one request id."""

    what: str
    ask: Ask
    asked: Asked
    insists: bool
    """It is asked for until it is done; else until it is refused."""
    over: bool = False
    asked_at: float = -ANSWER_S


class Operator:
    """Gives orders to the leader."""

    def __init__(self, world: World, planes: Mapping[ControlPlaneId, SimPlane]) -> None:
        self._world, self._planes = world, planes
        self._count = 0
        self._cordoned: dict[DcId, _Wish] = {}

    def drain(self, dc: DcId) -> None:
        """Move everything away from a data center, and place nothing new there."""

        def ask(reception: Reception, asked: Asked, done: Done) -> None:
            reception.drain(dc, validate_only=False, accept_exposure=True, asked=asked, done=done)

        self._cordoned[dc] = self._wish(f"drain {dc}", ask)

    def cordon(self, dc: DcId) -> None:
        """Place nothing new in a data center."""

        def ask(reception: Reception, asked: Asked, done: Done) -> None:
            reception.cordon(dc, etag="", asked=asked, done=done)

        self._cordoned[dc] = self._wish(f"cordon {dc}", ask)

    def uncordon(self, dc: DcId) -> None:
        """Give a data center its share again; what it was cordoned for is over."""
        before = self._cordoned.pop(dc, None)
        if before is None:
            return
        before.over = True

        def ask(reception: Reception, asked: Asked, done: Done) -> None:
            reception.uncordon(dc, etag="", asked=asked, done=done)

        self._wish(f"uncordon {dc}", ask, insists=True)

    def uncordon_all(self) -> None:
        """Give every data center its share again."""
        for dc in list(self._cordoned):
            self.uncordon(dc)

    def switchover(self, shard: ShardId) -> None:
        """Switch a shard's roles."""

        def ask(reception: Reception, asked: Asked, done: Done) -> None:
            reception.switchover(shard, validate_only=False, asked=asked, done=done)

        self._wish(f"switchover {shard}", ask)

    def _wish(self, what: str, ask: Ask, *, insists: bool = False) -> _Wish:
        self._count += 1
        asked = Asked("users/operator", "simulated", f"order-{self._count}")
        wish = _Wish(what, ask, asked, insists)
        self._try(wish)
        return wish

    def _try(self, wish: _Wish) -> None:
        if wish.over:
            return
        self._world.after(AGAIN_S, lambda: self._try(wish))
        reception = self._leader()
        if reception is not None and self._world.now - wish.asked_at >= ANSWER_S:
            wish.asked_at = self._world.now
            try:
                wish.ask(reception, wish.asked, lambda answer: self._answered(wish, answer))
            except TwinholdError as error:
                self._answered(wish, error)

    def _answered(self, wish: _Wish, answer: object) -> None:
        if isinstance(answer, AGAIN) or (wish.insists and isinstance(answer, TwinholdError)):
            wish.asked_at = -ANSWER_S
            return
        wish.over = True
        self._world.note(f"{wish.what}: {type(answer).__name__}")

    def _leader(self) -> Reception | None:
        """Find who leads and can be reached; of two, the later."""
        running = [plane for plane in self._planes.values() if plane.driver is not None and not plane.host.frozen]
        leading = [plane.driver for plane in running if plane.driver is not None and plane.driver.office() is not None]
        return max(leading, key=lambda driver: driver.leader().term).reception if leading else None
