"""`twinhold rehearse`: plays a scenario on a fresh fleet of this machine and says what it proves."""

import asyncio
import json
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import uvloop

from chaos.combined import followed_by, with_servers
from chaos.io.aftermath import measured_rtt_s, store_writes_s, surveyed, told_by
from chaos.io.faults import Injector
from chaos.io.journal import Journal, undo_left_behind
from chaos.io.load_scenario import load_scenario
from chaos.io.play import Play, Player, done, reaches, summed
from chaos.io.screen import Screen
from chaos.io.stage import IDLE_S, QUIET_S, SET_UP_S, Stage, staged
from chaos.moments import Decision, moments
from chaos.probes import Gaps, longest_gap_s
from chaos.report import page, sentence
from chaos.run import Cores, Done, LoadFigures, Run
from chaos.scenario import Scenario
from chaos.targets import members
from chaos.told import planned_gaps, rejoined, trips
from chaos.verdict import EXIT_CODES, SETTLE_S, Outcome, Verdict, document, verdict
from core.engines import EMBEDDED, Engines
from core.errors import AlreadyExistsError, TwinholdError
from core.io.hosted import write_whole
from core.names import ControlPlaneId, DcId, dc_of
from core.timers import timers
from core.topology import Topology
from regions.document import required, whole
from regions.io.load import document as topology_document
from regions.io.load import load
from regions.servers import own_servers
from regions.settings import chosen_words

REHEARSALS = Path("run/rehearsals")
INTERRUPTED = 130
TENANTS_EXISTING_MAX = 1_000_000_000


@dataclass(slots=True)
class Seen:
    """What only the running fleet could tell."""

    begin_ns: int
    began_wall_ms: int
    length_s: float
    load: LoadFigures
    cores: Cores
    audit_failed: int
    leader_dc: DcId
    decisions: tuple[Decision, ...]


def run(
    scenario: Path | None,
    *,
    seed: int,
    out: Path | None,
    tenants: int | None,
    rate: int | None,
    preset: str | None,
    profile: str | None,
    engines: Engines = EMBEDDED,
    also: Sequence[Path] = (),
    servers: bool = False,
) -> int:
    """Rehearse; everything that is None is as the scenario says.

    Args:
        scenario: a YAML file; None: the default rehearsal.
        seed: of the load, the probes' samples and the fleet's dice.
        out: where the run's files go; None: ``run/rehearsals/<time>-<seed>``.
        tenants: in use.
        rate: writes per second; reads stay in proportion.
        preset: the fleet, by name or by the path of its YAML.
        profile: of the timers.
        engines: what the fleet stands on.
        also: scenarios whose steps are played after it.
        servers: let a data center's servers of Cassandra and Consul fall and return with it.

    Returns:
        0 PASS, 1 FAIL, 10 INVALID, 130 interrupted.

    Raises:
        TwinholdError: bad input, or the fleet did not come up; nothing is left behind.
    """
    wanted = load_scenario(scenario).with_load(tenants=tenants, rate=rate)
    wanted = replace(wanted, preset=preset or wanted.preset, profile=profile or wanted.profile)
    wanted = reduce(followed_by, map(load_scenario, also), wanted)
    wanted = with_servers(wanted) if servers else wanted
    topology = load(wanted.preset)
    timers(wanted.profile)
    for step in wanted.steps:
        members(topology, step.target, own_servers(topology, engines))
    folder = _folder(out, seed)
    words = (*chosen_words(engines), *(f"--also {path}" for path in also), *(["--servers"] if servers else []))
    command = _command(scenario, words, seed=seed, tenants=tenants, rate=rate, preset=preset, profile=profile)
    with Screen(wanted.title) as screen:
        for line in undo_left_behind(folder.parent):
            screen.say(line)
        try:
            return uvloop.run(_interruptible(wanted, topology, engines, folder, seed, command, screen))
        except asyncio.CancelledError:
            screen.say(f"interrupted: nothing is left running; what was recorded until then is in {folder}")
            return INTERRUPTED


