"""How every server is made: options, reflection, health, the gate, and errors as rich status."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import Message
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from core.errors import NotAllowedError, TwinholdError, UnavailableError
from core.gate import DEVELOPMENT, Deny, Policy, Principal, loopback_only
from core.io.dial import BULK_BYTES_MAX
from core.io.loop_grpc.server import LoopServer
from core.io.status import abort
from core.topology import FLEET_PORT_STEP

ACTOR_HEADER = "twinhold-actor"
"""Names the development principal; only a loopback server without credentials believes it."""
_RESOURCE_FIELDS = ("name", "tenant", "parent", "node", "control_plane")

SERVER_OPTIONS: Mapping[str, int] = MappingProxyType(
    {
        "grpc.max_receive_message_length": BULK_BYTES_MAX,
        "grpc.max_send_message_length": BULK_BYTES_MAX,
        "grpc.so_reuseport": 0,
        "grpc.http2.max_ping_strikes": 0,
        "grpc.http2.min_ping_interval_without_data_ms": 1_000,
        "grpc.http2.ping_timeout_ms": 2_000,
        # A heartbeat must not cause a ping that measures bandwidth: small messages, a fixed window.
        "grpc.http2.bdp_probe": 0,
        # Of 4,000 streams opened at once 537 failed until these two were raised (a fleet reconnects all at once).
        "grpc.server.max_pending_requests": 100_000,
        "grpc.server.max_pending_requests_hard_limit": 200_000,
    }
)

# gRPC's handler types are untyped at run time; everything with Any below is the shape that grpc.aio itself passes.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "aio.ServicerContext[Any, Any]"


class Server:
    """A gRPC server on one loopback address; every call passes the gate.

    It has two doors with the same services behind them: grpc.aio's for anybody, with reflection and health, and one on
    the event loop itself, on the next port, for the streams of the fleet.
    """

    def __init__(self, host: str, port: int, policy: Policy) -> None:
        loopback_only(host)
        self.endpoint = f"{host}:{port}"
        gate = GateInterceptor(policy)
        self._host, self._port = host, port
        self._public = aio.server(interceptors=[gate], options=list(SERVER_OPTIONS.items()))
        self._fleets = LoopServer(gate.gated)
        self._health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._public)

    @property
    def doors(self) -> "tuple[aio.Server, aio.Server]":
        """What services are added to: generated code takes each in the place of a server of grpc.aio."""
        return self._public, cast(aio.Server, self._fleets)

    async def start(self, service_names: Iterable[str]) -> None:
        """Listen; services must have been added to both ``doors`` before.

        Raises:
            UnavailableError: the port is in use.
        """
        names = [*service_names]
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._public)
        try:
            self._public.add_insecure_port(self.endpoint)
        except RuntimeError as cause:
            raise UnavailableError(
                f"{self.endpoint} is in use: end the process that listens there, or choose another address base",
                endpoint=self.endpoint,
            ) from cause
        await self._fleets.start(self._host, self._port + FLEET_PORT_STEP)
        await self._public.start()
        for name in ("", *names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float) -> None:
        """Stop admitting, let calls end for at most ``grace_s``, close."""
        await self._health.enter_graceful_shutdown()
        await asyncio.gather(self._public.stop(grace_s), self._fleets.stop(grace_s))


class GateInterceptor(aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Puts the gate before every method, and turns raised errors into status; wraps each method once."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(  # type: ignore[override]  # None: no such method, which the stub leaves out
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Find the method's handler, with the gate before it."""
        method = handler_call_details.method
        found = self._wrapped.get(method)
        if found is None:
            bare = await continuation(handler_call_details)
            if bare is None:
                return None
            found = self._wrapped[method] = self.gated(method, bare)
        return found

    def gated(self, method: str, bare: Any) -> Handler:
        """Put the gate before a method."""
        inner = bare.unary_unary or bare.unary_stream or bare.stream_unary or bare.stream_stream
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[(bare.request_streaming, bare.response_streaming)]
        behaviour = (self._streaming if bare.response_streaming else self._unary)(method, inner, bare.request_streaming)
        return make(behaviour, bare.request_deserializer, bare.response_serializer)

    def _unary(self, method: str, inner: Any, streams_in: bool) -> Any:
        async def call(request: Any, context: Context) -> Any:
            try:
                self._pass(method, context, "" if streams_in else resource_of(request))
                return await inner(request, context)
            except TwinholdError as error:
                await abort(context, error)

        return call

    def _streaming(self, method: str, inner: Any, streams_in: bool) -> Any:
        if not inspect.isasyncgenfunction(inner):
            return self._unary(method, inner, streams_in)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                self._pass(method, context, "" if streams_in else resource_of(request))
                async for answer in inner(request, context):
                    yield answer
            except TwinholdError as error:
                await abort(context, error)

        return stream

    def _pass(self, method: str, context: Context, resource: str) -> None:
        decision = self._policy.authorise(principal_of(context), method, resource)
        if isinstance(decision, Deny):
            raise NotAllowedError(f"{method} is not allowed: {decision.reason}", method=method, resource=resource)


def principal_of(context: Context) -> Principal:
    """Establish who calls, from the transport."""
    for key, value in context.invocation_metadata() or ():
        if key == ACTOR_HEADER:
            return Principal(str(value), DEVELOPMENT)
    return Principal("anonymous", DEVELOPMENT)


def resource_of(request: Message) -> str:
    """Name the resource that a request names first; empty when it names none."""
    fields = request.DESCRIPTOR.fields_by_name
    if "command" in fields:
        return resource_of(request.command)  # type: ignore[attr-defined]  # SubmitRequest wraps the command
    for field in _RESOURCE_FIELDS:
        if field in fields:
            value = getattr(request, field)
            return value if isinstance(value, str) else str(getattr(value, "name", ""))
    return ""
