"""Tries a Consul out before a fleet relies on it: one clear line when it, or the token, does not do.

For whoever brings a fleet up. A single process never asks: it has to start while Consul is away.
"""

from core.engines import ConsulEngine
from core.errors import NotAllowedError
from core.io.consul_calls import ConsulCalls
from core.io.consul_client import RIGHTS, Client
from core.io.consul_entries import lock_key, service_name

TTL_S = 10.0


async def check_consul(engine: ConsulEngine, fleet: str, *, deadline_s: float) -> None:
    """See whether Consul answers, knows who leads it, and gives this token what a fleet needs.

    Tried by doing: a session takes a key beside the lock, a service registers; both are gone afterwards.

    Raises:
        UnavailableError: it does not answer, or not in time.
        NotAllowedError: it refuses the token.
    """
    calls = ConsulCalls(engine, name="consul-check", deadline_s=deadline_s)
    try:
        await calls.ask(lambda client: _tried(client, engine, fleet))
    finally:
        await calls.close()


def _tried(client: Client, engine: ConsulEngine, fleet: str) -> None:
    dc, key, service = engine.datacenter or None, f"{lock_key(fleet)}-check", service_name(fleet)
    if not client.node_names(dc=dc):
        raise NotAllowedError(f"Consul shows this token no nodes: it needs {RIGHTS}")
    session = client.create_session(key, ttl_s=TTL_S, dc=dc)
    try:
        client.kv.put(key, "", acquire=session, dc=dc)
    finally:
        client.session.destroy(session, dc=dc)
    entry = f"{service}-check"
    client.agent.service.register(service, service_id=entry, check={"TTL": f"{TTL_S:g}s"})
    client.agent.service.deregister(entry)
