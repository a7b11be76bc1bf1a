"""The archive's parts of one node: the adapter that its engines name, the archiver, and who reads back."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from core.io.clock import LoopClock
from core.io.json_log import tell
from core.names import GeographyId
from core.processes import NodeConfig
from nodes.archive_driver import ArchiveDriver, served_by
from nodes.archive_machine import USUAL_PACE
from nodes.archive_tables import sites_of
from nodes.driver import NodeDriver
from nodes.io.archive_pool import CallSoon
from nodes.io.directory_archive import DirectoryArchive
from nodes.ports import Archive, Journal

CASSANDRA_S = 5.0
"""For one statement: nobody waits for it."""
HOLD_S = 10 * USUAL_PACE.seal_s
"""Entries stay in the journal so long after their snapshot, at most: an archive may be away for a while."""


def opened_archive(config: NodeConfig, closing: AsyncExitStack, call_soon_threadsafe: CallSoon) -> Archive | None:
    """Open the archive that a node was started with; None: there is none, or Cassandra has no site in its geography.

    Raises:
        UnavailableError: the directory can't be used, or a package is missing.
    """
    if config.engines.archive_dir:
        directory = DirectoryArchive(
            Path(config.engines.archive_dir), geography_of(config), call_soon_threadsafe=call_soon_threadsafe
        )
        closing.callback(directory.close)
        return directory
    engine = config.engines.store
    if engine is None or not sites_of(engine.sites, config.topology, geography_of(config)):
        return None
    from nodes.io.cassandra_archive import CassandraArchive

    home = config.topology.node(config.node).dc
    archive = CassandraArchive(engine, config.topology, geography_of(config), home, deadline_s=CASSANDRA_S)
    closing.push_async_callback(archive.close)
    return archive


def geography_of(config: NodeConfig) -> GeographyId:
    """Say whose data a node holds."""
    topology = config.topology
    return topology.data_center(topology.node(config.node).dc).geography


def hold_s(archive: Archive | None) -> float:
    """Say how long a journal holds entries back for an archive."""
    return 0.0 if archive is None else HOLD_S


def start_archiving(
    archive: Archive | None,
    driver: NodeDriver,
    journal: Journal,
    *,
    clock: LoopClock,
    busy: Callable[[], bool],
    closing: AsyncExitStack,
) -> None:
    """Archive what a node serves, until it ends; where there is no archive, do nothing."""
    if archive is None:
        return
    archiver = ArchiveDriver(
        archive=archive,
        journal=journal,
        served=lambda: served_by(driver),
        busy=busy,
        clock=clock,
        spawn=clock,
        tell=lambda event, facts: tell(event, **facts),
        pace=USUAL_PACE,
    )
    closing.callback(archiver.stop)
    archiver.start()
