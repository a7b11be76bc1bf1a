"""Is the peer's process gone? Plain TCP connects after a reset: refused means gone; a frozen process still accepts."""

import asyncio

from core.timers import Timers

CONNECT_S = 0.5
"""Longer than any machine takes to refuse; no answer is no refusal."""


async def gone(host: str, port: int, *, timers: Timers, trip: float) -> bool:
    """Knock as often as the profile says; True only when every connect was refused.

    Args:
        host: the peer's address.
        port: the peer's port.
        timers: how often, and how far apart.
        trip: seconds one way to the peer's data center; every connect pays it both ways.
    """
    for number in range(timers.refused_connects):
        if number:
            await asyncio.sleep(timers.refused_gap_s)
        await asyncio.sleep(2 * trip)
        if not await _refused(host, port):
            return False
    return True


async def _refused(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    except OSError:  # a time-out included: silence is no proof
        return False
    writer.close()
    return False
