"""A TCP proxy that can cut connections after a request has gone out: done over there, and nobody hears of it."""

import asyncio
from collections.abc import Callable


class CuttingProxy:
    """Stands before a server, on an address of its own.

    Args:
        at: host and port that it listens on.
        to: host and port of the server.
    """

    def __init__(self, at: tuple[str, int], to: tuple[str, int]) -> None:
        self._at = at
        self._to = to
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.cuts = 0
        """How many more answers are to be cut off, each with its connection."""

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, *self._at)

    async def close(self) -> None:
        """Drop everything."""
        assert self._server is not None, "not started"
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())  # even one that was cancelled before it began

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection(*self._to)
        except OSError:
            return  # The server is not there: neither is what stands before it.
        ways = (
            asyncio.ensure_future(_pass(reader, forth, lambda: False)),
            asyncio.ensure_future(_pass(back, writer, self._is_cut)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            forth.close()
            await asyncio.gather(*ways, return_exceptions=True)

    def _is_cut(self) -> bool:
        """Say whether an answer that has just come is the end of its connection."""
        if not self.cuts:
            return False
        self.cuts -= 1
        return True


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_cut: Callable[[], bool]) -> None:
    while data := await reader.read(65536):
        if is_cut():
            return
        writer.write(data)
        await writer.drain()
