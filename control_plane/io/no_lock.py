"""The leader lock of a fleet that has no lock service: candidates are kept apart by their turns alone (C7)."""

import asyncio
from collections.abc import Callable

from core.names import ControlPlaneId


class NoLock:
    """A ``LeaderLock`` that never answers whose it is; the store's term decides, as it does in any case."""

    def try_acquire(self, holder: ControlPlaneId, ttl_s: float, done: Callable[[ControlPlaneId | None], None]) -> None:
        """Say that there is no lock service, outside of the call."""
        asyncio.get_running_loop().call_soon(done, None)

    def release(self, holder: ControlPlaneId) -> None:
        """There is nothing to give back."""
