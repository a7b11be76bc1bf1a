"""Finds a fleet by asking Consul; token and TLS are those of the configuration (``discovery.*``)."""

from cli.doors import CONSUL_SCHEME, Doors
from core.discovery import Part
from core.io.consul_http import ConsulQuestions
from core.names import fleet_id
from regions.io.configuration import settings

DEADLINE_S = 4.0
"""A person waits for it; "unreachable" has to stand there within 5 s."""


def consul_doors(endpoint: str) -> Doors:
    """Ask the Consul that ``consul://HOST:PORT[/FLEET]`` names who of a fleet lives.

    Without a fleet's name, the only one that is registered there is meant.

    Raises:
        UnavailableError: Consul does not answer, or knows of nobody who lives.
        NotAllowedError: it refuses the token.
        MalformedError: the endpoint has another form, or several fleets are registered and none is named.
    """
    address, _, named = endpoint.removeprefix(CONSUL_SCHEME).partition("/")
    asked = {"discovery.engine": ("consul", "--endpoint"), "discovery.addresses": (address, "--endpoint")}
    engine = settings(options=asked).engines.discovery
    assert engine is not None, "it was asked for"
    questions = ConsulQuestions(engine, deadline_s=DEADLINE_S)
    fleet = fleet_id(named) if named else questions.only_fleet()
    living = questions.living(fleet)
    control_planes, nodes = (
        {one.id: one.endpoint for one in living if one.part is part} for part in (Part.CONTROL_PLANE, Part.NODE)
    )
    return Doors(control_planes, nodes)
