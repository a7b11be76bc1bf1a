"""A rehearsal under way: the fleet, its load and probes, and what is seen of them meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chaos.io.chatter import clock_ns
from chaos.io.child import Fields
from chaos.io.operator import Operator
from chaos.io.screen import Now, Screen
from chaos.io.worker import Worker
from chaos.probes import Gap
from chaos.run import LoadFigures, Second
from chaos.scenario import Scenario
from client.io import Client, connect
from core.engines import Engines
from core.names import ShardId
from core.topology import Topology
from regions.io.fleet import Fleet, Progress
from regions.io.proc import State, seen

SET_UP_S = 120.0
STOP_S = 45.0
AUDIT_S = 120.0
IDLE_S = 3.0
QUIET_S = 5.0
"""Between the tenants' creation and the measurement of the idle fleet."""


@dataclass(slots=True)
class Sights:
    """What was seen while the load ran."""

    seconds: list[Second] = field(default_factory=list)
    gaps: dict[int, list[Gap]] = field(default_factory=dict)
    """By fault."""
    samples: dict[ShardId, list[int]] = field(default_factory=dict)
    """When each sampled shard acknowledged, nanoseconds."""
    probed: int = 0


class Stage:
    """Everything that runs; use ``staged``."""

    def __init__(
        self, scenario: Scenario, fleet: Fleet, client: Client, load: Worker, probe: Worker, screen: Screen
    ) -> None:
        self.scenario = scenario
        self.fleet = fleet
        self.client = client
        self.operator = Operator(fleet.topology)
        self.load = load
        self.probe = probe
        self.screen = screen
        self.sights = Sights()
        self.begin_ns = 0
        self.faults_on: dict[int, str] = {}
        self._listeners: list[asyncio.Task[None]] = []
        self._stopped: dict[str, asyncio.Future[Fields]] = {}

    def clock_s(self) -> float:
        """Read seconds after the load began."""
        return (clock_ns() - self.begin_ns) / 1e9

    def exposed(self) -> int:
        """Count the shards on one copy, as the map says."""
        return sum(assignment.solo for assignment in self.client.map.shards.values())

    def cpu_s(self) -> tuple[float, float]:
        """Read processor time so far: of the fleet, and of load and probes."""
        own = sum(found.cpu_s for worker in (self.load, self.probe) if (found := seen(worker.pid)) is not None)
        return sum(self.fleet.cpu_s().values()), own

    async def cores(self, length_s: float) -> tuple[float, float]:
        """Measure processor use over a while, in cores: the fleet's, and that of load and probes."""
        before, begin_ns = self.cpu_s(), clock_ns()
        await asyncio.sleep(length_s)
        after, took_s = self.cpu_s(), (clock_ns() - begin_ns) / 1e9
        return (after[0] - before[0]) / took_s, (after[1] - before[1]) / took_s

    async def create(self) -> None:
        """Create the tenants of load and probes."""
        await self.load.send(do="create")
        await self.probe.send(do="create")
        created = [await worker.until("created", within_s=SET_UP_S) for worker in (self.load, self.probe)]
        self.screen.say(f"{created[0]['created']} tenants and {created[1]['created']} probe tenants created")

    async def start(self) -> None:
        """Let the load begin."""
        self.begin_ns = clock_ns() + 200_000_000
        loop = asyncio.get_running_loop()
        self._stopped = {name: loop.create_future() for name in ("load", "probe")}
        self._listeners = [
            asyncio.create_task(self._listen("load", self.load)),
            asyncio.create_task(self._listen("probe", self.probe)),
        ]
        await self.load.send(do="start", begin_ns=self.begin_ns)

    async def guarded(self, work: Coroutine[None, None, None]) -> None:
        """Do something while the load runs, and give it up when the load or the probes end by themselves."""
        task = asyncio.create_task(work)
        for stopped in self._stopped.values():
            stopped.add_done_callback(lambda _: task.cancel())
        try:
            await task
        except asyncio.CancelledError:
            for stopped in self._stopped.values():
                if stopped.done():
                    stopped.result()
            raise
        finally:
            task.cancel()

    async def stop(self) -> LoadFigures:
        """Stop load and probes, and wait for the final answers of what they sent.

        Raises:
            UnavailableError: one of them ended by itself.
        """
        await self.load.send(do="stop")
        await self.probe.send(do="stop")
        async with asyncio.timeout(STOP_S):
            report = await self._stopped["load"]
            await self._stopped["probe"]
        await self.stop_listening()
        length_s = max(self.clock_s(), 0.001)
        writes = sum(second.writes_per_s for second in self.sights.seconds) / max(1, len(self.sights.seconds))
        return LoadFigures(
            sent=report["sent"],
            late=report["late"],
            acknowledged_per_s=writes if length_s else 0.0,
            p99_ms=report["p99_ms"],
        )

    async def audit(self) -> int:
        """Read every channel whole, once; returns how many reads failed."""
        await self.load.send(do="audit")
        await self.probe.send(do="audit")
        reports = [await worker.until("audited", within_s=AUDIT_S) for worker in (self.load, self.probe)]
        return sum(report["failed"] for report in reports)

    async def stop_listening(self) -> None:
        """End what waits for reports."""
        for listener in self._listeners:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener
        self._listeners = []

    async def _listen(self, name: str, worker: Worker) -> None:
        stopped = self._stopped[name]
        try:
            while not stopped.done():
                self._take(name, await worker.next_report())
        except Exception as error:
            if not stopped.done():
                stopped.set_exception(error)
            raise

    def _take(self, name: str, report: Fields) -> None:
        if "load" in report:
            self._take_load(report["load"])
        elif "gap" in report:
            gap = report["gap"]
            found = Gap(ShardId(gap["shard"]), gap["begun_s"], gap["gap_s"])
            self.sights.gaps.setdefault(gap["fault"], []).append(found)
        elif "sample" in report and report["sample"]["ok"]:
            sample = report["sample"]
            self.sights.samples.setdefault(ShardId(sample["shard"]), []).append(sample["completed_ns"])
        elif "stopped" in report:
            self._stopped[name].set_result(report)

    def _take_load(self, told: Fields) -> None:
        before_s = self.sights.seconds[-1].at_s if self.sights.seconds else 0.0
        length_s = max(0.001, told["at_s"] - before_s)
        exposed = self.exposed()
        second = Second(
            at_s=told["at_s"],
            writes_per_s=told["writes"] / length_s,
            reads_per_s=told["reads"] / length_s,
            failed_per_s=told["failed"] / length_s,
            write_p50_ms=told["write_p50_ms"],
            write_p99_ms=told["write_p99_ms"],
            read_p99_ms=told["read_p99_ms"],
            exposed=exposed,
        )
        self.sights.seconds.append(second)
        states = self.fleet.state()
        self.screen.show(
            Now(
                at_s=second.at_s,
                end_s=self.scenario.end_at_most_s,
                up=sum(state is State.RUNNING for state in states.values()),
                processes=len(states),
                faults=tuple(self.faults_on.values()),
                writes_per_s=second.writes_per_s,
                reads_per_s=second.reads_per_s,
                failed_per_s=second.failed_per_s,
                write_p99_ms=second.write_p99_ms,
                shards_sync=len(self.client.map.shards) - exposed,
                shards_solo=exposed,
            )
        )


