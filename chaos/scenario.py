"""A rehearsal on paper: Chaos Toolkit's experiment schema, with our faults as actions and our measures as probes.

``configuration.load`` is the load, ``method`` the faults, and ``steady-state-hypothesis`` what must hold while they
are on; that decides the verdict. Unlike Chaos Toolkit we know every field: an unknown one is an error that names file
and line. Times are in seconds after the load began; an action without ``at_s`` follows the one before, after its
``pauses``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from chaos.faults import Deed
from chaos.targets import Scope, Target, target
from core.names import GeographyId, geography_id
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
    through,
    whole,
    wrong,
)

TENANTS_MAX = 100_000
RATE_MAX = 20_000
RUN_MAX_S = 3_600.0


class Measure(Enum):
    """What a limit is set on."""

    LOST = "acknowledged_lost"
    DUPLICATED = "duplicated"
    STALE = "stale_reads"
    GAP_P99_S = "write_gap_p99_s"
    """From a fault's injection to the acknowledgement of a write, over the shards it touches."""
    PLANNED_GAP_P99_MS = "planned_gap_p99_ms"
    """From *stopped admitting* to *new owner admitting*, less the trips and the store's write it has to pay."""
    PLANNED_FAILED = "planned_failed_writes"
    BYSTANDERS_FAILED = "bystanders_failed"
    """Operations on shards that a fault does not touch."""
    LEADERLESS_FAILED = "leaderless_failed"
    """Operations that fail while no control plane lives."""


ARGUMENTS = ("target", "servers", "for_s", "once_whole", "latest_s", "accept_exposure")
MEASURES: Mapping[str, Measure] = MappingProxyType({measure.value: measure for measure in Measure})
DEEDS: Mapping[str, Deed] = MappingProxyType({deed.value: deed for deed in Deed})


