"""Keeps a process registered for as long as it lives; owned by its host, and by nobody when discovery is not chosen."""

import asyncio
from random import Random
from typing import Protocol

from core.backoff import Backoff
from core.discovery import BEATS_PER_TTL, Discovery, Instance
from core.errors import TwinholdError
from core.io.json_log import tell, warn

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
"""A register that has come back has everybody again within this time and one call."""


class Ending(Protocol):
    """Knows when the process ends."""

    async def over(self) -> None:
        """Wait for the end."""
        ...


async def keep_registered(discovery: Discovery, instance: Instance, life: Ending) -> None:
    """Register a process, say that it lives until it ends, and take it out then.

    A register that does not answer, or refuses, is tried for ever, at a bounded pace, and complained about once: a
    process serves without it as well. Ends with ``life``, or when cancelled; the last call is bounded too.
    """
    end = asyncio.ensure_future(life.over())
    try:
        await _keep(discovery, instance, end)
    finally:
        end.cancel()
        await _leave(discovery, instance)


async def _keep(discovery: Discovery, instance: Instance, end: asyncio.Future[None]) -> None:
    backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, Random())
    registered = complained = False
    while not end.done():
        try:
            if not (registered and await discovery.keep(instance)):
                await discovery.register(instance)
                tell("discovery.registered", id=instance.id, endpoint=instance.endpoint)
        except TwinholdError as error:
            if not complained:
                warn("discovery.unregistered", id=instance.id, cause=error.message)
            complained, pause_s = True, backoff.next_s()
        else:
            registered, complained, pause_s = True, False, discovery.ttl_s / BEATS_PER_TTL
            backoff.reset()
        await asyncio.wait({end}, timeout=pause_s)


async def _leave(discovery: Discovery, instance: Instance) -> None:
    try:
        await discovery.deregister(instance)
    except TwinholdError as error:
        tell("discovery.left_behind", id=instance.id, cause=error.message)
