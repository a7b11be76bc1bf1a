"""Where there is no lock service nobody is told that somebody holds the lock: the term alone decides."""

import asyncio

from control_plane.io.no_lock import NoLock
from core.names import ControlPlaneId

ME = ControlPlaneId("fra1-cp")


async def test_it_answers_outside_of_the_call_that_nobody_is_known_to_hold_it() -> None:
    lock, answers = NoLock(), list[ControlPlaneId | None]()
    answered = asyncio.Event()

    def done(holder: ControlPlaneId | None) -> None:
        answers.append(holder)
        answered.set()

    lock.try_acquire(ME, 1.0, done)
    assert answers == []
    await answered.wait()
    lock.release(ME)
    assert answers == [None]
