"""The edge of the client: an asyncio client over gRPC. Start with ``connect``."""

from client.io.attempts import Body, Part, packed
from client.io.client import Answered, Client, connect
from client.io.subscription import Entry, Gap

__all__ = ["connect", "Client", "Answered", "Body", "Entry", "Gap", "Part", "packed"]
