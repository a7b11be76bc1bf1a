"""One channel per endpoint, opened when first needed."""

from grpc import aio

from core.io.dial import channel
from core.io.serve import ACTOR_HEADER


class Dialler:
    """Owns a client's channels, and says on every call who is calling."""

    def __init__(self, actor: str) -> None:
        self.metadata = ((ACTOR_HEADER, actor),)
        self._channels: dict[str, aio.Channel] = {}

    def channel(self, endpoint: str) -> aio.Channel:
        """Dial an endpoint, once."""
        found = self._channels.get(endpoint)
        if found is None:
            found = self._channels[endpoint] = channel(endpoint)
        return found

    async def close(self) -> None:
        """Hang up everywhere."""
        for dialled in self._channels.values():
            await dialled.close(None)
        self._channels.clear()
