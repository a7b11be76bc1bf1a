"""What tests of fleets on engines share: a tenant that posts and reads."""

from client.io import Client, connect
from regions.io.fleet import Fleet
from twinhold.v1 import chat_pb2

TENANT = "tenants/eu/acme"


def connected(fleet: Fleet) -> Client:
    """Begin to follow a fleet."""
    doors = [control_plane.endpoint for control_plane in fleet.topology.control_planes]
    return connect(doors, actor="users/ada", seed=1)


async def post(client: Client, text: str) -> int:
    """Post into the tenant's channel; returns the post's number."""
    command = chat_pb2.ChatCommand(post=chat_pb2.PostMessage(channel="general", text=text))
    return (await client.submit(TENANT, command, chat_pb2.ChatAnswer, timeout_s=15)).answer.seq


async def texts(client: Client) -> list[str]:
    """Read the channel whole."""
    query = chat_pb2.ChatQuery(history=chat_pb2.ReadHistory(channel="general", limit=1000))
    answered = await client.query(TENANT, query, chat_pb2.ChatQueryAnswer, timeout_s=15)
    return [post.text for post in answered.answer.posts]
