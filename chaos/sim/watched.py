"""The simulated network and store as the witness sees them: each does what it does, and tells."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from chaos.sim.messages import SimMessage
from chaos.sim.network import Name, Network, Weather
from chaos.sim.time import Host, World
from chaos.sim.witness import Witness
from control_plane.memory_store import MemoryStore, Vault
from control_plane.memory_store import Weather as StoreWeather
from control_plane.ports import Adoption, Applied, Doc, Partition, Row, Unknown, WriteAnswer
from core.names import ControlPlaneId, NodeId
from core.ports import Clock
from core.topology import Topology
from nodes.views import Answered, QueryAnswer

Answer = TypeVar("Answer")
ANSWERS = (Answered, QueryAnswer)


class WatchedNetwork(Network[SimMessage]):
    """A network whose every answer to a call is seen as it leaves."""

    def __init__(self, world: World, hosts: Mapping[Name, Host], weather: Weather, witness: Witness) -> None:
        super().__init__(world, hosts, weather)
        self._witness = witness

    def call(
        self,
        source: Name,
        target: Name,
        ask: Callable[[Callable[[Answer], None]], None],
        done: Callable[[Answer | None], None],
        *,
        deadline_s: float,
    ) -> None:
        """Call another host."""
        Network.call(self, source, target, partial(self._ask, source, target, ask), done, deadline_s=deadline_s)

    def _ask(
        self,
        source: Name,
        target: Name,
        ask: Callable[[Callable[[Answer], None]], None],
        back: Callable[[Answer], None],
    ) -> None:
        ask(partial(self._leave, source, target, back))

    def _leave(self, source: Name, target: Name, back: Callable[[Answer], None], answer: Answer) -> None:
        if isinstance(answer, ANSWERS):
            self._witness.answered(NodeId(target), source, answer)
        back(answer)


class WatchedVault(Vault):
    """A store whose every deed is seen as it is done."""

    def __init__(self, topology: Topology, clock: Clock, witness: Witness) -> None:
        super().__init__(topology, clock)
        self.witness = witness

    def write(self, partition: Partition, term: int, rows: Sequence[Row], docs: Sequence[Doc]) -> WriteAnswer:
        """Judge and write."""
        answers = super().write(partition, term, rows, docs)
        if isinstance(answers, tuple):
            done = [isinstance(answer, Applied) for answer in answers]
            self.witness.decisions.wrote(
                partition,
                term,
                [row for row, applied in zip(rows, done[: len(rows)], strict=True) if applied],
                [doc for doc, applied in zip(docs, done[len(rows) :], strict=True) if applied],
            )
            self.witness.refused([row for row, applied in zip(rows, done[: len(rows)], strict=True) if not applied])
        else:
            self.witness.deposed()
        return answers

    def raise_term(self, term: int) -> WriteAnswer:
        """Take the fleet partition over."""
        answer = super().raise_term(term)
        if isinstance(answer, tuple):
            self.witness.decisions.raised(term)
        return answer

    def adopt(self, term: int, adoption: Adoption) -> WriteAnswer:
        """Put records in place of those of a restored store."""
        answer = super().adopt(term, adoption)
        if answer == (Applied(),):
            self.witness.decisions.adopted(term, adoption)
        return answer


class WatchedStore(MemoryStore):
    """A caller's way to the store; seen when a write's outcome stays unknown to it."""

    def __init__(
        self, vault: WatchedVault, caller: ControlPlaneId, *, clock: Clock, weather: StoreWeather, deadline_s: float
    ) -> None:
        super().__init__(vault, caller, clock=clock, weather=weather, deadline_s=deadline_s)
        self._witness = vault.witness

    def write(
        self,
        partition: Partition,
        term: int,
        rows: Sequence[Row],
        docs: Sequence[Doc],
        done: Callable[[WriteAnswer], None],
    ) -> None:
        """Write rows and docs of one partition."""
        sent = tuple(rows)

        def answered(answer: WriteAnswer) -> None:
            if isinstance(answer, Unknown):
                self._witness.unknown(sent)
            done(answer)

        super().write(partition, term, rows, docs, answered)
