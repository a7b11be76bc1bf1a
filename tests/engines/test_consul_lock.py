"""The leader lock in a real Consul whose servers come and go, and with other limits than it wishes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from control_plane.io.consul_lock import ConsulLock
from core.engines import ConsulEngine
from core.io.consul_calls import ConsulCalls
from core.names import ControlPlaneId
from regions.io.consul_servers import ConsulServers
from tests.contracts.test_lock import AMS, FRA, SHORT_S, holder, known, taken
from tests.real_consul import engine_of, hosts, running

pytestmark = pytest.mark.engines

DEADLINE_S = 1.0
MakeLock = Callable[[ControlPlaneId, int], ConsulLock]


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServers]:
    with running(tmp_path_factory.mktemp("consul"), hosts(23)) as servers:
        yield servers


@pytest.fixture
async def lock(servers: ConsulServers) -> AsyncIterator[MakeLock]:
    """Make a control plane's lock, given whose and which server is asked first."""
    fleet = f"f{uuid4().hex[:12]}"
    async with AsyncExitStack() as closing:

        def made(who: ControlPlaneId, first: int) -> ConsulLock:
            one = ConsulLock(engine_of(servers, first=first), fleet, who, deadline_s=DEADLINE_S)
            closing.push_async_callback(one.close)
            return one

        yield made


async def sessions(engine: ConsulEngine) -> list[dict[str, Any]]:
    """List the sessions that Consul holds."""
    calls = ConsulCalls(engine, name="test", deadline_s=DEADLINE_S)
    _, found = await calls.ask(lambda client: client.session.list())
    await calls.close()
    return list(found or [])


async def test_the_session_has_no_checks_and_no_delay(servers: ConsulServers, lock: MakeLock) -> None:
    await taken(lock(FRA, 0), FRA, 20.0)
    (session,) = await sessions(engine_of(servers))
    assert (session["NodeChecks"], session["ServiceChecks"], session["LockDelay"]) == ([], None, 0)
    assert (session["TTL"], session["Behavior"]) == ("20000ms", "delete")


async def test_who_comes_too_late_opens_no_session(servers: ConsulServers, lock: MakeLock) -> None:
    assert await holder(lock(FRA, 0), FRA) == FRA
    before = len(await sessions(engine_of(servers)))
    assert await holder(lock(AMS, 1), AMS) == FRA
    assert len(await sessions(engine_of(servers))) == before


async def test_the_holder_keeps_it_while_each_server_is_restarted(servers: ConsulServers, lock: MakeLock) -> None:
    ours, theirs = lock(FRA, 0), lock(AMS, 1)
    assert await holder(ours, FRA) == FRA
    for server in servers.servers:  # the one on whose node the session is booked is among them, and the leader
        server.kill()
        assert await known(theirs, AMS) == FRA
        await server.start()
        assert await known(ours, FRA) == FRA
        assert await known(theirs, AMS) == FRA


async def test_the_holder_keeps_it_while_all_of_consul_is_gone_and_comes_back(
    servers: ConsulServers, lock: MakeLock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ours, theirs = lock(FRA, 0), lock(AMS, 1)
    assert await holder(ours, FRA) == FRA
    servers.kill()
    for _ in range(3):
        assert set(await asyncio.gather(holder(ours, FRA), holder(theirs, AMS))) == {None}
    assert caplog.messages.count("lock.unanswered") == 2, "each complains once"
    await servers.start()
    assert await known(theirs, AMS) == FRA


async def test_a_frozen_server_does_not_keep_the_next_one_from_being_asked(
    servers: ConsulServers, lock: MakeLock
) -> None:
    ours, theirs = lock(FRA, 0), lock(AMS, 1)
    assert await holder(ours, FRA) == FRA
    servers.servers[0].freeze()
    assert await known(ours, FRA) == FRA
    assert await known(theirs, AMS) == FRA
    servers.servers[0].resume()


async def test_a_shorter_time_than_consul_grants_is_raised_and_said_and_kept_by_the_holder_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    alone = ConsulServers(tmp_path, ["127.23.1.1"], settings={"session_ttl_min": "10s"})
    await alone.start()
    ours, theirs = (ConsulLock(engine_of(alone), "small", who, deadline_s=DEADLINE_S) for who in (FRA, AMS))
    await taken(ours, FRA, SHORT_S)
    (session,) = await sessions(engine_of(alone))
    assert session["TTL"] == "10000ms"
    (said,) = [record for record in caplog.records if record.message == "lock.ttl_raised"]
    assert {"asked_s": SHORT_S, "granted_s": 10.0}.items() <= vars(said)["facts"].items()
    await taken(theirs, AMS)  # in time: Consul itself would have waited 10 to 20 s
    assert len(await sessions(engine_of(alone))) == 1
    for one in (ours, theirs):
        await one.close()
    alone.kill()


async def test_a_closed_lock_answers_no_more_and_lapses(lock: MakeLock) -> None:
    ours, theirs = lock(FRA, 0), lock(AMS, 1)
    assert await holder(ours, FRA, SHORT_S) == FRA
    answers: list[object] = []
    ours.try_acquire(FRA, SHORT_S, answers.append)
    await ours.close()
    await taken(theirs, AMS)
    assert answers == []
