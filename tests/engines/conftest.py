"""What tests against real servers share; those of Consul name servers of their own by the fixture ``consul``."""

import importlib.util
from uuid import uuid4

import pytest

from core.discovery import Instance, Part
from core.names import DcId
from regions.io.consul_servers import ConsulServers

# Their clients come with the cluster's lock, which `make test-engines` installs and `make test` does without.
collect_ignore_glob = [] if importlib.util.find_spec("cassandra") else ["test_*.py"]


@pytest.fixture
async def servers(consul: ConsulServers) -> ConsulServers:
    """All three, whatever the test before has done to them."""
    await consul.start()
    return consul


@pytest.fixture
def fra() -> Instance:
    return Instance(f"f{uuid4().hex[:12]}", Part.NODE, "fra1-c1", DcId("fra1"), "127.1.0.1", 7001)
