"""Answers as messages, written in place: building nested messages would copy them."""

from nodes.views import Answered, QueryAnswer
from twinhold.v1 import command_service_pb2 as pb


def write_answer(message: pb.CommandAnswer, answered: Answered) -> None:
    """Write a committed command's answer."""
    body, position = message.body, message.position
    position.shard, position.lsn, body.type_url, body.value, replayed = answered
    if replayed:
        message.replayed = True


def write_read(message: pb.QueryAnswer, answer: QueryAnswer, *, type_url: str, body: bytes) -> None:
    """Write what was read, the one part that it has."""
    packed, position = message.body, message.position
    packed.type_url = type_url
    packed.value = body
    position.shard = answer.shard
    position.lsn = answer.lsn
