"""What a process of a fleet does from its birth to its end, whoever started it: forked, or an actor of Ray."""

import contextlib
import importlib
import os
import pickle
import signal
import sys
import traceback

from regions.io.births import Bear, Entry

COMM_LENGTH_MAX = 15


def live(bear: Bear) -> int:
    """Run the entry to its end; returns its exit code, 1 for one that raised: what, stands in the output."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.nice(bear.niceness)
        redirected(bear)
        code = entry(bear.entry)(pickle.loads(bear.config))
    except BaseException:  # noqa: BLE001 - whatever it is, this process has no other life to go on with
        traceback.print_exc()
    finally:
        sys.stderr.flush()
    return code


def entry(name: str) -> Entry:
    """Find the function that a process runs."""
    module, _, function = name.partition(":")
    found: Entry = getattr(importlib.import_module(module), function)
    return found


def redirected(bear: Bear) -> None:
    """Give a process its own name, no input, and an output of its own."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(bear.name[:COMM_LENGTH_MAX])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.makedirs(bear.output.parent, exist_ok=True)
    output = os.open(bear.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
