"""The paths that matter: a run notes each that it takes, and a night of runs that missed one has proved too little.

Production code knows nothing of marks: the witness reads them off what it sees.
"""

from collections.abc import Iterable, Mapping
from enum import Enum


class Mark(Enum):
    """A path that some run must take."""

    PROMOTED_IN_REJOIN = "a shard failed over while a copy was joining it"
    PROMOTED_IN_SNAPSHOT = "a shard failed over while a snapshot was on its way"
    PROMOTED_WITH_INTENT = "a primary was replaced while a change that it had asked for was in flight"
    DRAIN_OVERTAKEN = "a drained primary's switchover lost to another change"
    JOINT_ACK = "a write was acknowledged by a standby and a learner both"
    JOINT_READ = "a read rested on the lease of a learner"
    LEASE_CARRIED = "a read rested on a lease of an older epoch"
    LEASE_WAITED_OUT = "a promoted copy had granted a lease that still held, and waited"
    HANDED_OVER = "a request waited out a switchover and was answered by the new primary"
    SWITCHED = "roles were switched"
    SWAPPED = "a standby was swapped for another copy"
    CANCELLED = "a change in flight was cancelled"
    OVERRIDDEN = "an operator overrode the loss of the only copy in sync"
    STALE_SNAPSHOT = "a snapshot arrived at a copy that no longer wanted it"
    SNAPSHOT_TAKEN = "a copy began anew from a snapshot"
    ORPHANED = "a copy moved entries aside that its primary lacked"
    RESTARTED = "a restarted primary served again, its journal acknowledged anew"
    RETRY_ANSWERED = "a retry was answered from the journal"
    LOST_RACE = "a change was refused because another was first"
    OLD_LEADER = "a write of a leader that is over was refused"
    UNKNOWN_DONE = "a write of unknown outcome had been done"
    UNKNOWN_NOT_DONE = "a write of unknown outcome had not been done yet"
    PROPOSAL_UNKNOWN = "a primary was not told what became of its proposal"
    LED_ON = "a new leader took over with an evacuation open"
    DC_EVACUATED = "a data center was evacuated"
    NODE_EVACUATED = "a node was declared lost alone"
    EVACUATION_CLOSED = "an evacuation was closed: what it named is back"
    BRAKED = "the brake held"
    VERDICT_WITHHELD = "a doubt did not become a verdict, and that was told"
    BLOCKED = "a shard waited, both of its copies or its only one being lost"
    UNBLOCKED = "a shard that had waited was served again"
    DAMAGE_REPORTED = "a copy reported itself damaged"
    DISK_REFUSED = "a copy reported that its disk takes no writes"
    RELIEVED = "a shard failed over because its primary had reported itself"
    NEW_COPY = "a node on a new disk joined as a new copy"
    JUMPED = "a process noticed that it had been stopped for longer than a lease"


def missed(runs: Iterable[Mapping[str, int]]) -> tuple[Mark, ...]:
    """Name the marks that none of many runs reached.

    Args:
        runs: of each, how often it reached a mark, by the mark's name.
    """
    reached = {name for run in runs for name, count in run.items() if count}
    return tuple(mark for mark in Mark if mark.name not in reached)