async def _interruptible(
    scenario: Scenario, topology: Topology, engines: Engines, folder: Path, seed: int, command: str, screen: Screen
) -> int:
    """Let the first signal cancel the run; what cleans up is not disturbed by further ones."""
    task = asyncio.current_task()
    assert task is not None, "runs as a task"
    signalled = False

    def cancel() -> None:
        nonlocal signalled
        if not signalled:
            signalled = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, cancel)
    rehearsed = await _rehearse(scenario, topology, engines, folder, seed, command, screen)
    judged = verdict(rehearsed)
    write_whole(folder / "verdict.json", json.dumps(document(rehearsed, judged), indent=2) + "\n")
    write_whole(folder / "report.html", page(rehearsed, judged))
    sys.stdout.write(told(rehearsed, judged, folder))
    if judged.outcome is Outcome.PASS:
        # The nodes' journals are evidence, and large; without a failure there is nothing to look for in them.
        shutil.rmtree(folder / "fleet", ignore_errors=True)
    return EXIT_CODES[judged.outcome]


async def _rehearse(
    scenario: Scenario, topology: Topology, engines: Engines, folder: Path, seed: int, command: str, screen: Screen
) -> Run:
    async with staged(scenario, topology, folder, engines=engines, seed=seed, screen=screen) as stage:
        journal = Journal(folder, {"scenario": scenario.file, "seed": seed, "command": command})
        player = Player(stage, Injector(stage.fleet, journal, stage.clock_s), seed=seed)
        try:
            seen = await _play(stage, player)
        finally:
            await player.cancel()
    screen.say("judging the history")
    found = summed(player.play, stage.sights.gaps)
    reached = reaches(player.play, begin_ns=seen.begin_ns, length_s=seen.length_s, found=found)
    judgement, census = surveyed(folder / "history.jsonl", topology, reached)
    lines = list(told_by(folder / "fleet"))
    rtt_s = measured_rtt_s(topology, lines)
    store_s = store_writes_s(topology, seen.leader_dc, rtt_s, lines)
    samples = stage.sights.samples.values()
    return Run(
        scenario=scenario,
        seed=seed,
        begun=time.strftime("%Y-%m-%d %H:%M", time.localtime(seen.began_wall_ms / 1000)),
        machine=f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        command=command,
        length_s=seen.length_s,
        done=tuple(_done(player.play, place, found, seen) for place in range(len(player.play.steps))),
        judgement=judgement,
        bystanders=census.bystanders,
        leaderless=census.leaderless,
        planned_writes=census.planned_writes,
        planned=planned_gaps(lines, leader_dc=seen.leader_dc, rtt_s=rtt_s, store_s=store_s),
        sampled_gap_ms=tuple(longest_gap_s([ns / 1e9 for ns in sample]) * 1000 for sample in samples),
        load=seen.load,
        seconds=tuple(stage.sights.seconds),
        cores=seen.cores,
        trips=trips(lines),
        rejoined=rejoined(lines),
        tenants=scenario.load.tenants,
        tenants_existing=_tenants_existing(scenario.preset),
        shards=topology.shards,
        missed=tuple(player.play.missed),
        audit_failed=seen.audit_failed,
        cut_short=False,
    )


async def _play(stage: Stage, player: Player) -> Seen:
    stage.screen.say("creating tenants")
    await stage.create()
    await asyncio.sleep(QUIET_S)
    idle, _ = await stage.cores(IDLE_S)
    stage.screen.say(f"idle fleet: {idle:.2f} cores")
    await stage.start()
    began_wall_ms = time.time_ns() // 1_000_000
    measuring = asyncio.create_task(_steady(stage))
    try:
        await stage.guarded(player.run())
    finally:
        if not measuring.done():
            measuring.cancel()
        steady = (await asyncio.gather(measuring, return_exceptions=True))[0]
    length_s = stage.clock_s()
    stage.screen.say(f"{length_s:6.1f} s  played; waiting for the last answers, then reading every channel whole")
    figures = await stage.stop()
    audit_failed = await stage.audit()
    leader_dc, decisions = await _asked(stage, began_wall_ms)
    fleet_cores, load_cores = steady if isinstance(steady, tuple) else (0.0, 0.0)
    return Seen(
        begin_ns=stage.begin_ns,
        began_wall_ms=began_wall_ms,
        length_s=length_s,
        load=figures,
        cores=Cores(idle, fleet_cores, load_cores),
        audit_failed=audit_failed,
        leader_dc=leader_dc,
        decisions=decisions,
    )