@dataclass(frozen=True, slots=True)
class Load:
    """What the tenants do meanwhile, open-loop."""

    tenants: int
    writes_per_s: int
    reads_per_s: int
    steady_s: float
    """How long it must run without a fault before the first one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One action of the method."""

    name: str
    deed: Deed
    target: Target
    at_s: float
    for_s: float | None = None
    """A pause ends by itself after this."""
    once_whole: GeographyId | None = None
    """It waits until this geography survives the loss of any one data center."""
    latest_s: float | None = None
    """Later than this, the rehearsal has failed."""
    accept_exposure: bool = False
    """Drain although a further loss could not be survived afterwards."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What must hold."""

    name: str
    measure: Measure
    deed: Deed | None
    """Only over faults of this kind."""
    most: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A validated rehearsal."""

    title: str
    description: str
    file: str
    preset: str
    profile: str
    load: Load
    steps: tuple[Step, ...]
    limits: tuple[Limit, ...]
    end_at_most_s: float

    def with_load(self, *, tenants: int | None, rate: int | None) -> "Scenario":
        """Change what the command line may change; reads stay in proportion to writes."""
        load = self.load
        if rate is not None:
            reads = round(load.reads_per_s * rate / load.writes_per_s)
            load = replace(load, writes_per_s=rate, reads_per_s=reads)
        return replace(self, load=load if tenants is None else replace(load, tenants=tenants))


def scenario(content: str, file: str) -> Scenario:
    """Read a scenario.

    Args:
        content: the YAML.
        file: how to call it in complaints.

    Raises:
        DocumentError: it can't be; names file and line.
    """
    root = parsed(content, file)
    fields = table(
        root,
        ("version", "title", "description", "tags", "configuration", "steady-state-hypothesis", "method", "rollbacks"),
    )
    configuration = required(root, "configuration")
    settings = table(configuration, ("preset", "profile", "load", "end_at_most_s"))
    steps = _steps(required(root, "method"))
    end_at_most_s = number(required(configuration, "end_at_most_s"), least=1, most=RUN_MAX_S)
    late = next((step for step in steps if step.at_s > end_at_most_s), None)
    if late is not None:
        raise DocumentError(required(root, "method"), f"{late.name!r} comes after the end at {end_at_most_s:g} s")
    _no_rollbacks(fields.get("rollbacks"))
    return Scenario(
        title=text(required(root, "title")),
        description=text(required(root, "description")),
        file=file,
        preset=text(settings["preset"]) if "preset" in settings else "reference",
        profile=text(settings["profile"]) if "profile" in settings else "default",
        load=_load(required(configuration, "load")),
        steps=steps,
        limits=_limits(required(root, "steady-state-hypothesis")),
        end_at_most_s=end_at_most_s,
    )


def _load(entry: Entry) -> Load:
    table(entry, ("tenants", "writes_per_s", "reads_per_s", "steady_s"))
    return Load(
        tenants=whole(required(entry, "tenants"), least=1, most=TENANTS_MAX),
        writes_per_s=whole(required(entry, "writes_per_s"), least=1, most=RATE_MAX),
        reads_per_s=whole(required(entry, "reads_per_s"), least=0, most=RATE_MAX),
        steady_s=number(required(entry, "steady_s"), least=0, most=RUN_MAX_S),
    )


def _steps(entry: Entry) -> tuple[Step, ...]:
    steps: list[Step] = []
    before_s = 0.0
    for item in sequence(entry):
        fields = table(item, ("type", "name", "at_s", "pauses", "provider"))
        _word(required(item, "type"), "action")
        pauses = table(fields["pauses"], ("before", "after")) if "pauses" in fields else {}
        before, after = (_seconds(pauses.get(side)) for side in ("before", "after"))
        at_s = number(fields["at_s"], least=0, most=RUN_MAX_S) if "at_s" in fields else before_s + before
        if at_s < before_s:
            raise DocumentError(item, f"comes at {at_s:g} s, before the action above it ends at {before_s:g} s")
        steps.append(_step(item, at_s))
        before_s = at_s + after
    return tuple(steps)


def _step(item: Entry, at_s: float) -> Step:
    provider = required(item, "provider")
    arguments = _provider(provider, "chaos.faults", ARGUMENTS)
    deed = choice(required(provider, "func"), DEEDS)
    where = required(required(provider, "arguments"), "target")
    aim = through(where, target)
    if deed is Deed.DRAIN and aim.scope is not Scope.DATA_CENTER:
        raise DocumentError(where, "only a data center is drained")
    if "servers" in arguments:
        if deed is Deed.DRAIN or aim.scope is not Scope.DATA_CENTER:
            raise DocumentError(arguments["servers"], "only a data center that is stopped or started takes its servers")
        aim = replace(aim, servers=_truth(arguments["servers"]))
    if "for_s" in arguments and deed is not Deed.PAUSE:
        raise DocumentError(arguments["for_s"], "only a pause ends by itself: use restart")
    for field in ("once_whole", "accept_exposure"):
        if field in arguments and deed is not Deed.DRAIN:
            raise DocumentError(arguments[field], "only a drain has this")
    return Step(
        name=text(required(item, "name")),
        deed=deed,
        target=aim,
        at_s=at_s,
        for_s=_seconds(arguments["for_s"]) if "for_s" in arguments else None,
        once_whole=through(arguments["once_whole"], geography_id) if "once_whole" in arguments else None,
        latest_s=_seconds(arguments["latest_s"]) if "latest_s" in arguments else None,
        accept_exposure="accept_exposure" in arguments and _truth(arguments["accept_exposure"]),
    )


def _limits(entry: Entry) -> tuple[Limit, ...]:
    table(entry, ("title", "probes"))
    text(required(entry, "title"))
    return tuple(map(_limit, sequence(required(entry, "probes"))))


def _limit(item: Entry) -> Limit:
    fields = table(item, ("type", "name", "tolerance", "provider"))
    _word(required(item, "type"), "probe")
    provider = required(item, "provider")
    arguments = (
        _provider(provider, "chaos.measures", ("fault",))
        if "arguments" in table(provider, ("type", "module", "func", "arguments"))
        else {}
    )
    return Limit(
        name=text(required(item, "name")),
        measure=choice(required(provider, "func"), MEASURES),
        deed=choice(arguments["fault"], DEEDS) if "fault" in arguments else None,
        most=_most(fields.get("tolerance"), item),
    )


def _most(tolerance: Entry | None, item: Entry) -> float:
    """Take Chaos Toolkit's tolerance: a number, or a range from 0."""
    if tolerance is None:
        raise DocumentError(item, f"{item.name} lacks the field 'tolerance'")
    if not isinstance(tolerance.content, dict):
        return number(tolerance, least=0, most=1e9)
    table(tolerance, ("type", "range"))
    _word(required(tolerance, "type"), "range")
    ends = sequence(required(tolerance, "range"))
    if len(ends) != 2:
        raise DocumentError(tolerance, "a range has two ends")
    number(ends[0], least=0, most=0)
    return number(ends[1], least=0, most=1e9)


def _provider(provider: Entry, module: str, arguments: tuple[str, ...]) -> Mapping[str, Entry]:
    table(provider, ("type", "module", "func", "arguments"))
    _word(required(provider, "type"), "python")
    _word(required(provider, "module"), module)
    return table(required(provider, "arguments"), arguments)


def _no_rollbacks(entry: Entry | None) -> None:
    if entry is not None and sequence(entry):
        raise DocumentError(entry, "leave it empty: every fault that is still on at the end is undone by itself")


def _word(entry: Entry, word: str) -> None:
    choice(entry, {word: word})


def _truth(entry: Entry) -> bool:
    if not isinstance(entry.content, bool):
        raise wrong(entry, "true or false")
    return entry.content


def _seconds(entry: Entry | None) -> float:
    return 0.0 if entry is None else number(entry, least=0, most=RUN_MAX_S)
