"""Runs a process of a fleet for a test: started, killed, frozen, thawed and restarted by hand."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable

from core.io.dial import channel

_START = (
    "import importlib, pickle, sys;"
    "module, config = pickle.load(sys.stdin.buffer);"
    "sys.exit(importlib.import_module(module).main(config))"
)
READY_S = 60.0


class HostedProcess:
    """One process and its directory.

    Args:
        module: has ``main(config) -> int``.
        endpoint: where it will listen.
    """

    def __init__(self, module: str, endpoint: str) -> None:
        self._module = module
        self.endpoint = endpoint
        self._process: subprocess.Popen[bytes] | None = None
        self._life: int | None = None

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self, config_of: Callable[[int], object]) -> None:
        """Start it; ``config_of`` is given the pipe that it has to watch."""
        self._life_close()
        read_end, self._life = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            pass_fds=[read_end],
            env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        )
        os.close(read_end)
        assert self._process.stdin is not None, "stdin is a pipe"
        self._process.stdin.write(pickle.dumps((self._module, config_of(read_end))))
        self._process.stdin.close()

    async def ready(self) -> None:
        """Wait until it answers."""
        line = channel(self.endpoint)
        try:
            await asyncio.wait_for(line.channel_ready(), READY_S)
        finally:
            await line.close(None)

    def freeze(self) -> None:
        """Stop it where it stands."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it without warning."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        self.wait()

    def leave(self) -> int:
        """Close the host's pipe, as a host that died would; returns the exit code."""
        self._life_close()
        return self.wait()

    def terminate(self) -> int:
        """Ask it to end; returns the exit code."""
        assert self._process is not None, "not started"
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        code = 0 if self._process is None else self._process.wait(timeout=READY_S)
        self._life_close()
        return code

    def _life_close(self) -> None:
        if self._life is not None:
            os.close(self._life)
            self._life = None
