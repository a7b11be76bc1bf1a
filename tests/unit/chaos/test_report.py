"""The report is one page that needs nothing else and says the verdict first."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from chaos.chart import Line, Shade, chart
from chaos.report import page
from chaos.verdict import verdict
from tests.unit.chaos.runs import KILL, RUN

PAGE = page(RUN, verdict(RUN))


class Nesting(HTMLParser):
    """Notes every tag that is closed out of turn."""

    void = frozenset(("meta", "br"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_the_page_is_well_formed_and_self_contained() -> None:
    nesting = Nesting()
    nesting.feed(PAGE)
    assert (nesting.wrong, nesting.open) == ([], [])
    assert not re.search(r"<script|<link|src=|https?://", PAGE)


def test_the_verdict_comes_before_every_figure() -> None:
    assert PAGE.index("<b>PASS</b>") < PAGE.index("33,402")


@pytest.mark.parametrize(
    "words",
    [
        "twinhold rehearse --seed 1",
        "fra1-cp: dead, connection refused",
        "verdict on dataCenters/fra1",
        "idle fleet 0.32 cores",
        "4 entries moved to orphan/",
        "6,000,000 that exist are seeded weights per shard",
        "Shards on one copy",
        "prefers-color-scheme:dark",
    ],
)
def test_the_page_holds(words: str) -> None:
    assert words in PAGE


def test_causes_and_remedies_of_an_invalid_run_are_shown() -> None:
    run = replace(RUN, done=(replace(KILL, proved=False),))
    shown = page(run, verdict(run))
    assert "INVALID" in shown
    assert "no receipt for kill dataCenters/fra1" in shown


def test_what_comes_from_outside_is_escaped() -> None:
    run = replace(RUN, scenario=replace(RUN.scenario, title="<b>x</b>"))
    assert "<b>x</b>" not in page(run, verdict(run))


@pytest.mark.parametrize("values", [[], [0.0], [0.004, 0.002], [1e6, 3.0]])
def test_a_chart_of_any_values_can_be_drawn(values: list[float]) -> None:
    points = [(float(n), value) for n, value in enumerate(values)]
    drawn = chart("t", "", [Line("a", "blue", points)], [Shade("x", "kill", 0, 1)], length_s=2)
    assert drawn.count('class="grid"') <= 12
