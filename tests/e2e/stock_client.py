"""A client without any code of ours: grpcio, grpcio-reflection and protobuf; every message is built from reflection.

Usage: stock_client.py TENANT CONTROL_PLANE NODE [NODE ...]

Creates the tenant, then posts one numbered text after the other until its standard input ends, each under a request id
of its own that every retry repeats. Prints ``acked N`` for each; at the end reads everything back and prints one line
of JSON: how many posts were acknowledged, which are not there exactly once, and how many retries it took.
"""

import itertools
import json
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = "twinhold.v1"
CALL_S = 2.0
PAUSE_S = 0.05
PATIENCE_S = 30.0
Messages = Callable[[str], Any]


def reflected(endpoint: str) -> Messages:
    """Ask a server for its messages; returns how to make one by name."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(grpc.insecure_channel(endpoint)))
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


class Stock:
    """Calls of one tenant, at whatever node owns it."""

    def __init__(self, tenant: str, control_plane: str, nodes: Sequence[str]) -> None:
        self.tenant = tenant
        self.retries = 0
        self._make = reflected(nodes[0])
        self._tenants = reflected(control_plane)
        self._channels = {endpoint: grpc.insecure_channel(endpoint) for endpoint in (control_plane, *nodes)}
        self._control_plane = control_plane
        self._doors = itertools.cycle((*nodes, control_plane))
        self._warm()

    def create(self) -> None:
        """Create the tenant, through a control plane."""
        request = self._tenants(f"{PACKAGE}.CreateTenantRequest")(request_id=str(uuid.uuid4()))
        request.tenant.name = self.tenant
        request.tenant.display_name = "Stock"
        answer = self._tenants(f"{PACKAGE}.CreateTenantResponse")
        self._patiently(lambda: self._call(self._control_plane, "TenantService/CreateTenant", request, answer))

    def post(self, text: str) -> None:
        """Post, again and again under one request id until it is acknowledged."""
        body = self._make(f"{PACKAGE}.ChatCommand")()
        body.post.channel, body.post.text = "general", text
        request = self._make(f"{PACKAGE}.SubmitRequest")()
        request.command.tenant = self.tenant
        request.command.request_id = str(uuid.uuid4())
        request.command.body.Pack(body)
        response = self._make(f"{PACKAGE}.SubmitResponse")
        self._patiently(lambda: self._call(self._owner(), "CommandService/Submit", request, response))

    def texts(self) -> list[str]:
        """Read the channel from its first post to its last."""
        question = self._make(f"{PACKAGE}.ChatQuery")()
        question.history.channel, question.history.limit = "general", 100_000
        request = self._make(f"{PACKAGE}.QueryRequest")(tenant=self.tenant)
        request.body.Pack(question)
        parts = self._patiently(lambda: list(self._stream(self._owner(), request)))
        return [post.text for part in parts for post in part.posts]

    def _owner(self) -> str:
        """Ask one door after the other who owns the tenant."""
        request = self._make(f"{PACKAGE}.ResolveRequest")(tenant=self.tenant)
        answer = self._call(
            next(self._doors), "AssignmentService/Resolve", request, self._make(f"{PACKAGE}.ResolveResponse")
        )
        return str(answer.primary_endpoint)

    def _call(self, endpoint: str, method: str, request: Any, response: Any) -> Any:
        call = self._channel(endpoint).unary_unary(
            f"/{PACKAGE}.{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return call(request, timeout=CALL_S)

    def _stream(self, endpoint: str, request: Any) -> Iterator[Any]:
        call = self._channel(endpoint).unary_stream(
            f"/{PACKAGE}.CommandService/Query",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self._make(f"{PACKAGE}.QueryResponse").FromString,
        )
        answer = self._make(f"{PACKAGE}.ChatQueryAnswer")
        for part in call(request, timeout=CALL_S):
            yield answer.FromString(part.body.value)

    def _channel(self, endpoint: str) -> grpc.Channel:
        return self._channels.setdefault(endpoint, grpc.insecure_channel(endpoint))

    def _patiently(self, attempt: Callable[[], Any]) -> Any:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return attempt()
            except grpc.RpcError:
                if time.monotonic() > until:
                    raise
                self.retries += 1
                time.sleep(PAUSE_S)

    def _warm(self) -> None:
        """Fetch every descriptor now: the server that gives them may be the one that dies."""
        for name in "SubmitRequest SubmitResponse ChatCommand ChatAnswer QueryRequest QueryResponse".split():
            self._make(f"{PACKAGE}.{name}")
        for name in "ChatQuery ChatQueryAnswer ResolveRequest ResolveResponse".split():
            self._make(f"{PACKAGE}.{name}")


def say(line: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def until_told(over: threading.Event) -> None:
    """Wait for the end of standard input."""
    sys.stdin.read()
    over.set()


def main(tenant: str, control_plane: str, *nodes: str) -> None:
    """Post until standard input ends, then account for every post."""
    over = threading.Event()
    threading.Thread(target=until_told, args=[over], daemon=True).start()
    stock = Stock(tenant, control_plane, nodes)
    stock.create()
    acked: list[str] = []
    while not over.is_set():
        acked.append(f"post {len(acked) + 1}")
        stock.post(acked[-1])
        say(f"acked {len(acked)}")
    there = Counter(stock.texts())
    wrong = {text: there[text] for text in {*acked, *there} if there[text] != 1 or text not in acked}
    say(json.dumps({"acked": len(acked), "wrong": wrong, "retries": stock.retries}))


if __name__ == "__main__":
    main(*sys.argv[1:])
