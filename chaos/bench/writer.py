"""The process that writes: ``python -m chaos.bench.writer``, 64 closed-loop writers with one command in flight each."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from random import Random

from google.protobuf import any_pb2
from grpc import aio

from chaos.figures import percentile
from chaos.io.child import Fields, serve, tell
from client.io.request_ids import fresh_request_id
from core.io.dial import channel
from twinhold.v1 import chat_pb2
from twinhold.v1 import command_service_pb2 as pb
from twinhold.v1 import command_service_pb2_grpc as rpc

VALUE_BYTES = 200
WARM_S = 3.0


@dataclass(slots=True)
class Meter:
    """Counts what is answered while it is measured."""

    begin: float = 0.0
    end: float = 0.0
    took_ms: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def take(self, sent: float, now: float) -> None:
        """Count one acknowledged write."""
        if self.begin <= now < self.end:
            self.took_ms.append((now - sent) * 1000)

    def failed(self, why: str) -> None:
        """Count one write that was refused."""
        self.errors[why] = self.errors.get(why, 0) + 1


class Commands:
    """Makes posts of 200 bytes; only the request id changes."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)
        self._body = any_pb2.Any()
        post = chat_pb2.PostMessage(channel="bench", text="x" * VALUE_BYTES)
        self._body.Pack(chat_pb2.ChatCommand(post=post))

    def next(self, tenant: str) -> pb.Command:
        """Make a fresh command."""
        return pb.Command(tenant=tenant, body=self._body, request_id=fresh_request_id(self._dice))


async def stream(endpoint: aio.Channel, tenants: Sequence[str], commands: Commands, meter: Meter) -> None:
    """Run one writer per tenant over one session: whoever is answered writes again."""
    call = rpc.CommandServiceStub(endpoint).Session()  # type: ignore[call-arg]  # None: we write ourselves
    sent = [time.perf_counter()] * len(tenants)
    first = [pb.SessionCommand(ticket=n, command=commands.next(tenant)) for n, tenant in enumerate(tenants)]
    await call.write(pb.SessionRequest(commands=first))
    while time.perf_counter() < meter.end:
        response = await call.read()
        assert isinstance(response, pb.SessionResponse), "the node ended the session"
        now = time.perf_counter()
        request = pb.SessionRequest()
        for result in response.results:
            if result.result.HasField("answer"):
                meter.take(sent[result.ticket], now)
            else:
                meter.failed(result.result.error.message)
            sent[result.ticket] = now
            request.commands.add(ticket=result.ticket, command=commands.next(tenants[result.ticket]))
        await call.write(request)
    call.cancel()


async def caller(endpoint: aio.Channel, tenant: str, commands: Commands, meter: Meter) -> None:
    """Write over unary calls, one after the other."""
    stub = rpc.CommandServiceStub(endpoint)
    while (sent := time.perf_counter()) < meter.end:
        try:
            await stub.Submit(pb.SubmitRequest(command=commands.next(tenant)), timeout=5.0)
            meter.take(sent, time.perf_counter())
        except aio.AioRpcError as error:
            meter.failed(str(error.details()))


async def work(configuration: Fields, _: AsyncIterator[Fields]) -> None:
    """Measure one way of writing, and tell the figures."""
    commands, meter = Commands(int(configuration["seed"])), Meter()
    groups: list[Fields] = configuration["groups"]
    shared = {group["endpoint"]: channel(group["endpoint"]) for group in groups}
    now = time.perf_counter()
    meter.begin, meter.end = now + WARM_S, now + WARM_S + float(configuration["length_s"])
    own: list[aio.Channel] = []
    tasks = []
    for group in groups:
        if configuration["unary"]:
            for tenant in group["tenants"]:
                own.append(channel(group["endpoint"]))
                tasks.append(asyncio.create_task(caller(own[-1], tenant, commands, meter)))
        else:
            endpoint = shared[group["endpoint"]]
            tasks.append(asyncio.create_task(stream(endpoint, group["tenants"], commands, meter)))
    await asyncio.sleep(WARM_S)
    before = _cpu_s()
    tell(begun=True)
    await asyncio.sleep(max(0.0, meter.end - time.perf_counter()))
    tell(ended=True)
    cpu_s = _cpu_s() - before
    await asyncio.gather(*tasks)
    tell(
        writes=len(meter.took_ms),
        p50_ms=percentile(meter.took_ms, 0.5),
        p99_ms=percentile(meter.took_ms, 0.99),
        cpu_s=cpu_s,
        errors=meter.errors,
    )
    for opened in (*own, *shared.values()):
        await opened.close(None)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    serve(work)
