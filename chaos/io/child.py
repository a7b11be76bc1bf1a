"""The inside of a load or probe process: commands come as lines of JSON, reports go out the same way.

The end of the input means that whoever started this is gone: everything under way is written down, and the process
ends. Ctrl-C reaches the whole terminal; only the parent acts on it.
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import uvloop

from core.errors import TwinholdError

# JSON as it comes; each reader checks what it takes out.
Fields: TypeAlias = Mapping[str, Any]
LINE_BYTES_MAX = 16 * 1024 * 1024


def tell(**fields: object) -> None:
    """Send one report to the parent; a parent that is gone is noticed at the input's end."""
    try:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        return


async def commands() -> AsyncIterator[Fields]:
    """Yield the parent's commands until it is gone."""
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


def serve(work: Callable[[Fields, AsyncIterator[Fields]], Awaitable[None]]) -> None:
    """Run a child: its first command is its configuration."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def main() -> None:
        lines = commands()
        async for configuration in lines:
            await work(configuration, lines)
            return

    try:
        uvloop.run(main())
    except* TwinholdError as errors:
        tell(error=str(errors.exceptions[0]))
