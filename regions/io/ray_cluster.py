"""The cluster that a Ray host's actors live on: one of our own on this machine, or one that somebody else runs."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import ray

OWN_IP = "127.0.0.2"
"""Ray takes 127.0.0.1 for a mistake, and the machine's outer address instead."""
OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""About the least that Ray takes; nothing of ours goes there."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster, and what it has to offer."""

    address: str
    """``HOST:PORT``; empty: a cluster of our own."""
    folder: str
    """Of a cluster of our own: where it keeps its sockets and logs. Short, a socket's path holds 107 bytes."""
    data_centers: Sequence[str]


def joined(cluster: Cluster) -> str:
    """Join a cluster, or start it; returns why that was impossible, in one line, else nothing."""
    try:
        if cluster.address:
            ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            _start(cluster)
    except Exception as error:  # noqa: BLE001 - Ray raises errors of many kinds, its own and Python's
        where = f"the Ray cluster at {cluster.address} can't be joined" if cluster.address else "Ray does not start"
        return f"{where}: {first_line(error)}"
    offered = ray.cluster_resources()
    missing = [name for name in map(resource, cluster.data_centers) if not offered.get(name)]
    if not missing:
        return ""
    remedy = ", ".join(f'"{name}": 1' for name in missing)
    return (
        f"the Ray cluster at {cluster.address} has no place for {', '.join(missing)}: "
        f"start a node of it with --resources='{{{remedy}}}'"
    )


def resource(data_center: str) -> str:
    """Name the resource that binds processes to the machines of a data center."""
    return f"dc:{data_center}"


def first_line(error: BaseException) -> str:
    """Say an error of Ray's in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _start(cluster: Cluster) -> None:
    ray.init(
        address="local",
        num_cpus=0,
        num_gpus=0,
        resources={resource(dc): 1 for dc in cluster.data_centers},
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address=OWN_IP,
        _temp_dir=cluster.folder,
    )
