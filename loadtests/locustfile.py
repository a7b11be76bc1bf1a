"""The chat load for a running fleet: ``make load``, or ``locust -f loadtests/locustfile.py --headless -u 100 -t 60s``.

The fleet is found as every command finds it: TWINHOLD_FLEET, else ./run. Every user is a member of one tenant of the
same tenants that the rehearsal uses: writes a post, reads twice, pauses.
"""

import sys
import time
from collections.abc import Callable
from itertools import count
from uuid import uuid4

import grpc
from grpc.experimental.gevent import init_gevent
from locust import User, between, task

from chaos.load import CHANNELS, PHRASES, READ_LIMITS, tenants_in_use
from loadtests.fleet import Fleet, NoFleetError, already_there, folder
from twinhold.v1 import chat_pb2, journal_pb2

# Locust has patched the standard library by now; gRPC's own threads must follow it, before the first channel.
init_gevent()
TENANTS = 2_000
THINK_S = (1.0, 3.0)
_numbers = count()


def connected() -> Fleet:
    """Find the fleet now, so that a missing one is one line instead of a failed test."""
    try:
        return Fleet(folder())
    except NoFleetError as error:
        sys.exit(f"make load: {error}")


FLEET = connected()


class Member(User):  # type: ignore[misc]  # Locust is not typed for us
    """Somebody of a tenant who chats."""

    wait_time = between(*THINK_S)

    def on_start(self) -> None:
        """Choose the next tenant, and create it if it is not there."""
        self.number = next(_numbers)
        tenants = tenants_in_use(FLEET.topology, count=TENANTS)
        self.tenant = tenants[self.number % len(tenants)]
        self.channel = CHANNELS[self.number % len(CHANNELS)]
        create = journal_pb2.TenantCommand(create=journal_pb2.CreateTenantCommand(display_name=self.tenant.slug))
        try:
            FLEET.submit(self.tenant, create, journal_pb2.TenantAnswer)
        except grpc.RpcError as error:
            if not already_there(error):
                raise

    @task(1)  # type: ignore[untyped-decorator]  # Locust is not typed for us
    def post(self) -> None:
        """Post a message."""
        text = f"{PHRASES[self.number % len(PHRASES)]} {uuid4()}"
        command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel=self.channel, text=text))
        self._timed("post", lambda: FLEET.submit(self.tenant, command, chat_pb2.ChatAnswer).ByteSize())

    @task(2)  # type: ignore[untyped-decorator]  # Locust is not typed for us
    def read(self) -> None:
        """Read the newest posts."""
        limit = READ_LIMITS[self.number % len(READ_LIMITS)]
        question = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel=self.channel, limit=limit))
        self._timed("read", lambda: FLEET.query(self.tenant, question, chat_pb2.ChatQueryAnswer).ByteSize())

    def _timed(self, name: str, call: Callable[[], int]) -> None:
        start = time.perf_counter()
        size, failure = 0, None
        try:
            size = call()
        except grpc.RpcError as error:
            failure = error
        self.environment.events.request.fire(
            request_type="twinhold",
            name=name,
            response_time=(time.perf_counter() - start) * 1000,
            response_length=size,
            exception=failure,
            context={},
        )
