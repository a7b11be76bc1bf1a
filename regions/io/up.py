"""Brings a fleet up for the command line, in the foreground or detached, and ends one that was detached.

``python -m regions.io.up`` is what a detached fleet's host runs: it tells its progress line by line, then ``ready``.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import TwinholdError, UnavailableError
from core.timers import timers
from core.topology import rtt_table_s
from regions.fleet import rtt_lines
from regions.io import fleet_file
from regions.io.fleet import Fleet, Progress
from regions.io.host import ENVIRONMENT
from regions.io.leftovers import end_process, end_processes
from regions.io.load import load

READY_LINE = "ready"
FAILED_PREFIX = "failed: "
INTERRUPTED = 130
"""The exit code of a run that was interrupted before it was what it should become."""
HOST_LOG = "host.log"
DOWN_S = 20.0

Say = Callable[[str], None]


def run(
    topology: str, *, folder: Path, detach: bool, profile: str, seed: int, address_base: int | None, say: Say
) -> int:
    """Bring a fleet up; returns the exit code.

    In the foreground it runs until SIGINT or SIGTERM, and leaves nothing behind. Detached, this returns when the fleet
    is whole; ``down`` ends it.

    Args:
        topology: a preset, or the path of a YAML file.
        folder: where the fleet lives.
        detach: return when it is whole.
        profile: of the timers.
        seed: for everything that its processes leave to chance.
        address_base: see ``regions.io.load.load``.
        say: takes progress, line by line.

    Raises:
        TwinholdError: it did not come up, and why.
    """
    timers(profile)
    load(topology, address_base=address_base)
    if detach:
        return _detached(topology, folder, profile, seed, address_base, say)
    return asyncio.run(_foreground(topology, folder, profile, seed, address_base, say))


def down(folder: Path, *, say: Say) -> None:
    """End the fleet that runs in a folder: only processes that it started, known by pid and start time.

    Raises:
        UnavailableError: none runs there.
    """
    found = fleet_file.read(folder)
    if found is None:
        raise UnavailableError(f"no fleet runs in {folder}: nothing to end")
    if not found.host.alive:
        say("the fleet's host is gone already: what it left is ended")
    end_process(found.host, wait_s=DOWN_S)
    end_processes(found.processes.values())
    fleet_file.remove(folder)


async def _foreground(topology: str, folder: Path, profile: str, seed: int, address_base: int | None, say: Say) -> int:
    left = fleet_file.read(folder)
    if left is not None and not left.host.alive:
        say(f"{folder / fleet_file.NAME} is of a fleet that was cut off: gone on from where it was")
        end_processes(left.processes.values())
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)

    def tell(progress: Progress) -> None:
        say(str(progress))

    fleet_on_paper = load(topology, address_base=address_base)
    say("round-trip times, as asked for, in ms:")
    for line in rtt_lines(fleet_on_paper, rtt_table_s(fleet_on_paper)):
        say(f"  {line}")
    rising = asyncio.create_task(
        Fleet.up(fleet_on_paper, folder, profile=profile, seed=seed, described=topology, tell=tell)
    )
    ending = asyncio.create_task(over.wait())
    await asyncio.wait({rising, ending}, return_when=asyncio.FIRST_COMPLETED)
    if not rising.done():
        rising.cancel()
        await asyncio.wait({rising})
        return INTERRUPTED
    ending.cancel()
    fleet = await rising
    say(READY_LINE)
    await over.wait()
    await fleet.down()
    return 0


def _detached(topology: str, folder: Path, profile: str, seed: int, address_base: int | None, say: Say) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [topology, str(folder), profile, str(seed), "" if address_base is None else str(address_base)]
    with (folder / HOST_LOG).open("ab") as log:
        host = subprocess.Popen(
            [sys.executable, "-m", "regions.io.up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
    try:
        return _followed(host, folder, say)
    except BaseException:
        host.terminate()
        host.wait()
        raise


def _followed(host: "subprocess.Popen[str]", folder: Path, say: Say) -> int:
    assert host.stdout is not None, "its output is a pipe"
    with host.stdout as lines:
        for line in map(str.rstrip, lines):
            if line == READY_LINE:
                return 0
            if line.startswith(FAILED_PREFIX):
                host.wait()
                raise UnavailableError(line.removeprefix(FAILED_PREFIX))
            say(line)
    raise UnavailableError(f"the fleet's host ended with {host.wait()}: see {folder / HOST_LOG}")


def main(arguments: Sequence[str]) -> int:
    """Be the host of a detached fleet."""
    topology, folder, profile, seed, address_base = arguments

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if line == READY_LINE:  # whoever waited for this line closes the pipe next
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    try:
        return run(
            topology,
            folder=Path(folder),
            detach=False,
            profile=profile,
            seed=int(seed),
            address_base=int(address_base) if address_base else None,
            say=say,
        )
    except TwinholdError as error:
        say(f"{FAILED_PREFIX}{error.message}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
