"""A host of Ray actors for tests that kill it: starts two, freezes one, tells who is there, and waits.

Its arguments are a folder, and the address of a cluster, which may be empty.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from core.names import DcId
from regions.io.fleet_file import process_of
from regions.io.ray_host import RayHost

NAMES = ("fra1-c1", "ams1-c1")


def descendants(pid: int) -> Iterator[int]:
    """List everything that a process has started, and what that has."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from descendants(int(child))


async def main(folder: Path, address: str) -> None:
    """Run until killed."""
    host = await RayHost.open(folder / "ray.log", [], address=address, data_centers=[DcId("fra1"), DcId("ams1")])
    for name in NAMES:
        entry, group, output = "tests.e2e.sleeper:stubborn", name.split("-")[0], folder / f"{name}.log"
        await host.start(name, entry, host.life_fd, group=group, niceness=0, output=output)
    host.signal(["ams1-c1"], signal.SIGSTOP)
    driver, *others = descendants(os.getpid())
    actors = [pid for name in NAMES if (pid := host.pid(name))]
    for process in map(process_of, dict.fromkeys([os.getpid(), driver, *actors, *others])):
        sys.stdout.write(f"{process.pid} {process.started_ticks}\n")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.sleep(120)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
