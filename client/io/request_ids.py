"""Fresh request ids: UUID version 7, so that a server can tell one that is older than its memory."""

import time
from random import Random

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62


def fresh_request_id(rng: Random) -> str:
    """Make a request id of 48 bits of milliseconds and 74 bits of chance (RFC 9562)."""
    chance = rng.getrandbits(74)
    high, low = chance >> 62, chance & ((1 << 62) - 1)
    text = f"{time.time_ns() // 1_000_000 << 80 | _VERSION | high << 64 | _VARIANT | low:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