async def _steady(stage: Stage) -> tuple[float, float]:
    """Measure processor use between the load's settling and the first fault."""
    first_s = min((step.at_s for step in stage.scenario.steps), default=SET_UP_S)
    await asyncio.sleep(SETTLE_S)
    cores = await stage.cores(max(0.5, first_s - SETTLE_S - 0.5))
    stage.screen.say(f"steady load: fleet {cores[0]:.2f} cores, load and probes {cores[1]:.2f} cores")
    return cores


async def _asked(stage: Stage, began_wall_ms: int) -> tuple[DcId, tuple[Decision, ...]]:
    """Ask the leader, while it is there, where it stands and what was decided."""
    try:
        status = await stage.operator.status()
        events = await stage.operator.events()
    except TwinholdError as error:
        stage.screen.say(f"the audit journal could not be read: {error.message}")
        return stage.fleet.topology.control_planes[0].dc, ()
    decided = (
        Decision((event.at_ms - began_wall_ms) / 1000, event.type, event.subject) for event in events if event.acted
    )
    return dc_of(ControlPlaneId(status.leader)), tuple(decided)


def _done(play: Play, place: int, found: Mapping[int, Gaps], seen: Seen) -> Done:
    """Sum a step up, with what was decided between it and the next one."""
    played = play.steps[place]
    later = play.steps[place + 1 : place + 2]
    until_s = later[0].entry.at_s if later else seen.length_s
    decided = moments(seen.decisions, injected_s=played.entry.at_s, until_s=until_s)
    return replace(done(played, found.get(played.entry.number)), moments=decided)


def told(rehearsed: Run, judged: Verdict, folder: Path) -> str:
    """Say the verdict for a terminal: first what it is, then why, then every figure."""
    lines = [f"{judged.outcome.value}: {sentence(rehearsed, judged)}"]
    lines += [f"  {cause}" for cause in judged.causes]
    for item in judged.held:
        figure = "not exercised" if item.measured is None else f"{item.measured:.4g}"
        lines.append(f"  {'ok ' if item.holds else 'NOT'}  {item.limit.name}: {figure} (at most {item.limit.most:g})")
    cores = rehearsed.cores
    lines += [
        f"idle fleet {cores.idle_fleet:.2f} cores, steady load {cores.steady_fleet:.2f} cores "
        f"(load and probes themselves {cores.steady_load:.2f})",
        f"report:  {folder / 'report.html'}",
        f"history: {folder / 'history.jsonl'} (twinhold check judges it again)",
        f"repeat:  {rehearsed.command}",
    ]
    return "\n".join(lines) + "\n"


def _folder(out: Path | None, seed: int) -> Path:
    folder = REHEARSALS / f"{time.strftime('%Y%m%d-%H%M%S')}-{seed}" if out is None else out
    if (folder / "history.jsonl").exists():
        raise AlreadyExistsError(f"{folder} holds an earlier run: name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute() if out is not None else folder


def _command(scenario: Path | None, more: Sequence[str], *, seed: int, **options: str | int | None) -> str:
    words = ["twinhold", "rehearse", *([] if scenario is None else [str(scenario)]), "--seed", str(seed)]
    for name, value in options.items():
        words += [] if value is None else [f"--{name}", str(value)]
    return " ".join([*words, *more])


def _tenants_existing(preset: str) -> int:
    entry = required(topology_document(preset), "tenants")
    return whole(entry, least=1, most=TENANTS_EXISTING_MAX)
