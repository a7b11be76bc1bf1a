"""Finds a running fleet, and whoever serves a tenant in it; sync calls, for Locust's green threads."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from uuid import uuid4

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from core.io.dial import BULK_BYTES_MAX
from core.names import NodeId, ShardId, TenantName
from core.sharding import home_shard
from core.topology import Topology
from core.wire import snapshot_from_pb, topology_from_pb
from twinhold.v1 import assignment_service_pb2 as map_pb
from twinhold.v1 import assignment_service_pb2_grpc as map_rpc
from twinhold.v1 import command_service_pb2 as pb
from twinhold.v1 import command_service_pb2_grpc as rpc

CHANNEL_OPTIONS: Mapping[str, int] = MappingProxyType(
    {
        "grpc.max_receive_message_length": BULK_BYTES_MAX,
        "grpc.max_send_message_length": BULK_BYTES_MAX,
        # A stopped peer is invisible without these: ping_timeout_ms alone defaults to 60 s.
        "grpc.keepalive_time_ms": 5_000,
        "grpc.keepalive_timeout_ms": 2_000,
        "grpc.http2.ping_timeout_ms": 2_000,
        "grpc.http2.max_pings_without_data": 0,
        # With the defaults (1 s growing to 120 s) a peer that was dead for 48 s is usable 18-25 s after its return.
        "grpc.initial_reconnect_backoff_ms": 50,
        "grpc.min_reconnect_backoff_ms": 200,
        "grpc.max_reconnect_backoff_ms": 500,
    }
)
OPERATION_S = 5.0
ATTEMPT_S = 2.0
RETRY_S = 0.05
FLEET = "TWINHOLD_FLEET"
Answer = TypeVar("Answer", bound=Message)
AGAIN = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
    )
)


class NoFleetError(Exception):
    """No fleet can be found; the message says what to do."""


class Fleet:
    """A running fleet, known by its ``fleet.json``; one object per process."""

    def __init__(self, folder: Path) -> None:
        self._channels: dict[str, grpc.Channel] = {}
        self._owners: dict[ShardId, NodeId] = {}
        self._doors = doors(folder)
        self.topology = self._learn()

    def submit(self, tenant: TenantName, command: Message, answer: type[Answer]) -> Answer:
        """Run a command; every attempt carries the same request id. Raises grpc.RpcError at the end of its time."""
        request = pb.SubmitRequest(
            command=pb.Command(tenant=str(tenant), body=packed(command), request_id=str(uuid4()))
        )
        until = time.monotonic() + OPERATION_S
        while True:
            try:
                stub = rpc.CommandServiceStub(self._owner(tenant))
                got = stub.Submit(request, timeout=ATTEMPT_S)
                return unpacked(got.answer.body, answer)
            except grpc.RpcError as error:
                self._again(tenant, error, until)

    def query(self, tenant: TenantName, question: Message, answer: type[Answer]) -> Answer:
        """Read; the parts are put together. Raises grpc.RpcError at the end of its time."""
        request = pb.QueryRequest(tenant=str(tenant), body=packed(question))
        until = time.monotonic() + OPERATION_S
        while True:
            try:
                whole = answer()
                for part in rpc.CommandServiceStub(self._owner(tenant)).Query(request, timeout=ATTEMPT_S):
                    whole.MergeFromString(part.body.value)
                return whole
            except grpc.RpcError as error:
                self._again(tenant, error, until)

    def _again(self, tenant: TenantName, error: grpc.RpcError, until: float) -> None:
        owner = redirected(error)
        if time.monotonic() > until or (not owner and error.code() not in AGAIN):
            raise error
        shard = self._shard(tenant)
        if owner:
            self._owners[shard] = NodeId(owner)
            return
        time.sleep(RETRY_S)
        self._owners.pop(shard, None)

    def _shard(self, tenant: TenantName) -> ShardId:
        return home_shard(tenant, self.topology.geography(tenant.geography))

    def _owner(self, tenant: TenantName) -> grpc.Channel:
        shard = self._shard(tenant)
        if shard not in self._owners:
            self._owners[shard] = self._resolved(tenant)
        return self._to(self.topology.node(self._owners[shard]).endpoint)

    def _resolved(self, tenant: TenantName) -> NodeId:
        """Ask whoever answers first where a tenant lives."""
        last: grpc.RpcError | None = None
        for door in self._doors:
            try:
                stub = map_rpc.AssignmentServiceStub(self._to(door))
                found = stub.Resolve(map_pb.ResolveRequest(tenant=str(tenant)), timeout=ATTEMPT_S)
                return NodeId(found.assignment.primary.node)
            except grpc.RpcError as error:
                last = error
        assert last is not None, "a fleet has doors"
        raise last

    def _learn(self) -> Topology:
        """Take the fleet's description and every owner from the first map that somebody gives."""
        for door in self._doors:
            try:
                for step in map_rpc.AssignmentServiceStub(self._to(door)).Watch(map_pb.WatchRequest(), timeout=5.0):
                    if step.HasField("snapshot"):
                        assignments, _ = snapshot_from_pb(step.snapshot)
                        self._owners = {held.shard: held.primary.node for held in assignments}
                        return topology_from_pb(step.snapshot.fleet)
            except grpc.RpcError:
                continue
        raise NoFleetError("nobody of the fleet answers: start one with `twinhold up`")

    def _to(self, endpoint: str) -> grpc.Channel:
        if endpoint not in self._channels:
            self._channels[endpoint] = grpc.insecure_channel(endpoint, options=list(CHANNEL_OPTIONS.items()))
        return self._channels[endpoint]


def folder() -> Path:
    """Say where the fleet is looked for: TWINHOLD_FLEET, else ./run."""
    return Path(os.environ.get(FLEET, "run"))


def doors(folder: Path) -> list[str]:
    """List a fleet's endpoints, nodes first: they answer with every control plane dead."""
    try:
        endpoints = json.loads((folder / "fleet.json").read_text())["endpoints"]
        return [*endpoints["nodes"].values(), *endpoints["control_planes"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise NoFleetError(
            f"no fleet runs in {folder}: start one with `twinhold up --detach`, or set {FLEET} to its folder"
        ) from cause


def packed(message: Message) -> any_pb2.Any:
    """Put an app's message into the envelope that commands travel in."""
    envelope = any_pb2.Any()
    envelope.Pack(message)
    return envelope


def unpacked(envelope: any_pb2.Any, kind: type[Answer]) -> Answer:
    """Take an app's message out of its envelope."""
    message = kind()
    message.ParseFromString(envelope.value)
    return message


def redirected(error: grpc.RpcError) -> str:
    """Name the owner that an answer of NOT_OWNER points at; empty for any other error."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # the error of a sync call is a Call
    told = error_details_pb2.ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(told) and told.reason == "NOT_OWNER":
            return told.metadata.get("owner", "")
    return ""


def already_there(error: grpc.RpcError) -> bool:
    """Say whether something was not created because it exists."""
    return error.code() is grpc.StatusCode.ALREADY_EXISTS
