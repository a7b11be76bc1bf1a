"""The audit journal in Cassandra: a ring of slots of 256 events, so that it is bounded and nothing is ever deleted.

An event's number says where it lies. Beside the rows of a slot stand the lap (which 256 events it holds now), the last
number, and the term under which it was written; the condition of every write repeats all three.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from control_plane.store_rules import EVENTS_KEPT

PER_SLOT = 256
SLOTS = EVENTS_KEPT // PER_SLOT + 2
HEAD, ROWS, PUT_HEAD, PUT_ROW = "events head", "events rows", "put events head", "put event"
EVENT_READS = (HEAD, ROWS)


@dataclass(frozen=True, slots=True)
class Head:
    """What stands beside the events of a slot; nothing was written to it: lap None."""

    lap: int | None = None
    last: int = 0
    term: int = 0

    @property
    def is_full(self) -> bool:
        """Say whether the next event goes to the next slot."""
        return self.lap is not None and self.last == (self.lap + 1) * PER_SLOT


def event_statements(keyspace: str) -> Mapping[str, str]:
    """Write every statement on events, by name."""
    table = f"{keyspace}.events"
    return {
        HEAD: f"SELECT lap, last, term FROM {table} WHERE slot = ? LIMIT 1",
        ROWS: f"SELECT number, body FROM {table} WHERE slot = ?",
        PUT_HEAD: (
            f"UPDATE {table} SET lap = ?, last = ?, term = ? WHERE slot = ? IF lap = ? AND last = ? AND term = ?"
        ),
        PUT_ROW: f"UPDATE {table} SET number = ?, body = ? WHERE slot = ? AND place = ?",
    }


def slot_of(lap: int) -> int:
    """Say in which slot a lap lies."""
    return lap % SLOTS


def lap_of(number: int) -> int:
    """Say in which lap an event lies; numbers count from 1."""
    return (number - 1) // PER_SLOT


def place_of(number: int) -> int:
    """Say at which place of its slot an event lies."""
    return (number - 1) % PER_SLOT


def fitting(first: int, bodies: Sequence[bytes]) -> int:
    """Say how many of these still fit into the slot of the first one's number."""
    return min(len(bodies), PER_SLOT - place_of(first))


def laps_back(newest: int) -> Iterator[int]:
    """List the laps that may still be there, newest first."""
    first = lap_of(newest)
    yield from range(first, max(-1, first - SLOTS), -1)
