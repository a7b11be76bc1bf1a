"""The timers of the whole system, scaled together by one profile (PROTOCOL.md section 7)."""

from dataclasses import dataclass
from types import MappingProxyType

from core.errors import MalformedError, NotFoundError


@dataclass(frozen=True, slots=True)
class Timers:
    """One profile; everything in seconds.

    Raises:
        MalformedError: the heartbeat is longer than a quarter of the lease, or the silence shorter than the lease.
    """

    lease_s: float
    """L: how long a granted lease protects reads."""
    heartbeat_s: float
    """Between two nodes that share a shard."""
    standby_silence_s: float
    """A primary that hears nothing of its standby for this long proposes to evict it."""
    probe_s: float
    """How often an observer looks."""
    silence_s: float
    """How long an observer hears nothing before it calls a node dead."""
    reset_wait_s: float
    """A stream reset plus refused connects counts as dead after this, plus three round trips."""
    refused_connects: int
    """Plain TCP connects that must be refused after a reset."""
    refused_gap_s: float
    """Between two such connects."""
    settle_s: float
    """How long a verdict on a node waits while another node of its data center is suspect too."""
    leader_heartbeat_s: float
    """The leader to the other control planes."""
    takeover_s: float
    """Silence of the leader after which a follower stands as a candidate."""
    stagger_s: float
    """Between two candidates, in the topology's order."""
    holddown_s: float
    """Before a returned data center is given primaries by plan."""
    prepare_s: float
    """How old an answer to Prepare may be."""
    canary_wait_s: float
    """After the canary's lease could have ended, how long the main wave still waits for it to serve."""
    drift_ratio: float = 0.01
    """rho: the largest relative error of a clock's rate that leases allow for."""

    def __post_init__(self) -> None:
        if self.heartbeat_s > self.lease_s / 4:
            raise MalformedError("heartbeat", self.heartbeat_s, expected=f"at most a quarter of {self.lease_s} s")
        if min(self.silence_s, self.standby_silence_s) < self.lease_s:
            raise MalformedError("silence", self.silence_s, expected=f"at least the lease, {self.lease_s} s")

    @property
    def slack_s(self) -> float:
        """By how much a heartbeat may be late, so that those of all links leave and arrive together."""
        return self.heartbeat_s / 20

    @property
    def jump_s(self) -> float:
        """The step between two loop turns above which old observations are worth nothing: L/4."""
        return self.lease_s / 4


PROFILES = MappingProxyType(
    {
        "default": Timers(
            lease_s=1.0,
            heartbeat_s=0.2,
            standby_silence_s=1.0,
            probe_s=0.2,
            silence_s=1.2,
            reset_wait_s=0.15,
            refused_connects=3,
            refused_gap_s=0.04,
            settle_s=0.2,
            leader_heartbeat_s=0.15,
            takeover_s=0.6,
            stagger_s=0.06,
            holddown_s=10.0,
            prepare_s=1.0,
            canary_wait_s=0.1,
        ),
        "fast": Timers(
            lease_s=0.2,
            heartbeat_s=0.04,
            standby_silence_s=0.2,
            probe_s=0.04,
            silence_s=0.24,
            reset_wait_s=0.05,
            refused_connects=3,
            refused_gap_s=0.04,
            settle_s=0.05,
            leader_heartbeat_s=0.04,
            takeover_s=0.15,
            stagger_s=0.02,
            holddown_s=10.0,
            prepare_s=0.2,
            canary_wait_s=0.1,
        ),
    }
)


def timers(profile: str) -> Timers:
    """Look a profile up by name.

    Raises:
        NotFoundError: there is no such profile.
    """
    if profile not in PROFILES:
        raise NotFoundError("timer profile", profile, remedy=f"one of {', '.join(PROFILES)}")
    return PROFILES[profile]
