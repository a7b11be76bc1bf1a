"""A server of somebody else's as a process: ready when it answers, gone with its starter, its last words kept."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UnavailableError
from regions.io.proc import State, seen
from regions.io.server_process import ServerProcess

pytestmark = pytest.mark.e2e
PATIENCE_S = 20.0
SERVES = "import pathlib, signal, time; pathlib.Path('up').touch(); time.sleep(600)"
IS_DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
FAILS = "import sys; sys.exit('ERROR no disk\\nbye')"
PARENT = """
import asyncio, pathlib, sys
from regions.io.server_process import ServerProcess
folder, script = pathlib.Path(sys.argv[1]), sys.argv[2]
async def answers(): return (folder / "up").exists()
server = ServerProcess("x", [sys.executable, "-c", script], folder, answers=answers, start_s=20)
asyncio.run(server.start())
print(server.pid, flush=True)
sys.stdin.read()
"""


def server_of(script: str, folder: Path, *, start_s: float = 20.0) -> ServerProcess:
    async def answers() -> bool:
        if (folder / "up").exists():
            return True
        raise ConnectionRefusedError

    return ServerProcess("consul-fra1", [sys.executable, "-c", script], folder, answers=answers, start_s=start_s)


async def test_a_server_lives_in_its_own_folder_and_group_and_comes_back_after_a_kill(tmp_path: Path) -> None:
    server = server_of(SERVES, tmp_path / "own")
    assert (server.pid, server.state) == (None, State.DEAD)
    await server.start()
    first = server.pid
    assert first is not None
    assert os.getpgid(first) == first
    await server.restart()
    assert {server.pid} - {None, first}
    assert seen(first) is None
    await server.stop()
    assert (server.pid, server.state) == (None, State.DEAD)
    server.kill()


async def test_a_frozen_server_goes_on_when_it_is_resumed_and_ends_even_while_frozen(tmp_path: Path) -> None:
    server = server_of(SERVES, tmp_path)
    await server.start()
    found = []
    for step in (server.freeze, server.resume, server.freeze, server.kill):
        step()
        found.append(server.state)
    assert found == [State.FROZEN, State.RUNNING, State.FROZEN, State.DEAD]


async def test_a_server_that_ends_while_starting_says_its_last_words(tmp_path: Path) -> None:
    server = server_of(FAILS, tmp_path)
    with pytest.raises(UnavailableError, match=r"^consul-fra1 ended while starting: ERROR no disk$"):
        await server.start()


async def test_a_server_that_does_not_answer_in_time_is_killed(tmp_path: Path) -> None:
    server = server_of(IS_DEAF, tmp_path, start_s=1.0)
    with pytest.raises(UnavailableError, match=r"did not answer within 1 s"):
        await server.start()
    assert server.pid is None


def test_a_server_is_gone_when_whoever_started_it_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), SERVES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid = int(parent.stdout.readline())
    watch = os.pidfd_open(pid)
    os.kill(pid, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    ended, _, _ = select.select([watch], [], [], PATIENCE_S)
    os.close(watch)
    parent.stdin.close()
    parent.stdout.close()
    assert ended, "the server outlives whoever started it"
