"""How every server is made: reflection, health, the gate, and errors as rich status."""

import inspect
from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import Message
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from core.errors import NotAllowedError, TwinholdError
from core.gate import DEVELOPMENT, Deny, Policy, Principal, loopback_only
from core.io.dial import BULK_BYTES_MAX
from core.io.loop_grpc.server import LoopServer
from core.io.status import abort

ACTOR_HEADER = "twinhold-actor"
"""Names the development principal; only a loopback server without credentials believes it."""
_RESOURCE_FIELDS = ("name", "tenant", "parent", "node", "control_plane")

# gRPC's handler types are untyped at run time; everything with Any below is the shape that grpc.aio itself passes.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "aio.ServicerContext[Any, Any]"


class Server:
    """A gRPC server on one loopback address, with reflection and health; every call passes the gate."""

    def __init__(self, host: str, port: int, policy: Policy) -> None:
        loopback_only(host)
        self.endpoint = f"{host}:{port}"
        self._address = (host, port)
        self._loop_server = LoopServer(Gate(policy).before, BULK_BYTES_MAX)
        self._health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)

    @property
    def server(self) -> aio.Server:
        """What services are added to: generated code takes it in the place of a server of grpc.aio."""
        return cast(aio.Server, self._loop_server)

    async def start(self, service_names: Iterable[str]) -> None:
        """Listen; services must have been added to ``server`` before.

        Raises:
            UnavailableError: the port is in use.
        """
        names = [*service_names]
        found = ReflectionServicer([*names, health.SERVICE_NAME, reflection.SERVICE_NAME])
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(found, self.server)  # type: ignore[no-untyped-call]
        await self._loop_server.start(*self._address)
        for name in ("", *names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float) -> None:
        """Stop admitting, let calls end for at most ``grace_s``, close."""
        await self._health.enter_graceful_shutdown()
        await self._loop_server.stop(grace_s)


class Gate:
    """Puts the gate before methods, and turns raised errors into status."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def before(self, method: str, bare: Any) -> Handler:
        """Make the handler that asks the gate first."""
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
