"""Plays a scenario's steps on a stage, each at its time, and notes how each went."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random

from chaos.bystanders import Reach
from chaos.faults import Deed, Entry
from chaos.io.faults import Injector
from chaos.io.stage import Stage
from chaos.probes import SAMPLE_AFTER_S, SAMPLED_SHARDS, Gap, Gaps, Sampling, gaps, primaries_in
from chaos.run import Done
from chaos.scenario import Step
from chaos.targets import ALL, Scope
from core.assignments import Assignment
from core.errors import TwinholdError
from core.fleet_map import shards_on, shards_touching
from core.names import DcId, NodeId, ShardId

LOOK_S = 0.1
ALLOW_S = 6.0
"""An operation that began in a fault's reach has its final answer within this after the fault."""


@dataclass(slots=True)
class Played:
    """One step as it went."""

    step: Step
    entry: Entry
    touched: frozenset[ShardId]
    proved: bool = False
    ended_at_s: float | None = None


@dataclass(slots=True)
class Play:
    """Everything that the steps left behind."""

    steps: list[Played] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


class Player:
    """Plays the steps of one scenario."""

    def __init__(self, stage: Stage, injector: Injector, *, seed: int) -> None:
        self._stage = stage
        self._injector = injector
        self._dice = Random(seed)
        self.play = Play()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Play every step, then wait until the fleet is whole or the time is over."""
        for step in self._stage.scenario.steps:
            await self._until(step.at_s)
            if step.deed is Deed.DRAIN:
                await self._drain(step)
            else:
                await self._hurt(step)
        await self._whole_again()
        await asyncio.gather(*self._tasks)

    async def cancel(self) -> None:
        """End what still watches or waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _miss(self, what: str) -> None:
        """Note that something did not happen in its time."""
        self._stage.screen.say(f"{self._stage.clock_s():6.1f} s  missed: {what}")
        self.play.missed.append(what)

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - self._stage.clock_s()))

    async def _hurt(self, step: Step) -> None:
        stage = self._stage
        touched = self._touched(step) if step.deed.harms else frozenset[ShardId]()
        entry = await self._injector.inject(step.name, step.deed, step.target)
        played = Played(step, entry, touched)
        self.play.steps.append(played)
        if touched:
            injected_ns = stage.begin_ns + int(entry.at_s * 1e9)
            await stage.probe.send(do="probe", fault=entry.number, shards=sorted(touched), injected_ns=injected_ns)
        stage.screen.say(f"{entry.at_s:6.1f} s  {step.name}: {step.deed.value} {step.target}, {len(touched)} shards")
        if step.deed.harms:
            stage.faults_on[entry.number] = step.name
        if step.deed is Deed.RESTART:
            self._over(step)
        self._own(self._prove(played))
        if step.for_s is not None:
            self._own(self._let_go(played, step.for_s))

    async def _prove(self, played: Played) -> None:
        receipt = await self._injector.effective(played.entry, played.step.target)
        played.proved = receipt.effective
        if not receipt.effective:
            self._stage.screen.say(f"no receipt for {played.step.name}: {'; '.join(receipt.evidence)}")

    async def _let_go(self, played: Played, for_s: float) -> None:
        await self._until(played.entry.at_s + for_s)
        await self._injector.revert(played.entry, played.step.target)
        self._end(played)
        self._stage.screen.say(f"{self._stage.clock_s():6.1f} s  over: {played.step.name}")

    def _over(self, step: Step) -> None:
        """A restart ends the kill of the same target, and of what is part of it."""
        for played in self.play.steps:
            same = played.step.target == step.target
            if played.step.deed is Deed.KILL and same and played.ended_at_s is None:
                self._injector.reverted(played.entry)
                self._end(played)

    def _end(self, played: Played) -> None:
        played.ended_at_s = self._stage.clock_s()
        self._stage.faults_on.pop(played.entry.number, None)

    def _touched(self, step: Step) -> frozenset[ShardId]:
        """Name the shards whose pair touches what is hurt: none by a control plane."""
        held, found = self._stage.client.map.shards.values(), list[Assignment]()
        if step.target.scope is Scope.DATA_CENTER:
            found = shards_touching(held, DcId(step.target.id))
        elif step.target.scope is Scope.NODE:
            found = shards_on(held, NodeId(step.target.id))
        return frozenset(assignment.shard for assignment in found)

    async def _drain(self, step: Step) -> None:
        stage, dc = self._stage, DcId(step.target.id)
        if not await self._whole_before(step):
            return
        sampling = Sampling(self._sampled(dc))
        watching = asyncio.create_task(self._sample(sampling, dc))
        try:
            entry = self._injector.note(step.name, step.deed, step.target)
            played = Played(step, entry, frozenset())
            self.play.steps.append(played)
            operation = await stage.operator.drain(dc, accept_exposure=step.accept_exposure)
            played.proved = True
            stage.screen.say(f"{entry.at_s:6.1f} s  {step.name}: {operation.title}")
            stage.faults_on[entry.number] = step.name
            if await self._drained(operation.name, dc):
                self._injector.reverted(entry)
                self._end(played)
                stage.screen.say(f"{stage.clock_s():6.1f} s  over: {step.name}")
            else:
                self._miss(f"{step.name}: not complete at {stage.clock_s():.0f} s")
        except TwinholdError as error:
            self._miss(f"{step.name}: {error.message}")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _whole_before(self, step: Step) -> bool:
        """Wait until the geography survives any loss again, at most until the step's latest time."""
        latest_s = self._stage.scenario.end_at_most_s if step.latest_s is None else step.latest_s
        while step.once_whole is not None:
            if step.once_whole in await self._survivors():
                break
            if self._stage.clock_s() > latest_s:
                self._miss(f"{step.name}: {step.once_whole} does not survive a further loss at {latest_s:g} s")
                return False
            await asyncio.sleep(LOOK_S)
        return True

    async def _survivors(self) -> set[str]:
        try:
            status = await self._stage.operator.status()
        except TwinholdError:
            return set()
        return {geography.geography for geography in status.geographies if geography.survives_any_loss}

    async def _drained(self, operation: str, dc: DcId) -> bool:
        stage = self._stage
        while stage.clock_s() < stage.scenario.end_at_most_s:
            try:
                found = await stage.operator.operation(operation)
            except TwinholdError:
                await asyncio.sleep(LOOK_S)
                continue
            if found.HasField("error"):
                self._miss(f"drain of {dc} failed: {found.error.message}")
                return False
            if found.done and not shards_touching(stage.client.map.shards.values(), dc):
                return True
            await asyncio.sleep(LOOK_S)
        return False

    def _sampled(self, dc: DcId) -> frozenset[ShardId]:
        shards = primaries_in(self._stage.client.map.shards, dc)
        return frozenset(self._dice.sample(shards, min(SAMPLED_SHARDS, len(shards))))

    async def _sample(self, sampling: Sampling, dc: DcId) -> None:
        """Write sampled shards while their steps run; begins with the first move that the leader tells of."""
        while True:
            try:
                async for number in self._stage.operator.moves():
                    shard = ShardId(number)
                    if sampling.starts(shard):
                        await self._stage.probe.send(do="enter", shard=shard)
                        self._own(self._leave(sampling, shard, dc))
            except TwinholdError:
                await asyncio.sleep(LOOK_S)

    async def _leave(self, sampling: Sampling, shard: ShardId, dc: DcId) -> None:
        held = self._stage.client.map
        while held.shard(shard).primary.node in {node.id for node in held.topology.nodes_in(dc)}:
            if self._stage.clock_s() > self._stage.scenario.end_at_most_s:
                break
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(SAMPLE_AFTER_S)
        sampling.ends(shard)
        await self._stage.probe.send(do="leave", shard=shard)

    async def _whole_again(self) -> None:
        stage = self._stage
        while stage.clock_s() < stage.scenario.end_at_most_s:
            if stage.exposed() == 0:
                return
            await asyncio.sleep(LOOK_S)
        if stage.exposed():
            self._miss(f"{stage.exposed()} shards are still on one copy at {stage.clock_s():.0f} s")

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)


