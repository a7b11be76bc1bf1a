"""What TLC is asked: the protocol within bounds, and every mutant with the law that it must break."""

from dataclasses import dataclass

LAWS = (
    "I4_Joint",
    "I3_NoSoloAckBeforeCas",
    "I11_NothingUncommitted",
    "I6_OneReader",
    "I1_OnEveryMember",
    "I2_I7_I8_Kept",
    "I10_Once",
)
"""The invariants of Pair.tla; of several that one state breaks, TLC names the first of these."""
SOUND = "none"


@dataclass(frozen=True, slots=True)
class Configuration:
    """One question to TLC."""

    epochs: int
    """Records that the store may hold: the first, and one for each change."""
    writes: int
    """Request ids; a journal holds at most so many entries."""
    crashes: int
    """Restarts of whichever copy."""
    bug: str = SOUND
    breaks: str = ""
    """The law that TLC must name; empty: none."""
    laws: tuple[str, ...] = LAWS

    @property
    def name(self) -> str:
        """Say it in words, for test ids and reports."""
        subject = "the protocol" if self.bug == SOUND else self.bug
        only = "" if self.laws == LAWS else f", {' '.join(self.laws)} alone"
        return f"{subject} ({self.epochs} epochs, {self.writes} writes, {self.crashes} crashes{only})"

    @property
    def text(self) -> str:
        """Write it as TLC reads it."""
        lines = [
            "SPECIFICATION Spec",
            "VIEW View",
            "CONSTANTS",
            "  Nobody = Nobody",
            "  Drain = Drain",
            f"  Epochs = {self.epochs}",
            f"  Writes = {self.writes}",
            f"  Crashes = {self.crashes}",
            f'  Bug = "{self.bug}"',
            f"INVARIANTS {' '.join(self.laws)}",
        ]
        return "\n".join(lines) + "\n"


def _mutant(
    bug: str, breaks: str, *, epochs: int, writes: int = 1, crashes: int = 0, alone: bool = False
) -> Configuration:
    return Configuration(epochs, writes, crashes, bug, breaks, (breaks,) if alone else LAWS)


SMALL = Configuration(epochs=3, writes=1, crashes=0)
"""For every run of the tests."""
LARGE = (
    Configuration(epochs=3, writes=1, crashes=1),
    Configuration(epochs=2, writes=2, crashes=1),
    Configuration(epochs=3, writes=2, crashes=0),
    Configuration(epochs=4, writes=1, crashes=0),
)
"""For ``make prove-model``."""
MUTANTS = (
    _mutant("ack before CAS", "I3_NoSoloAckBeforeCas", epochs=2),
    _mutant("promote outside in_sync", "I2_I7_I8_Kept", epochs=2),
    _mutant("solo acks during ADD", "I4_Joint", epochs=2),
    _mutant("solo reads without lease during ADD", "I6_OneReader", epochs=3),
    _mutant("no lease wait", "I6_OneReader", epochs=2),
    _mutant("restart without intents", "I2_I7_I8_Kept", epochs=2, crashes=1),
    _mutant("restart without intents", "I6_OneReader", epochs=3, crashes=1, alone=True),
    _mutant("restart without lease wait", "I6_OneReader", epochs=2, crashes=1),
    _mutant("unplanned promotion that keeps both in sync", "I6_OneReader", epochs=3),
    _mutant("switchover without drain", "I6_OneReader", epochs=3),
    _mutant("drain aborted by time-out", "I6_OneReader", epochs=3),
    _mutant("unsynced tail lost on restart", "I1_OnEveryMember", epochs=2, crashes=1),
    _mutant("empty disk under the old copy id", "I1_OnEveryMember", epochs=2),
    _mutant("no de-duplication", "I10_Once", epochs=2, writes=2),
    _mutant("lost reply of a join taken for no", "I2_I7_I8_Kept", epochs=2),
    _mutant("stale snapshot accepted", "I1_OnEveryMember", epochs=2),
    _mutant("fence not durable", "I1_OnEveryMember", epochs=3),
    _mutant("retry answered before commit", "I11_NothingUncommitted", epochs=2),
    _mutant("read of an uncommitted entry", "I11_NothingUncommitted", epochs=2),
    _mutant("restarted primary reads before its tail is acked", "I11_NothingUncommitted", epochs=2, crashes=1),
    _mutant("SWAP commits with the new standby only", "I4_Joint", epochs=2),
    _mutant("SWAP reads with the old lease only", "I6_OneReader", epochs=3),
    _mutant("lease of an evicted grantor counted", "I6_OneReader", epochs=3),
    _mutant("PROMOTED proposes ADD", "I6_OneReader", epochs=4),
    _mutant("append of an older epoch accepted", "I1_OnEveryMember", epochs=3),
    _mutant("acks counted across epochs", "I1_OnEveryMember", epochs=2, writes=2, crashes=1),
    _mutant("acks counted across boots", "I1_OnEveryMember", epochs=2, writes=2, crashes=1),
    _mutant("no truncation at first contact", "I1_OnEveryMember", epochs=2, writes=2, crashes=1),
    _mutant("ADD decided before the learner reached n", "I2_I7_I8_Kept", epochs=2),
    _mutant("learner kept attached across epochs", "I1_OnEveryMember", epochs=2, writes=2, crashes=1),
)
"""Within the smallest bounds in which each is caught."""
QUICK = tuple(next(m for m in MUTANTS if m.breaks == law) for law in LAWS)
"""One mutant for each law, for every run of the tests."""
