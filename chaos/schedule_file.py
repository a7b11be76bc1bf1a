"""A schedule as JSON, to keep, to send and to play again; a line that names the place says what is wrong with one.

JSON is YAML, so it is read through the same documents as topologies and scenarios. Every fault that a schedule may
hold is known by its class, in small letters, and by its fields.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, TypeAlias, get_args, get_type_hints

from chaos.schedule import Fault, Schedule, Timed
from chaos.setting import PLACES, Setting, processes_of, topology_of
from core.names import DcId, NodeId, ShardId
from core.timers import PROFILES
from core.topology import Topology
from regions.document import (
    DocumentError,
    Entry,
    choice,
    number,
    parsed,
    required,
    sequence,
    table,
    text,
    whole,
    wrong,
)

KIND = "kind"
SECONDS_MAX = 3_600.0
SEED_MAX = 2**63
SHARDS_MAX, NODES_MAX = 64, 4
FIELDS = ("why", "seed", "setting", "faults", "trouble_s", "settle_s")
DATA_CENTERS = (3, 6)
"""How many a fleet has in all."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A schedule, and why it was kept."""

    schedule: Schedule
    why: str


def word(kind: type) -> str:
    """Name a kind of fault in a file: ``LoseDc`` is ``lose_dc``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


KINDS: Mapping[str, type] = {word(kind): kind for kind in get_args(Fault)}


def printed(schedule: Schedule, *, why: str) -> str:
    """Write a schedule down, a line for every fault."""
    lines = [
        f'  "why": {json.dumps(why, ensure_ascii=False)},',
        f'  "seed": {schedule.seed},',
        f'  "setting": {json.dumps(_plain(schedule.setting))},',
        '  "faults": [',
        ",\n".join(f"    {json.dumps(_timed(timed))}" for timed in schedule.faults),
        "  ],",
        f'  "trouble_s": {schedule.trouble_s},',
        f'  "settle_s": {schedule.settle_s}',
    ]
    return "{\n" + "\n".join(line for line in lines if line) + "\n}\n"


def saved(content: str, file: str) -> Saved:
    """Read a schedule.

    Args:
        content: the document.
        file: how to call it in complaints.

    Raises:
        DocumentError: it can't be played; names file, line and what would be right.
    """
    entry = parsed(content, file)
    table(entry, FIELDS)
    setting = _setting(required(entry, "setting"))
    topology = topology_of(setting)
    schedule = Schedule(
        whole(required(entry, "seed"), least=0, most=SEED_MAX),
        setting,
        tuple(_fault(one, topology) for one in sequence(required(entry, "faults"))),
        number(required(entry, "trouble_s"), least=0.0, most=SECONDS_MAX),
        number(required(entry, "settle_s"), least=0.0, most=SECONDS_MAX),
    )
    return Saved(schedule, text(required(entry, "why")))


def _plain(value: Any) -> dict[str, object]:  # Any: one of several dataclasses, whose fields say what they hold
    return {field.name: _written(getattr(value, field.name)) for field in fields(value)}


def _written(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _timed(timed: Timed) -> dict[str, object]:
    return {"at_s": timed.at_s, KIND: word(type(timed.fault)), **_plain(timed.fault)}


def _setting(entry: Entry) -> Setting:
    table(entry, [field.name for field in fields(Setting)])
    counts = required(entry, "data_centers")
    data_centers = tuple(
        whole(count, least=2, most=len(places))
        for count, places in zip(sequence(counts), PLACES.values(), strict=False)
    )
    least, most = DATA_CENTERS
    if len(sequence(counts)) > len(PLACES) or not least <= sum(data_centers) <= most:
        raise DocumentError(
            counts, f"{counts.name} must count {least} to {most} data centers in at most {len(PLACES)} geographies"
        )
    return Setting(
        data_centers=data_centers,
        nodes_per_dc=whole(required(entry, "nodes_per_dc"), least=1, most=NODES_MAX),
        control_planes=whole(required(entry, "control_planes"), least=1, most=sum(data_centers)),
        shards=whole(required(entry, "shards"), least=1, most=SHARDS_MAX),
        profile=choice(required(entry, "profile"), {name: name for name in PROFILES}),
        pause_s=number(required(entry, "pause_s"), least=0.001, most=SECONDS_MAX),
        break_ratio=number(required(entry, "break_ratio"), least=0.0, most=1.0),
        lost_call_ratio=number(required(entry, "lost_call_ratio"), least=0.0, most=1.0),
    )


Reader: TypeAlias = Callable[[Entry, Topology], object]


def _host(entry: Entry, topology: Topology) -> str:
    return choice(entry, {name: name for name in processes_of(topology)})


def _flag(entry: Entry, topology: Topology) -> bool:
    if not isinstance(entry.content, bool):
        raise wrong(entry, "true or false")
    return entry.content


READERS: Mapping[object, Reader] = {
    str: _host,
    bool: _flag,
    float: lambda entry, topology: number(entry, least=0.0, most=SECONDS_MAX),
    int: lambda entry, topology: whole(entry, least=0, most=SEED_MAX),
    DcId: lambda entry, topology: choice(entry, {str(dc.id): dc.id for dc in topology.data_centers}),
    NodeId: lambda entry, topology: choice(entry, {str(node.id): node.id for node in topology.nodes}),
    ShardId: lambda entry, topology: ShardId(whole(entry, least=0, most=SHARDS_MAX * len(PLACES))),
}
"""By the type of a fault's field; a text is the name of a process."""


def _fault(entry: Entry, topology: Topology) -> Timed:
    kind = choice(required(entry, KIND), KINDS)
    types = get_type_hints(kind)
    table(entry, ["at_s", KIND, *types])
    at_s = number(required(entry, "at_s"), least=0.0, most=SECONDS_MAX)
    return Timed(at_s, kind(**{name: _value(required(entry, name), types[name], topology) for name in types}))


def _value(entry: Entry, kind: Any, topology: Topology) -> object:  # Any: a type, as a class writes it down
    if isinstance(kind, type) and issubclass(kind, Enum):
        return choice(entry, {str(member.value): member for member in kind})
    return READERS[kind](entry, topology)
