"""The brake: how much may be declared lost automatically."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.books import CLOSED, Evacuation, Halt, Resume
from control_plane.brake import (
    DC_WINDOW_S,
    DCS_PER_FLEET,
    DCS_PER_GEOGRAPHY,
    NODE_WINDOW_S,
    NODES_PER_GEOGRAPHY,
    Accused,
    Stop,
    braked,
)
from core.names import DcId, GeographyId, NodeId

NOW_MS = 10_000_000_000
EU, US, BR = GeographyId("eu"), GeographyId("us"), GeographyId("br")


def evacuated(
    dc: str,
    geography: GeographyId = EU,
    *,
    ago_s: float = 60,
    node: str | None = None,
    automatic: bool = True,
    empty: bool = False,
) -> Evacuation:
    return Evacuation(
        id=f"{node or dc}-1",
        dc=DcId(dc),
        node=None if node is None else NodeId(node),
        geography=geography,
        automatic=automatic,
        since_ms=NOW_MS - round(ago_s * 1000),
        last_sign_ms=0,
        evidence=(),
        state=CLOSED,
        empty=empty,
    )


def judged(
    accused: Accused,
    *evacuations: Evacuation,
    halts: tuple[Halt, ...] = (),
    resume: Resume | None = None,
    dead: tuple[str, ...] = (),
) -> Stop | None:
    return braked(
        accused,
        evacuations=evacuations,
        halts=halts,
        resume=resume,
        looking_dead=[DcId(dc) for dc in dead],
        now_ms=NOW_MS,
    )


WAW = Accused(EU, DcId("waw1"), whole_dc=True)
WAW_NODE = Accused(EU, DcId("waw1"), whole_dc=False)
NODES = [evacuated("fra1", node=f"fra1-c{n}") for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("accused", "evacuations", "geography"),
    [
        pytest.param(WAW, [], "free", id="the first of all"),
        pytest.param(WAW, [evacuated("fra1")], EU, id="a second one of the geography"),
        pytest.param(WAW, [evacuated("fra1", ago_s=DC_WINDOW_S + 1)], "free", id="after the half hour"),
        pytest.param(WAW, [evacuated("iad1", US)], "free", id="a second one of the fleet"),
        pytest.param(WAW, [evacuated("iad1", US), evacuated("gru1", BR)], None, id="a third one of the fleet"),
        pytest.param(WAW, [evacuated("fra1", automatic=False)], "free", id="an operator's is not counted"),
        pytest.param(WAW, [evacuated("fra1", empty=True)], "free", id="one with nothing to bring back is not counted"),
        pytest.param(WAW, NODES, "free", id="nodes do not count against a data center"),
        pytest.param(WAW_NODE, NODES[:2], "free", id="a third node"),
        pytest.param(WAW_NODE, NODES, EU, id="a fourth node"),
        pytest.param(WAW_NODE, [evacuated("fra1")], "free", id="a data center does not count against a node"),
    ],
)
def test_the_brake_counts_records(
    accused: Accused, evacuations: list[Evacuation], geography: GeographyId | str | None
) -> None:
    stop = judged(accused, *evacuations)
    assert ("free" if stop is None else stop.geography) == geography


def test_two_data_centers_that_look_dead_stop_their_geography() -> None:
    stop = judged(WAW, dead=("fra1",))
    assert stop is not None
    assert stop.geography == EU
    assert "fra1" in stop.reasons[0]
    assert "waw1" in stop.reasons[0]


@pytest.mark.parametrize(("geography", "stops"), [(EU, True), (None, True), (US, False)])
def test_a_halt_holds_until_it_is_resumed(geography: GeographyId | None, stops: bool) -> None:
    assert (judged(WAW, halts=(Halt(geography, 0, ("because",)),)) is not None) == stops


def test_what_happened_before_a_resume_does_not_count_any_more() -> None:
    assert judged(WAW, evacuated("fra1", ago_s=60), resume=Resume(NOW_MS - 30_000, "users/ada", "seen")) is None


ACCUSATIONS = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([EU, US, BR]), st.integers(1, 4), st.booleans()), max_size=60
)


@given(ACCUSATIONS)
def test_whatever_is_accused_the_limits_hold(accusations: list[tuple[int, GeographyId, int, bool]]) -> None:
    now_ms, done = 0, list[Evacuation]()
    for gap_s, geography, number, whole_dc in accusations:
        now_ms += gap_s * 1000
        dc = DcId(f"{geography}{number}")
        accused = Accused(geography, dc, whole_dc)
        stop = braked(accused, evacuations=done, halts=(), resume=None, looking_dead=(), now_ms=now_ms)
        if stop is None:
            node = None if whole_dc else NodeId(f"{dc}-c1")
            done.append(Evacuation(f"{dc}-{len(done)}", dc, node, geography, True, now_ms, 0, ()))
    for last in done:
        dcs = [e for e in done if e.node is None and 0 <= last.since_ms - e.since_ms < DC_WINDOW_S * 1000]
        nodes = [e for e in done if e.node is not None and 0 <= last.since_ms - e.since_ms < NODE_WINDOW_S * 1000]
        assert len(dcs) <= DCS_PER_FLEET
        for geography in (EU, US, BR):
            assert sum(e.geography == geography for e in dcs) <= DCS_PER_GEOGRAPHY
            assert sum(e.geography == geography for e in nodes) <= NODES_PER_GEOGRAPHY
