"""Runs processes as actors of Ray: on a cluster of our own on this machine, or on one that somebody else runs.

It imports no Ray: that is for its server, a process of its own. What starts here ends with this process, as it does
with a forkserver: see ``ray_server`` and ``ray_actor`` for how.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from core.errors import MalformedError, NotAllowedError, UnavailableError
from core.io.dial import channel
from core.names import DcId
from regions.io.host import ENVIRONMENT
from regions.io.process_host import ProcessHost

PRELOAD_S = 60.0
"""For a cluster of six processes to start on a machine that is busy."""
BIRTH_S = 120.0
"""Each costs a second and a half of processor time, and all are started at once."""
ANSWER_S = 3.0
FOLDERS = Path("/tmp")
"""Not TMPDIR: Ray's sockets have long names of their own, and a path has room for 107 bytes."""
FOLDER_PREFIX = "twinhold-ray-"
MISSING = "the Ray launcher needs the package ray: install it with: pip install 'twinhold[ray]'"
REFUSED = b"InvalidAuthToken"
"""What Ray says of a wrong token while it tries again; in the end it says that it failed to connect."""
TOKEN_REMEDY = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a file that holds the cluster's"
_ENDPOINT = re.compile(r"[A-Za-z0-9._-]+:[0-9]{1,5}")
_BOTH: Mapping[str, str] = {
    **ENVIRONMENT,
    "RAY_USAGE_STATS_ENABLED": "0",
}
_JOINING: Mapping[str, str] = {
    # Once a second Ray asks to be let in, so many times, for a cluster may be about to start.
    "RAY_NUM_REDIS_GET_RETRIES": "3",
    # And looks for a node of the cluster on this machine for so long.
    "RAY_gcs_server_request_timeout_seconds": "5",
}
_OWN: Mapping[str, str] = {
    # Ray would start as many workers at once as there are processors it may use, here none.
    "RAY_worker_maximum_startup_concurrency": "16",
    # Niceness is ours to give: Ray's own would let everybody else go first.
    "RAY_worker_niceness": "0",
    # It would kill actors when memory gets scarce, and nobody would know of a data center lost to it.
    "RAY_memory_monitor_refresh_ms": "0",
}


class RayHost(ProcessHost):
    """Owns a driver of Ray and the actors that it starts; ``open`` makes one."""

    _folder: Path | None = None
    _lock_fd = -1

    @classmethod
    async def open(cls, log: Path, modules: Sequence[str], *, address: str, data_centers: Sequence[DcId]) -> "RayHost":
        """Join or start a cluster.

        Args:
            log: where the driver's output goes.
            modules: what every actor has to be able to import.
            address: ``HOST:PORT`` of a cluster; empty: one of our own, which ends with this host.
            data_centers: each has a resource ``dc:{id}``; processes of a group of that name go where it is offered.

        Raises:
            MalformedError: the address is none.
            NotAllowedError: the cluster refuses our token.
            UnavailableError: Ray is not installed, does not answer, or has no place for a data center.
        """
        if not _installed():
            raise UnavailableError(MISSING, reason="ENGINE_MISSING")
        folder, lock_fd = None, -1
        environment = {**_BOTH}
        if address:
            await _answers(address)
            environment |= _JOINING
        else:
            folder, lock_fd = await asyncio.to_thread(_own_folder)
            # Ray listens on every address of the machine: without a token, whoever reaches one runs code here.
            environment |= {**_OWN, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        before_bytes = _size_bytes(log)
        cluster = {"address": address, "folder": str(folder or ""), "data_centers": list(data_centers)}
        try:
            host = await cls._served(
                "regions.io.ray_server",
                [json.dumps(cluster), *modules],
                log,
                environment=environment,
                preload_s=PRELOAD_S,
                birth_s=BIRTH_S,
                pass_fds=[lock_fd] if folder else [],
            )
        except BaseException as cause:
            _remove(folder, lock_fd)
            if isinstance(cause, UnavailableError) and _refused(log, before_bytes):
                raise NotAllowedError(f"the Ray cluster at {address} refuses our token: {TOKEN_REMEDY}") from cause
            raise
        host.life_fd = None  # a descriptor of this machine means nothing to an actor
        host._folder, host._lock_fd = folder, lock_fd
        return host

    async def close(self) -> None:
        """Let go of the driver: it kills whatever still lives, and ends a cluster of our own."""
        await super().close()
        _remove(self._folder, self._lock_fd)
        self._folder = None

    def _server_gone(self) -> None:
        """End what a killed driver left of its cluster: the kernel has ended most, two agents would try on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)


async def _answers(address: str) -> None:
    """Ask a cluster for a sign of life before anything is started: Ray itself would try for a minute."""
    if not _ENDPOINT.fullmatch(address):
        raise MalformedError("address of a Ray cluster", address, expected="HOST:PORT")
    line = channel(address)
    try:
        async with asyncio.timeout(ANSWER_S):
            await line.channel_ready()
    except TimeoutError as cause:
        raise UnavailableError(
            f"no Ray cluster answers at {address} within {ANSWER_S:g} s: "
            "name the address that `ray start --head` printed, or none to have one started on this machine"
        ) from cause
    finally:
        await line.close(None)


def _installed() -> bool:
    try:
        return find_spec("ray") is not None
    except ImportError:
        return False


def _size_bytes(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _refused(log: Path, before_bytes: int) -> bool:
    """Say whether a driver was refused, by what it wrote since its log had a size."""
    return REFUSED in log.read_bytes()[before_bytes:]


def _own_folder() -> tuple[Path, int]:
    """Make a folder, and lock it while it is in use; those that a killed host and a killed driver left are removed."""
    for left in FOLDERS.glob(f"{FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            _remove(left, _locked(left))
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=FOLDERS))
    return folder, _locked(folder)


def _locked(folder: Path) -> int:
    """Lock a folder; returns the descriptor that holds it.

    Raises:
        OSError: it is in use, or somebody else's.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_uid != os.getuid():
            raise PermissionError(f"{folder} is not ours")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _remove(folder: Path | None, lock_fd: int) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock_fd)
