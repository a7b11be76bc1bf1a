"""The driver of a Ray host: starts an actor for every process it is told to, and tells when one is there or gone.

Started as a fresh interpreter, so that Ray's threads, signal handlers and hooks stay out of the fleet's own process.
Ray starts actors and nothing else: it is asked for no state, restarts nothing and decides nothing. Deaths are the
kernel's word. When the socket reports end of file the host is gone: every actor is killed, frozen ones too, and a
cluster that is our own ends.
"""

import contextlib
import json
import os
import queue
import selectors
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import ray

from regions.io.births import Bear, Born, Died, Message, Preloaded, Unborn, framed, received
from regions.io.proc import is_alive
from regions.io.ray_actor import Arrived, Hosted, machine
from regions.io.ray_cluster import Cluster, first_line, joined, resource

END_S = 8
SHARE = 0.001
"""Of a data center's resource, for each process in it: a cluster that offers 1 of it takes a thousand."""


@dataclass(slots=True, eq=False)
class Life:
    """One actor."""

    bear: Bear
    actor: Any
    """A handle of Ray's, which has no types; while it is held, Ray keeps the actor."""
    pid: int = 0
    pidfd: int = -1
    """Reports the process's end; no other process can be hit through it."""
    code: int | None = None
    """Of its entry, once that has returned."""

    def kill(self) -> None:
        """Kill the process, if it is there."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        else:
            ray.kill(self.actor, no_restart=True)


class Driver:
    """The actors of one host.

    Args:
        host: what the host says comes from here.
        data_centers: which groups are bound to a resource.
    """

    def __init__(self, host: socket.socket, data_centers: Sequence[str]) -> None:
        self._host = host
        self._data_centers = frozenset(data_centers)
        self._here = machine()
        self._lives: set[Life] = set()
        self._remote = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=0)(Hosted)
        self._heard: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wakeup = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(host, selectors.EVENT_READ, self._hear_host)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ, self._hear_ray)

    def serve(self) -> None:
        """Start actors, and tell of them, until the host is gone."""
        self._tell(Preloaded())
        with contextlib.suppress(EOFError):
            while True:
                for key, _ in self._selector.select():
                    key.data()

    def kill_all(self) -> None:
        """End every actor, and wait until the kernel has seen each to its end."""
        for life in sorted(self._lives, key=lambda life: life.pidfd < 0):  # first those for which Ray is not asked
            life.kill()
        while any(life.pidfd >= 0 for life in self._lives):
            for key, _ in self._selector.select():
                if key.fileobj not in (self._host, self._wakeup[0]):
                    key.data()

    def _hear_host(self) -> None:
        message = received(self._host)
        if message is None:
            self._selector.unregister(self._host)
            raise EOFError
        assert isinstance(message, Bear), f"a host says nothing but Bear: {message!r}"
        self._bear(message)

    def _hear_ray(self) -> None:
        os.read(self._wakeup[0], 4096)
        while not self._heard.empty():
            self._heard.get_nowait()()

    def _bear(self, bear: Bear) -> None:
        resources = {resource(bear.group): SHARE} if bear.group in self._data_centers else {}
        life = Life(bear, self._remote.options(resources=resources).remote())
        self._lives.add(life)
        self._when_done(life.actor.arrive.remote(), partial(self._arrived, life))

    def _when_done(self, ref: Any, told: "Callable[[Future[Any]], None]") -> None:
        """Have a result told in this thread, Ray tells it in one of its own; ``Any``: its references have no types."""

        def hear(future: "Future[Any]") -> None:
            self._heard.put(partial(told, future))
            os.write(self._wakeup[1], b".")

        ref.future().add_done_callback(hear)

    def _arrived(self, life: Life, future: "Future[Any]") -> None:
        if (error := future.exception()) is not None:
            self._unborn(life, first_line(error))
            return
        arrived: Arrived = future.result()
        if arrived.machine != self._here:
            self._unborn(life, f"{resource(life.bear.group)} is offered by another machine, see docs/deploy.md")
            return
        with contextlib.suppress(ProcessLookupError):
            life.pid, life.pidfd = arrived.pid, os.pidfd_open(arrived.pid)
        if not is_alive(arrived.pid, arrived.started_ticks):
            self._unborn(life, "it ended at once")
            return
        self._selector.register(life.pidfd, selectors.EVENT_READ, partial(self._died, life))
        self._tell(Born(life.bear.name, arrived.pid, arrived.pid, arrived.started_ticks))
        self._when_done(life.actor.live.remote(life.bear), partial(self._returned, life))

    def _unborn(self, life: Life, why: str) -> None:
        life.kill()
        self._lives.discard(life)
        self._tell(Unborn(life.bear.name, why))

    def _returned(self, life: Life, future: "Future[Any]") -> None:
        """End an actor whose entry has returned, or that Ray has given up: it would wait for calls, or for nothing."""
        if future.exception() is None:
            life.code = future.result()
        if life in self._lives:
            life.kill()

    def _died(self, life: Life) -> None:
        self._selector.unregister(life.pidfd)
        os.close(life.pidfd)
        life.pidfd = -1
        self._lives.discard(life)
        self._tell(Died(life.bear.name, life.pid, -signal.SIGKILL if life.code is None else life.code))

    def _tell(self, message: Message) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._host.sendall(framed(message))


def main(arguments: Sequence[str]) -> int:
    """Join or start a cluster, then start actors on demand.

    Args:
        arguments: the socket's descriptor, the cluster as JSON, and modules that have to be there.
    """
    host, cluster = socket.socket(fileno=int(arguments[0])), Cluster(**json.loads(arguments[1]))
    for module in arguments[2:]:
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}")
    try:
        why_not = joined(cluster)
        if why_not:
            sys.stderr.write(f"{why_not}\n")
            return 1
        driver = Driver(host, cluster.data_centers)
        try:
            driver.serve()
        finally:
            end_anyway(END_S)
            driver.kill_all()
    finally:
        ray.shutdown()
        if cluster.folder:
            shutil.rmtree(cluster.folder, ignore_errors=True)
    return 0


def end_anyway(after_s: int) -> None:
    """Have the kernel end this process, and its cluster with it, if it has not ended by then.

    Without a GCS Ray waits for it to come back, and runs neither threads nor handlers of Python meanwhile.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(after_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
