"""Brings a fleet up for the command line, in the foreground or detached, and ends one that was detached.

``python -m regions.io.up`` is what a detached fleet's host runs: it tells its progress line by line, then ``ready``.
"""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from core.engines import Engines
from core.errors import TwinholdError, UnavailableError
from core.topology import rtt_table_s
from regions.fleet import rtt_lines
from regions.io import fleet_file
from regions.io.fleet import Fleet, Progress
from regions.io.host import ENVIRONMENT
from regions.io.leftovers import end_process, end_processes
from regions.io.load import load
from regions.settings import FleetSettings

READY_LINE = "ready"
FAILED_PREFIX = "failed: "
INTERRUPTED = 130
"""The exit code of a run that was interrupted before it was what it should become."""
HOST_LOG = "host.log"
DOWN_S = 20.0

Say = Callable[[str], None]


def run(fleet: FleetSettings, engines: Engines, *, folder: Path, detach: bool, say: Say) -> int:
    """Bring a fleet up; returns the exit code.

    In the foreground it runs until SIGINT or SIGTERM, and leaves nothing behind. Detached, this returns when the fleet
    is whole; ``down`` ends it.

    Args:
        fleet: which, and how.
        engines: what it stands on.
        folder: where the fleet lives.
        detach: return when it is whole.
        say: takes progress, line by line.

    Raises:
        TwinholdError: it did not come up, and why.
    """
    if detach:
        return _detached(fleet, engines, folder, say)
    return asyncio.run(_foreground(fleet, engines, folder, say))


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


async def _foreground(fleet: FleetSettings, engines: Engines, folder: Path, say: Say) -> int:
    left = fleet_file.read(folder)
    if left is not None and not left.host.alive:
        say(f"{folder / fleet_file.NAME} is of a fleet that was cut off: gone on from where it was")
        end_processes(left.processes.values())
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)

    topology = load(fleet.topology, address_base=fleet.address_base)
    trips = [
        "round-trip times, as asked for, in ms:",
        *(f"  {line}" for line in rtt_lines(topology, rtt_table_s(topology))),
    ]

    def tell(progress: Progress | str) -> None:
        while trips and isinstance(progress, Progress):  # once it rises: a fleet that can't has one line to say
            say(trips.pop(0))
        say(str(progress))

    rising = asyncio.create_task(
        Fleet.up(
            topology,
            folder,
            profile=fleet.profile,
            seed=fleet.seed,
            engines=engines,
            described=fleet.topology,
            tell=tell,
        )
    )
    ending = asyncio.create_task(over.wait())
    await asyncio.wait({rising, ending}, return_when=asyncio.FIRST_COMPLETED)
    if not rising.done():
        rising.cancel()
        await asyncio.wait({rising})
        return INTERRUPTED
    ending.cancel()
    running = await rising
    say(READY_LINE)
    await over.wait()
    await running.down()
    return 0


def _detached(fleet: FleetSettings, engines: Engines, folder: Path, say: Say) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / HOST_LOG).open("ab") as log:
        host = subprocess.Popen(
            [sys.executable, "-m", "regions.io.up", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
    assert host.stdin is not None, "its input is a pipe"
    with host.stdin as wishes:  # not as arguments: every user of the machine could list them, secrets too
        wishes.write(pickle.dumps((fleet, engines)))
    try:
        return _followed(host, folder, say)
    except BaseException:
        host.terminate()
        host.wait()
        raise


def _followed(host: "subprocess.Popen[bytes]", folder: Path, say: Say) -> int:
    assert host.stdout is not None, "its output is a pipe"
    with host.stdout as lines:
        for line in (line.decode().rstrip() for line in lines):
            if line == READY_LINE:
                return 0
            if line.startswith(FAILED_PREFIX):
                host.wait()
                raise UnavailableError(line.removeprefix(FAILED_PREFIX))
            say(line)
    raise UnavailableError(f"the fleet's host ended with {host.wait()}: see {folder / HOST_LOG}")


def main(arguments: Sequence[str]) -> int:
    """Be the host of a detached fleet; what it is to be comes on standard input."""
    fleet, engines = pickle.load(sys.stdin.buffer)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if line == READY_LINE:  # whoever waited for this line closes the pipe next
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    try:
        return run(fleet, engines, folder=Path(arguments[0]), detach=False, say=say)
    except TwinholdError as error:
        say(f"{FAILED_PREFIX}{error.message}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
