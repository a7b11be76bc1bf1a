"""The inside of a worker process: one task, called for one input after the other until nothing more comes.

Inputs and results are lines of JSON. The end of the input means that whoever started this is gone or done.
"""

import gc
import importlib
import json
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TypeAlias

from chaos.io.child import Fields, tell

Task: TypeAlias = Callable[[Fields], Mapping[str, object]]


def task_named(name: str) -> Task:
    """Find a task by ``module:function``."""
    module, _, function = name.partition(":")
    found = getattr(importlib.import_module(module), function)
    assert callable(found), f"{name} is no function"
    task: Task = found
    return task


def main() -> None:
    """Work until the input ends; Ctrl-C reaches the whole terminal, and only the parent acts on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    task = task_named(json.loads(sys.stdin.readline())["task"])
    # A schedule ends within seconds: what it leaves in cycles is collected once it is over, and what was imported is
    # not searched for that.
    gc.disable()
    gc.freeze()
    for line in sys.stdin:
        tell(**task(json.loads(line)))
        gc.collect()


if __name__ == "__main__":
    main()
