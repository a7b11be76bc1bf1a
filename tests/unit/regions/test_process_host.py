"""What a host of processes makes of what its server tells."""

import asyncio
import os
import socket
import subprocess
from pathlib import Path

from regions.io.births import Born, Died, framed, received
from regions.io.process_host import ProcessHost


async def test_a_death_that_is_told_in_one_breath_with_the_birth_is_heard(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with subprocess.Popen(["true"]) as server, theirs:
        host = ProcessHost(server, os.pipe(), await asyncio.open_connection(sock=ours), 5.0)
        output = tmp_path / "output.log"
        starting = asyncio.create_task(host.start("fra1-c1", "m:f", None, group="fra1", niceness=0, output=output))
        await asyncio.to_thread(received, theirs)
        theirs.sendall(framed(Born("fra1-c1", 1, 1, 0)) + framed(Died("fra1-c1", 1, 3)))
        assert await starting == 1
        async with asyncio.timeout(5.0):
            assert await host.ended("fra1-c1") == 3
        await host.close()
