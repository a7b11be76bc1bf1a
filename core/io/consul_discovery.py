"""Discovery by Consul: every process is a service with a TTL check that it keeps itself, and Consul probes nobody."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from core.backoff import Backoff
from core.discovery import TTL_S, Instance, Listed, listed, next_index
from core.engines import ConsulEngine
from core.errors import TwinholdError, UnavailableError
from core.io.consul_calls import ConsulCalls
from core.io.consul_client import Client, exceptions
from core.io.consul_entries import FORGET_AFTER, entry_id, instances_from, labels, service_name
from core.io.json_log import tell, warn

WAIT_S = 10.0
"""How long Consul holds a question whose answer has not changed; it adds up to a sixteenth."""
GAP_S = 0.1
"""Between an answer and the next question: many changes in a row are told together."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
DATACENTERS_EVERY_S = 30.0
"""How often it is asked which Consul datacenters there are: they come and go by hand."""
FOLLOWED_MAX = 16
"""Consul datacenters that one watcher follows; each costs a thread."""


class ConsulDiscovery:
    """One fleet's register in Consul; made on the loop that it answers on.

    A process registers with the first agent that answers, in that agent's Consul datacenter; who lists or watches sees
    every datacenter that is joined with it. No call is made before it is asked for one.

    Args:
        engine: where Consul is.
        fleet: whose processes.
        deadline_s: when a call that has no answer has failed.
        ttl_s: for how long one sign of life counts.
    """

    def __init__(self, engine: ConsulEngine, fleet: str, *, deadline_s: float, ttl_s: float = TTL_S) -> None:
        self._engine = engine
        self._fleet = fleet
        self._service = service_name(fleet)
        self._deadline_s = deadline_s
        self._ttl_s = ttl_s
        self._calls = ConsulCalls(engine, name="consul", deadline_s=deadline_s)

    @property
    def ttl_s(self) -> float:
        """Say for how long one sign of life counts."""
        return self._ttl_s

    async def register(self, instance: Instance) -> None:
        """Make a process known to the agent, and alive."""
        name = entry_id(instance)
        check = {
            "CheckID": name,
            "TTL": f"{round(self._ttl_s * 1000)}ms",
            "Status": "passing",
            "DeregisterCriticalServiceAfter": FORGET_AFTER,
        }

        def job(client: Client) -> None:
            client.agent.service.register(
                self._service,
                service_id=name,
                address=instance.host,
                port=instance.port,
                tags=[instance.part.value, instance.dc],
                meta=dict(labels(instance)),
                check=check,
                replace_existing_checks=True,
            )

        await self._calls.ask(job)

    async def keep(self, instance: Instance) -> bool:
        """Pass the check; False when the agent has none: it was restarted, or is another one than before."""
        name = entry_id(instance)

        def job(client: Client) -> bool:
            try:
                return bool(client.agent.check.ttl_pass(name))
            except exceptions.ACLPermissionDenied:
                raise
            except exceptions.ConsulException:
                return False  # it answered, and not with yes: what is wrong with it shows when it is registered anew

        return await self._calls.ask(job)

    async def deregister(self, instance: Instance) -> None:
        """Take a process out of the agent that has it; where else it was before, it runs out."""
        name = entry_id(instance)
        await self._calls.ask(lambda client: client.agent.service.deregister(name))

    async def instances(self) -> Listed:
        """List who lives, in every Consul datacenter that answers."""

        def job(client: Client) -> Listed:
            near, *far = self._datacenters(client)
            found = [*self._living(client, dc=near)]
            for dc in far:
                try:
                    found += self._living(client, dc=dc)
                except exceptions.ACLPermissionDenied:
                    raise
                except exceptions.ConsulException:
                    continue  # it is out of reach of the near one: what lives there is not known
            return listed(found)

        return await self._calls.ask(job)

    async def watch(self, seen: Callable[[Listed], None]) -> None:
        """Tell who lives, now and after every change, until cancelled."""
        known: dict[str, Listed] = {}
        told: list[Listed] = []

        def take(dc: str, found: Listed) -> None:
            known[dc] = found
            together = listed([one for part in known.values() for one in part])
            if [together] != told:
                told[:] = [together]
                seen(together)

        async with asyncio.TaskGroup() as following:
            followed: set[str] = set()
            while True:
                for dc in await self._present(followed):
                    followed.add(dc)
                    following.create_task(self._follow(dc, take))
                await asyncio.sleep(DATACENTERS_EVERY_S if followed else FIRST_PAUSE_S)

    async def close(self) -> None:
        """Let go of Consul."""
        await self._calls.close()

    async def _present(self, followed: set[str]) -> list[str]:
        """Name the Consul datacenters that are not followed yet; none when Consul does not answer now."""
        try:
            found = await self._calls.ask(self._datacenters)
        except TwinholdError:
            return []
        return [dc for dc in found if dc not in followed][: FOLLOWED_MAX - len(followed)]

    async def _follow(self, dc: str, take: Callable[[str, Listed], None]) -> None:
        """Tell who lives in one Consul datacenter, change by change, whatever happens to Consul."""
        calls = ConsulCalls(self._engine, name=f"consul-{dc}", deadline_s=self._deadline_s)
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, Random())
        index, away = 0, False
        try:
            while True:
                try:
                    answered, found = await self._changed(calls, dc, index)
                except TwinholdError as error:
                    if not away:
                        warn("discovery.away", datacenter=dc, cause=error.message)
                    index, away = 0, True  # what answers next may have forgotten everything, indexes too
                    await asyncio.sleep(backoff.next_s())
                    continue
                if away:
                    tell("discovery.back", datacenter=dc)
                away = False
                backoff.reset()
                index = next_index(index, answered)
                if index:
                    take(dc, found)
                await asyncio.sleep(GAP_S)
        finally:
            await calls.close()

    async def _changed(self, calls: ConsulCalls, dc: str, index: int) -> tuple[int, Listed]:
        """Ask for what is after an index: held by Consul until there is something, or ``WAIT_S`` have passed."""

        def job(client: Client) -> tuple[int, Listed]:
            answered, found = client.health.service(
                self._service, index=index or None, wait=f"{WAIT_S:g}s", passing=True, dc=dc
            )
            return int(answered), instances_from(found, self._fleet)

        held_s = WAIT_S * 17 / 16 if index else 0.0
        return await calls.ask(job, deadline_s=held_s + self._deadline_s, tries=1)

    def _living(self, client: Client, *, dc: str) -> Listed:
        _, found = client.health.service(self._service, passing=True, dc=dc)
        return instances_from(found, self._fleet)

    @staticmethod
    def _datacenters(client: Client) -> list[str]:
        found: Any = client.catalog.datacenters()  # what JSON holds
        if not isinstance(found, list) or not found:
            raise UnavailableError("Consul names no datacenter: is this address one of Consul's?")
        return [str(one) for one in found]
