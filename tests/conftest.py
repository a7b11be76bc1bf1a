"""What holds for every test."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.engines.needs import need

# gRPC's C core reads this once, at its first import: its own lines must not stand among what our programs say.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


@pytest.fixture(scope="session")
def cassandra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Give the three Cassandra data centers that tests share; started by the first world that is made of them."""
    need("cassandra/lib", "java")
    # Its driver is there only where `make test-engines` has installed it.
    from tests.engines.cassandra_world import CassandraCluster

    folder = tmp_path_factory.mktemp("cassandra")
    cluster = CassandraCluster(folder / "cluster")
    yield cluster
    cluster.servers.kill()
    shutil.rmtree(folder)
