"""One member of many tenants: posts and reads through the client library, and records what it was told."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TypeVar

from chaos.history import Outcome, Post, Read
from chaos.io.recorder import Recorder
from client.call import USUAL, Policy
from client.io import Body, Client, Part
from client.io.request_ids import fresh_request_id
from core.errors import TwinholdError, UnknownOutcomeError
from twinhold.v1 import chat_pb2
from twinhold.v1 import command_service_pb2 as pb

Line = TypeVar("Line", Post, Read)
SCREEN_MAX = 200
"""Posts that a member reads at once; whoever asks for more asks for a stream."""
_COMMAND_URL = f"type.googleapis.com/{chat_pb2.ChatCommand.DESCRIPTOR.full_name}"
_QUERY_URL = f"type.googleapis.com/{chat_pb2.ChatQuery.DESCRIPTOR.full_name}"

clock_ns: Callable[[], int] = partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)
"""Reads the clock of all clients of this machine, the same that nodes use."""


class Chatter:
    """Posts and reads; every operation leaves one line in the history. The client must be ready."""

    def __init__(self, client: Client, recorder: Recorder, name: str) -> None:
        self._client = client
        self._recorder = recorder
        self._name = name
        self._dice = Random()  # of the system's chance: ids must not come again in another run

    async def post(self, tenant: str, channel: str, text: str, *, timeout_s: float, policy: Policy = USUAL) -> Post:
        """Post once, whatever it takes; the outcome stands in the line that is returned."""
        line: asyncio.Future[Post] = asyncio.get_running_loop().create_future()
        self.begin_post(tenant, channel, text, partial(_tell, line), timeout_s=timeout_s, policy=policy)
        return await line

    async def read(self, tenant: str, channel: str, limit: int, *, timeout_s: float) -> Read:
        """Read the newest posts of a channel; the posts stand in the line that is returned."""
        line: asyncio.Future[Read] = asyncio.get_running_loop().create_future()
        self.begin_read(tenant, channel, limit, partial(_tell, line), timeout_s=timeout_s)
        return await line

    def begin_post(
        self,
        tenant: str,
        channel: str,
        text: str,
        done: Callable[[Post], None],
        *,
        timeout_s: float,
        policy: Policy = USUAL,
    ) -> None:
        """Post as ``post`` does; ``done`` gets the line."""
        request_id, invoked_ns = fresh_request_id(self._dice), clock_ns()
        who = (tenant, channel, self._name, request_id)
        self._recorder.began(Post(*who, text, None, invoked_ns, None, "unknown"))

        def ended(got: pb.CommandAnswer | TwinholdError) -> None:
            completed_ns = clock_ns()
            if isinstance(got, TwinholdError):
                line = Post(*who, text, None, invoked_ns, completed_ns, _outcome(got))
            else:
                seq = chat_pb2.ChatAnswer.FromString(got.body.value).seq
                line = Post(*who, text, seq, invoked_ns, completed_ns, "ok")
            self._recorder.ended(line)
            done(line)

        command = chat_pb2.ChatCommand()
        asked = command.post
        asked.channel, asked.text = channel, text
        body = Body(_COMMAND_URL, command.SerializeToString())
        try:
            self._client.send(tenant, body, ended, timeout_s=timeout_s, request_id=request_id, policy=policy)
        except TwinholdError as error:
            ended(error)

    def begin_read(
        self, tenant: str, channel: str, limit: int, done: Callable[[Read], None], *, timeout_s: float
    ) -> None:
        """Read as ``read`` does; ``done`` gets the line."""
        request_id, invoked_ns = fresh_request_id(self._dice), clock_ns()
        who = (tenant, channel, self._name, request_id)
        self._recorder.began(Read(*who, limit, (), invoked_ns, None, "unknown"))

        def ended(got: Part | TwinholdError) -> None:
            completed_ns = clock_ns()
            if isinstance(got, TwinholdError):
                line = Read(*who, limit, (), invoked_ns, completed_ns, "failed")
            else:
                answer = chat_pb2.ChatQueryAnswer.FromString(got.body)
                posts = tuple([(post.seq, None if post.deleted else post.text) for post in answer.posts])
                line = Read(*who, answer.limit or limit, posts, invoked_ns, completed_ns, "ok")
            self._recorder.ended(line)
            done(line)

        query = chat_pb2.ChatQuery()
        asked = query.history
        asked.channel, asked.limit = channel, limit
        body = Body(_QUERY_URL, query.SerializeToString())
        try:
            self._client.ask(tenant, body, ended, timeout_s=timeout_s, streamed=limit > SCREEN_MAX)
        except TwinholdError as error:
            ended(error)


def _tell(waiting: "asyncio.Future[Line]", line: Line) -> None:
    if not waiting.done():
        waiting.set_result(line)


def _outcome(error: TwinholdError) -> Outcome:
    return "unknown" if isinstance(error, UnknownOutcomeError) else "failed"