def reaches(play: Play, *, begin_ns: int, length_s: float, found: dict[int, Gaps]) -> list[Reach]:
    """Say while each step was on, which shards it touched: until it was undone, or everybody could write again."""
    reached = []
    for played in play.steps:
        end_s = length_s if played.ended_at_s is None else played.ended_at_s
        if played.touched and played.step.deed is Deed.KILL:
            slowest_s = max(found[played.entry.number].seconds, default=0.0)
            end_s = min(end_s, played.entry.at_s + slowest_s)
        allow_s = ALLOW_S if played.touched else 0.0
        reached.append(
            Reach(
                begin_ns=begin_ns + int(played.entry.at_s * 1e9),
                end_ns=begin_ns + int((end_s + allow_s) * 1e9),
                shards=played.touched,
                leaderless=played.step.deed is Deed.KILL
                and played.step.target.scope is Scope.CONTROL_PLANE
                and played.step.target.id == ALL,
                planned=played.step.deed is Deed.DRAIN,
            )
        )
    return reached


def done(played: Played, found: Gaps | None) -> Done:
    """Sum a step up for the verdict."""
    return Done(
        name=played.step.name,
        deed=played.step.deed,
        target=str(played.step.target),
        at_s=played.entry.at_s,
        ended_at_s=played.ended_at_s,
        proved=played.proved,
        evidence=tuple(played.entry.evidence),
        gaps=found,
    )


def summed(play: Play, sights: dict[int, list[Gap]]) -> dict[int, Gaps]:
    """Sum the probes up, by fault."""
    return {
        played.entry.number: gaps(len(played.touched), sights.get(played.entry.number, []))
        for played in play.steps
        if played.touched
    }
