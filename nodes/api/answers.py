"""Committed answers as messages."""

from nodes.views import Answered
from twinhold.v1 import command_service_pb2 as pb


def write_answer(message: pb.CommandAnswer, answered: Answered) -> None:
    """Write a committed command's answer in place: building nested messages would copy them."""
    body, position = message.body, message.position
    body.type_url = answered.type_url
    body.value = answered.body
    position.shard = answered.shard
    position.lsn = answered.lsn
    if answered.replayed:
        message.replayed = True
