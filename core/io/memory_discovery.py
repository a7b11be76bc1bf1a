"""Discovery without a server: what a topology says, and what registers within this process."""

import asyncio
from collections.abc import Callable

from core.discovery import TTL_S, Instance, Listed, Part, listed
from core.io.clock import boottime_s


class Register:
    """What several ``MemoryDiscovery`` share.

    Args:
        standing: always listed, e.g. ``instances_of(topology)``.
    """

    def __init__(self, standing: Listed = ()) -> None:
        self._standing = standing
        self._until: dict[tuple[Part, str], tuple[Instance, float]] = {}
        self.changed = asyncio.Condition()

    async def put(self, instance: Instance, until: float) -> None:
        """List an instance until a time, in place of what had its id before."""
        async with self.changed:
            self._until[instance.part, instance.id] = instance, until
            self.changed.notify_all()

    async def drop(self, instance: Instance) -> None:
        """List it no longer."""
        async with self.changed:
            self._until.pop((instance.part, instance.id), None)
            self.changed.notify_all()

    def holds(self, instance: Instance) -> bool:
        """Say whether it is listed now because it registered."""
        return instance in self._alive()

    def living(self) -> Listed:
        """List what is alive now."""
        return listed([*self._alive(), *self._standing])

    def next_end_s(self) -> float | None:
        """Say in how many seconds the next one runs out; None: none does."""
        return min(self._alive().values(), default=None)

    def _alive(self) -> dict[Instance, float]:
        """Say who is alive because it registered, and for how many seconds."""
        now = boottime_s()
        return {instance: until - now for instance, until in self._until.values() if until > now}


class MemoryDiscovery:
    """One process's way to a register in memory.

    Args:
        register: what it leads to.
        ttl_s: for how long one sign of life counts.
    """

    def __init__(self, register: Register, *, ttl_s: float = TTL_S) -> None:
        self._register = register
        self._ttl_s = ttl_s

    @property
    def ttl_s(self) -> float:
        """Say for how long one sign of life counts."""
        return self._ttl_s

    async def register(self, instance: Instance) -> None:
        """Make a process known."""
        await self._register.put(instance, boottime_s() + self._ttl_s)

    async def keep(self, instance: Instance) -> bool:
        """Say that it lives; False when it is not known, or has run out."""
        known = self._register.holds(instance)
        if known:
            await self._register.put(instance, boottime_s() + self._ttl_s)
        return known

    async def deregister(self, instance: Instance) -> None:
        """Take a process out."""
        await self._register.drop(instance)

    async def instances(self) -> Listed:
        """List who lives."""
        return self._register.living()

    async def watch(self, seen: Callable[[Listed], None]) -> None:
        """Tell who lives, now and after every change, until cancelled."""
        told: Listed | None = None
        while True:
            async with self._register.changed:
                while (now := self._register.living()) == told:
                    await self._change()
            told = now
            seen(now)

    async def close(self) -> None:
        """Let go of nothing."""

    async def _change(self) -> None:
        """Wait until something is put in or taken out, or runs out."""
        try:
            async with asyncio.timeout(self._register.next_end_s()):
                await self._register.changed.wait()
        except TimeoutError:
            return
