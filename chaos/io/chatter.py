"""One member of many tenants: posts and reads through the client library, and records what it was told."""

import time
from dataclasses import replace
from random import SystemRandom

from chaos.history import Outcome, Post, Read
from chaos.io.recorder import Recorder
from client.call import USUAL, Policy
from client.io import Client
from client.io.request_ids import fresh_request_id
from core.errors import TwinholdError, UnknownOutcomeError
from core.names import TenantName
from twinhold.v1 import chat_pb2

SCREEN_MAX = 200
"""Posts that a member reads at once; whoever asks for more asks for a stream."""


def clock_ns() -> int:
    """Read the clock of all clients of this machine, the same that nodes use."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Chatter:
    """Posts and reads; every operation leaves one line in the history."""

    def __init__(self, client: Client, recorder: Recorder, name: str) -> None:
        self._client = client
        self._recorder = recorder
        self._name = name
        self._dice = SystemRandom()

    async def post(
        self, tenant: TenantName, channel: str, text: str, *, timeout_s: float, policy: Policy = USUAL
    ) -> Post:
        """Post once, whatever it takes; the outcome stands in the line that is returned."""
        line = Post(
            tenant=str(tenant),
            channel=channel,
            client=self._name,
            request_id=fresh_request_id(self._dice),
            text=text,
            seq=None,
            invoked_ns=clock_ns(),
            completed_ns=None,
            outcome="unknown",
        )
        self._recorder.began(line)
        command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel=channel, text=text))
        try:
            got = await self._client.submit(
                tenant, command, chat_pb2.ChatAnswer, timeout_s=timeout_s, request_id=line.request_id, policy=policy
            )
        except TwinholdError as error:
            line = replace(line, completed_ns=clock_ns(), outcome=_outcome(error))
        else:
            line = replace(line, completed_ns=clock_ns(), outcome="ok", seq=got.answer.seq)
        self._recorder.ended(line)
        return line

    async def read(self, tenant: TenantName, channel: str, limit: int, *, timeout_s: float) -> Read:
        """Read the newest posts of a channel; the posts stand in the line that is returned."""
        line = Read(
            tenant=str(tenant),
            channel=channel,
            client=self._name,
            request_id=fresh_request_id(self._dice),
            limit=limit,
            posts=(),
            invoked_ns=clock_ns(),
            completed_ns=None,
            outcome="unknown",
        )
        self._recorder.began(line)
        query = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel=channel, limit=limit))
        try:
            got = await self._client.query(
                tenant, query, chat_pb2.ChatQueryAnswer, timeout_s=timeout_s, streamed=limit > SCREEN_MAX
            )
        except TwinholdError:
            line = replace(line, completed_ns=clock_ns(), outcome="failed")
        else:
            posts = tuple((post.seq, None if post.deleted else post.text) for post in got.answer.posts)
            in_force = got.answer.limit or limit
            line = replace(line, completed_ns=clock_ns(), outcome="ok", posts=posts, limit=in_force)
        self._recorder.ended(line)
        return line


def _outcome(error: TwinholdError) -> Outcome:
    return "unknown" if isinstance(error, UnknownOutcomeError) else "failed"
