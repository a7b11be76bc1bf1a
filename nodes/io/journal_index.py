"""Where the records of each copy stand in the database: written by the writer's thread, read by the loop's.

Python's lock makes each single step safe; a reader that meets a copy while it is being cut sees that it was, and takes
nothing from it (``CopyIndex.cuts``, ``cutting``).
"""

from array import array
from dataclasses import dataclass, field

from core.names import ShardId
from nodes.records import EMPTY, Tip


def _no_places() -> "array[int]":
    return array("Q")


@dataclass(slots=True)
class CopyIndex:
    """One copy."""

    floor: Tip = EMPTY
    tip: Tip = EMPTY
    places: "array[int]" = field(default_factory=_no_places)
    """Of the records after ``floor``, in order."""
    meta_version: int = 0
    cutting: bool = False
    """Records or the snapshot may vanish at any moment."""
    cuts: int = 0
    """Grows with every cut."""

    @property
    def whole(self) -> bool:
        """Say whether the good records are all there are: not so for a copy that was found damaged."""
        return self.floor.lsn + len(self.places) == self.tip.lsn

    def places_after(self, lsn: int) -> "array[int]":
        """List the places of the records after one; of a damaged copy, those of the bad ones too."""
        return self.places[max(0, lsn - self.floor.lsn) :]


@dataclass(slots=True)
class JournalIndex:
    """All copies of a disk."""

    copies: dict[ShardId, CopyIndex] = field(default_factory=dict)
    asides: dict[ShardId, int] = field(default_factory=dict)
    next_place: int = 1
    dead: list[int] = field(default_factory=list)
    """Places of records that a snapshot has replaced; deleted a few at a time."""

    def copy(self, shard: ShardId) -> CopyIndex:
        """Return a copy's index, empty if it is new."""
        found = self.copies.get(shard)
        if found is None:
            found = self.copies[shard] = CopyIndex()
        return found