@asynccontextmanager
async def staged(
    scenario: Scenario, topology: Topology, folder: Path, *, engines: Engines, seed: int, screen: Screen
) -> AsyncIterator[Stage]:
    """Bring up a fleet with load and probe processes beside it; whatever happens, none of them is left behind."""

    def tell(progress: Progress | str) -> None:
        screen.say(str(progress))

    fleet = await Fleet.up(
        topology,
        folder / "fleet",
        profile=scenario.profile,
        seed=seed,
        engines=engines,
        described=scenario.preset,
        tell=tell,
    )
    workers: list[Worker] = []
    try:
        doors = [*(c.endpoint for c in topology.control_planes), *(n.endpoint for n in topology.nodes)]
        common = {"doors": doors, "seed": seed, "history": str(folder / "history.jsonl")}
        workers.append(await Worker.start("chaos.io.load_process", {**common, "load": asdict(scenario.load)}))
        workers.append(await Worker.start("chaos.io.probe_process", common))
        async with connect(doors, actor="rehearsal", seed=seed) as client:
            await client.ready(timeout_s=SET_UP_S)
            stage = Stage(scenario, fleet, client, workers[0], workers[1], screen)
            try:
                yield stage
            finally:
                await stage.stop_listening()
                await stage.operator.close()
    finally:
        # The load first, so that it writes down what is under way while somebody may still answer it.
        for worker in workers:
            await worker.end()
        await fleet.down()
