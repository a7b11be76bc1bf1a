"""A fleet's processes as Consul's register knows them: names, entries, and back. Needs no library of Consul's."""

from collections.abc import Iterable, Mapping

from core.discovery import Instance, Listed, Part, listed
from core.names import DcId, fleet_id

SERVICE_PREFIX = "twinhold-"
FORGET_AFTER = "1m"
"""Who has been silent for this long is removed by Consul itself; it takes no shorter time."""


def service_name(fleet: str) -> str:
    """Name the service under which all processes of a fleet register."""
    return f"{SERVICE_PREFIX}{fleet_id(fleet)}"


def fleets_of(services: Iterable[str]) -> list[str]:
    """Name the fleets that are registered, given the names of all services."""
    return sorted(name.removeprefix(SERVICE_PREFIX) for name in services if name.startswith(SERVICE_PREFIX))


def lock_key(fleet: str) -> str:
    """Name the key that whoever holds a fleet's leader lock has acquired."""
    return f"twinhold/{fleet_id(fleet)}/leader"


def entry_id(instance: Instance) -> str:
    """Name an instance's service and its check; one agent may keep those of many fleets."""
    return f"{service_name(instance.fleet)}-{instance.id}"


def labels(instance: Instance) -> Mapping[str, str]:
    """Say what an entry tells beside address and port."""
    return {"fleet": instance.fleet, "part": instance.part.value, "id": instance.id, "dc": instance.dc}


def instances_from(answer: object, fleet: str) -> Listed:
    """Read Consul's answer to a question for the healthy entries of a fleet's service.

    What is not ours, or was not written by us, is passed over: everybody with the right to may register anything.
    """
    entries = answer if isinstance(answer, list) else []
    return listed([found for entry in entries if (found := _instance(entry, fleet)) is not None])


def _instance(entry: object, fleet: str) -> Instance | None:
    match entry:
        case {
            "Service": {
                "Address": str(host),
                "Port": int(port),
                "Meta": {"fleet": str(named), "part": str(part), "id": str(one), "dc": str(dc)},
            }
        } if named == fleet and part in (*Part,):
            return Instance(fleet, Part(part), one, DcId(dc), host, port)
        case _:
            return None
