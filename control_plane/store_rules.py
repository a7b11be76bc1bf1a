"""What every adapter of the assignment store decides alike: whether a term, a row or a doc may be written.

Upholds C2 to C7 of PROTOCOL.md section 2. Pure, so that the in-memory and the SQLite adapter can't come to differ; an
adapter's conditional write repeats the base besides.
"""

from collections.abc import Callable, Sequence

from control_plane.ports import FLEET, Adoption, Applied, Doc, Partition, Refused, Row, StaleTerm, partition_of
from core.assignments import Assignment, first_assignment, legal_adoption, legal_successor
from core.errors import NotFoundError, TwinholdError
from core.names import DcId, GeographyId, ShardId
from core.topology import Topology

RESTORED = "the store was restored from a backup: nothing is written until `twinhold store adopt` has rebuilt it"
"""What a write is told by a store that found itself older than what it has served."""
EVENTS_KEPT = 100_000
"""The audit journal's bound: the oldest events go first."""
_NUMBER_TAG = b"\x08"
"""Field 1 of ``Event``, a varint."""


class StoreRules:
    """Judges single rows against what the store holds, and knows who votes.

    Args:
        topology: the fleet that the store belongs to.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology

    def row(self, partition: Partition, row: Row, current: Assignment | None) -> Applied | Refused:
        """Judge one assignment: its base is what the store holds, and the rules allow the step."""
        held = None if current is None else current.fence
        try:
            if held != row.base or self.home(row.new) != partition:
                return Refused(current)
            self._legal(row, current)
        except TwinholdError:
            return Refused(current)
        return Applied()

    def adoption(
        self,
        adoption: Adoption,
        *,
        incarnation: int,
        record: Callable[[ShardId], Assignment | None],
        doc: Callable[[str], Doc | None],
    ) -> Applied | Refused:
        """Judge what is to take the place of a restored store's records (C10).

        Args:
            adoption: all of it.
            incarnation: the store's.
            record: looks up what the store holds of a shard.
            doc: looks up a doc of the fleet's.
        """
        if adoption.incarnation != incarnation or adoption.next_incarnation <= incarnation:
            return Refused(None)
        for new in adoption.assignments:
            current = record(new.shard)
            try:
                self.home(new)
                legal_adoption(current, new, geography_of=self._geography_of)
            except TwinholdError:
                return Refused(current)
        for fresh in adoption.docs:
            kept = doc(fresh.key)
            if kept is not None and fresh.version <= kept.version:
                return Refused(kept)
        return Applied()

    def home(self, assignment: Assignment) -> Partition:
        """Find the partition of a record; raises NotFoundError for a shard that the fleet does not have."""
        geography = self._topology.geography_of_shard(assignment.shard)
        return partition_of(assignment.shard, geography.id, geography.first_shard)

    def vote_sites(self, partition: Partition) -> tuple[DcId, ...]:
        """Name the data centers that vote on a partition's records (DESIGN.md section 3.6).

        Raises:
            NotFoundError: the partition's geography does not exist.
        """
        if partition.geography is None:
            return self._topology.fleet_vote_sites
        return self._topology.geography(partition.geography).vote_sites

    def touched(self, partitions: Sequence[Partition] | None) -> Sequence[Partition]:
        """Name the partitions whose sites must vote on a read; None: everybody's."""
        if partitions is not None:
            return partitions
        return [FLEET, *(Partition(geography.id, 0) for geography in self._topology.geographies)]

    def _legal(self, row: Row, current: Assignment | None) -> None:
        if current is None:
            first_assignment(row.new, geography_of=self._geography_of)
        elif row.change is None:
            raise NotFoundError("change", row.new.shard, remedy="only a shard's first record comes without one")
        else:
            legal_successor(current, row.new, row.change, proposer=row.proposer, geography_of=self._geography_of)

    def _geography_of(self, dc: DcId) -> GeographyId:
        return self._topology.data_center(dc).geography


def judged_doc(doc: Doc, current: Doc | None) -> Applied | Refused:
    """Judge a doc: it is the very next version of what the store holds."""
    return Applied() if doc.version == (0 if current is None else current.version) + 1 else Refused(current)


def outdated(term: int, held: int) -> StaleTerm | None:
    """Judge a writer's term (C7): None when it may write."""
    return StaleTerm(held) if term < held else None


def nearest_majority_s(
    caller: DcId,
    sites: tuple[DcId, ...],
    *,
    living: frozenset[DcId],
    rtt_s: dict[tuple[DcId, DcId], float],
) -> float | None:
    """Measure the caller's round trip to the nearest living majority of a record's vote sites.

    Returns:
        Seconds; None when no majority lives, and nothing can be decided.
    """
    trips = sorted(rtt_s[caller, site] for site in sites if site in living)
    majority = len(sites) // 2 + 1
    return trips[majority - 1] if len(trips) >= majority else None


def numbered(event: bytes, number: int) -> bytes:
    """Give a serialized event its number.

    Protobuf lets a message be completed by appending to it: the last value of a field holds.
    """
    return event + _NUMBER_TAG + _varint(number)


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
