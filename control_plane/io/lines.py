"""Channels to the processes of a fleet, one per endpoint, opened when first needed."""

import asyncio

from grpc import aio

from core.io.dial import channel


class Lines:
    """A process's channels; used on one event loop."""

    def __init__(self) -> None:
        self._open: dict[str, aio.Channel] = {}

    def to(self, endpoint: str) -> aio.Channel:
        """Find or open the channel to an endpoint."""
        found = self._open.get(endpoint)
        if found is None:
            found = self._open[endpoint] = channel(endpoint)
        return found

    async def close(self) -> None:
        """Close them all; calls in flight end."""
        await asyncio.gather(*(line.close(None) for line in self._open.values()))
        self._open.clear()
