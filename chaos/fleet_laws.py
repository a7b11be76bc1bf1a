"""The laws of a simulated fleet, besides those of its clients' history (``chaos/laws.py``)."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from chaos.judgement import Law


class FleetLaw(Enum):
    """What a run can break."""

    LIVENESS = "once everything heals, every shard is SYNC and served within the stated time"
    DECIDED = "the history can be judged"
    ERRORS = "a client is told documented errors only"


AnyLaw: TypeAlias = Law | FleetLaw


@dataclass(frozen=True, slots=True)
class Breach:
    """A law broken, and what shows it, in one line."""

    law: AnyLaw
    what: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.law.name}: {self.what}"
