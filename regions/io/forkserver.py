"""The process that a fleet's processes are forked from: it has imported everything, and has no thread, loop or channel.

Started as a fresh interpreter by a host, with one end of a socket and the read end of the life pipe. When the socket
reports end of file the host is gone: everything that was forked here is killed, frozen processes too, which could not
notice by themselves.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from regions.io.births import Bear, Born, Died, Message, Preloaded, framed, received
from regions.io.living import live
from regions.io.proc import seen


@dataclass(slots=True)
class Nursery:
    """The forked processes, by pid, and their groups."""

    host: socket.socket
    wakeup: tuple[int, int]
    names: dict[int, str] = field(default_factory=dict)
    group_of: dict[int, str] = field(default_factory=dict)
    group_pids: dict[str, int] = field(default_factory=dict)

    def serve(self) -> None:
        """Fork and reap until the host is gone."""
        while True:
            readable, _, _ = select.select([self.host.fileno(), self.wakeup[0]], [], [])
            if self.wakeup[0] in readable:
                os.read(self.wakeup[0], 4096)
                self._reap()
            if self.host.fileno() in readable:
                message = received(self.host)
                if message is None:
                    return
                assert isinstance(message, Bear), f"a host says nothing but Bear: {message!r}"
                self._bear(message)

    def kill_all(self) -> None:
        """End everything that was forked here."""
        for pid in self.names:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self.names:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _bear(self, bear: Bear) -> None:
        pid = os.fork()
        if pid == 0:
            self._live(bear)
        group_pid = self._join(pid, bear.group)
        self.names[pid] = bear.name
        self.group_of[pid] = bear.group
        found = seen(pid)
        assert found is not None, "a child that is not reaped has a stat"
        self._tell(Born(bear.name, pid, group_pid, found.started_ticks))

    def _join(self, pid: int, group: str) -> int:
        """Put a process into its group, or make it the first of it; both sides of the fork do it, so nobody races."""
        for group_pid in (self.group_pids.get(group, pid), pid):
            with contextlib.suppress(OSError):
                os.setpgid(pid, group_pid)
                self.group_pids[group] = group_pid
                return group_pid
        return os.getpgid(pid)

    def _live(self, bear: Bear) -> None:
        """Be the child; never returns."""
        code = 1
        try:
            self.host.close()
            signal.set_wakeup_fd(-1)
            for fd in self.wakeup:
                os.close(fd)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._join(os.getpid(), bear.group)
            code = live(bear)
        except BaseException:  # noqa: BLE001 - whatever it is, a child must not run on as a second forkserver
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while self.names:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name, group = self.names.pop(pid), self.group_of.pop(pid)
            if group not in self.group_of.values():
                self.group_pids.pop(group, None)
            self._tell(Died(name, pid, os.waitstatus_to_exitcode(status)))

    def _tell(self, message: Message) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.host.sendall(framed(message))


def main(arguments: Sequence[str]) -> int:
    """Import what is named, then fork on demand; the first argument is the socket's descriptor."""
    host = socket.socket(fileno=int(arguments[0]))
    for module in arguments[1:]:
        importlib.import_module(module)
    wakeup = os.pipe()
    for fd in wakeup:
        os.set_blocking(fd, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakeup[1], warn_on_full_buffer=False)
    gc.collect()
    gc.freeze()
    nursery = Nursery(host, wakeup)
    try:
        host.sendall(framed(Preloaded()))
        nursery.serve()
    finally:
        nursery.kill_all()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
