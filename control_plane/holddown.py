"""How long what came back is given no primaries by plan: doubled with every flap, back to the base after a quiet time.

Everything follows from the evacuation records (C9), so that every leader comes to the same, whoever led meanwhile.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from control_plane.books import Evacuation

DOUBLINGS_MAX = 4
"""The cap, 16 times the base: 8 hours where the base is 30 minutes. By then a person has looked."""
QUIET_RATIO = 2 << DOUBLINGS_MAX
"""The quiet time in base hold-downs: twice the longest one. Whoever waits the longest hold-down out, carries primaries
for just as long and falls again still counts as flapping; a shorter time would forget exactly the worst."""


@dataclass(frozen=True, slots=True)
class Holddown:
    """How long, and after how many flaps."""

    length_s: float
    flaps: int


def quiet_s(base_s: float) -> float:
    """Say how long something must stay up to count as steady; a fall within that time of its return is a flap."""
    return QUIET_RATIO * base_s


def holddown(history: Iterable[Evacuation], *, base_s: float, now_ms: int) -> Holddown:
    """Work out the hold-down of something that comes back now.

    Args:
        history: every evacuation that took it down, in any order; the one that ends now is closed already.
        base_s: of something that did not flap; positive.
        now_ms: the leader's wall time.

    Returns:
        ``base_s``, doubled for every flap in a row up to the cap.
    """
    flaps = _flaps(history, 1000 * quiet_s(base_s), now_ms)
    doublings = min(flaps, DOUBLINGS_MAX)
    return Holddown(base_s * (1 << doublings), flaps)


def because(flaps: int, base_s: float) -> str:
    """Say in a few words why a hold-down is as long as it is."""
    if not flaps:
        return "it has not flapped"
    times = "once" if flaps == 1 else f"{flaps} times"
    capped = ", and it does not grow any more" if flaps > DOUBLINGS_MAX else ""
    return f"it fell again {times} in a row within {quiet_s(base_s):g} s of its return{capped}"


def _flaps(history: Iterable[Evacuation], quiet_ms: float, now_ms: int) -> int:
    """Count the falls in a row that came within the quiet time of the return before; none when it is quiet since."""
    flaps, back_ms = 0, -inf
    for fall in sorted(history, key=lambda evacuation: evacuation.since_ms):
        if fall.since_ms > back_ms:  # else it was down already: a data center's evacuation takes its nodes' in
            flaps = flaps + 1 if fall.since_ms - back_ms < quiet_ms else 0
        back_ms = max(back_ms, now_ms if fall.open else fall.ended_ms)
    return 0 if now_ms - back_ms >= quiet_ms else flaps
