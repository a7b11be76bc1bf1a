"""``python -m chaos.bench [GROUP ...]``: runs groups, prints their figures, and merges them into ``bench.json``."""

import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import uvloop

from chaos.bench.failover import failover
from chaos.bench.sim import sim
from chaos.bench.switchover import switchover
from chaos.bench.watch import watch
from chaos.bench.writes import session, session64, submit
from core.errors import TwinholdError
from core.io.hosted import write_whole

GROUPS: Mapping[str, Callable[[], Awaitable[dict[str, float]]]] = {
    "session": session,
    "session64": session64,
    "submit": submit,
    "watch": watch,
    "switchover": switchover,
    "failover": failover,
    "sim": sim,
}
RESULT = Path("bench.json")


def merged(path: Path, figures: Mapping[str, float]) -> None:
    """Put figures into the file, beside those of other groups."""
    known = json.loads(path.read_text()) if path.exists() else {}
    known |= {name: round(value, 4) for name, value in figures.items()}
    write_whole(path, json.dumps(known, indent=2, sort_keys=True) + "\n")


def main(names: list[str]) -> int:
    """Run groups by name, all when none is named; returns the exit code."""
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        print(f"unknown group {unknown[0]!r}: one of {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    try:
        uvloop.run(_measured(names or list(GROUPS)))
    except TwinholdError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


async def _measured(names: list[str]) -> None:
    """Measure one group after the other, all on one loop: gRPC does not survive a second one."""
    for name in names:
        begun = time.monotonic()
        print(f"--- {name}", flush=True)
        figures = await GROUPS[name]()
        merged(RESULT, figures)
        for key, value in figures.items():
            print(f"{key} = {value:.4g}")
        print(f"({time.monotonic() - begun:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
