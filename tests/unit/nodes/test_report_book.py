"""What a node reports: the whole once per stream, then only what changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from chaos.sim.time import Host, World, host
from core.assignments import Fence
from core.copies import CopyView, Role
from core.fleet_map import Revision
from core.names import CopyId, NodeId, ShardId
from core.timers import timers
from nodes.io.report_book import COPIES_MAX, Page, ReportBook
from nodes.sighting import Sighting
from nodes.views import Observation
from twinhold.v1 import node_service_pb2 as pb

HERE, PARTNER, PROBED = NodeId("fra1-c1"), NodeId("ams1-c1"), NodeId("iad1-c1")
VIEW = CopyView(
    shard=ShardId(1),
    copy_id=CopyId("a.1"),
    fence=Fence(1, 3),
    role=Role.PRIMARY,
    last_lsn=7,
    commit_lsn=7,
    learner=None,
    learner_lag=0,
    complaint="",
    writes_per_s=0,
    orphaned=0,
    serving=True,
)


@dataclass
class Node:
    """A driver that knows what it is told to know."""

    changed: list[CopyView] = field(default_factory=list)
    lost: list[ShardId] = field(default_factory=list)
    partners: list[Observation] = field(default_factory=list)
    term: int = 4

    def report(self, *, complete: bool) -> Sequence[CopyView]:
        changed, self.changed = self.changed, []
        return changed

    def gone(self) -> Sequence[ShardId]:
        lost, self.lost = self.lost, []
        return lost

    def observations(self) -> Sequence[Observation]:
        return self.partners


class Desk:
    """A book, its node, and one probed target."""

    def __init__(self) -> None:
        self.node = Node()
        self.clock: Host = host(World(seed=1), "a", drift_ratio=0.0)
        self.sighting = Sighting(self.clock.now())
        self.book = ReportBook(
            HERE,
            disk_id="d",
            process_id=1,
            driver=self.node,
            timers=timers("default"),
            clock=self.clock,
            fleet="f",
        )

    def say(self, page: Page) -> pb.ReportRequest:
        self.book.collect()
        self.book.look([(PROBED, self.sighting)])
        return self.book.compose(page, Revision(1, 1, 1))


def test_the_first_message_is_complete_and_the_next_one_holds_news_only() -> None:
    desk = Desk()
    page = desk.book.page()
    desk.node.changed = [VIEW]
    first, second = desk.say(page), desk.say(page)
    assert (first.complete, second.complete) == (True, False)
    assert [one.shard for one in first.copies] == [1]
    assert [one.target for one in first.observations] == [PROBED]
    assert (len(second.copies), len(second.observations)) == (0, 0)
    assert (first.sequence, second.sequence) == (1, 2)
    assert first.term_max == 4


def test_every_stream_is_told_everything_at_its_own_pace() -> None:
    desk = Desk()
    quick, slow = desk.book.page(), desk.book.page()
    desk.say(quick)
    desk.say(slow)
    desk.node.changed = [VIEW]
    assert len(desk.say(quick).copies) == 1
    desk.node.changed = [replace(VIEW, last_lsn=8)]
    assert [one.last_lsn for one in desk.say(quick).copies] == [8]
    assert [one.last_lsn for one in desk.say(slow).copies] == [8]


def test_a_stream_that_starts_anew_is_told_the_whole_again() -> None:
    desk = Desk()
    page = desk.book.page()
    desk.node.changed = [VIEW]
    desk.say(page)
    page.restart()
    again = desk.say(page)
    assert again.complete
    assert (len(again.copies), again.sequence) == (1, 1)


def test_a_copy_that_is_gone_is_told_once_and_not_counted_any_more() -> None:
    desk = Desk()
    page = desk.book.page()
    desk.node.changed = [VIEW]
    assert desk.say(page).epoch_max == 3
    desk.node.lost = [ShardId(1)]
    told = desk.say(page)
    assert (list(told.gone), told.epoch_max) == ([1], 0)
    assert list(desk.say(page).gone) == []


def test_many_changes_are_told_in_bounded_messages() -> None:
    desk = Desk()
    page = desk.book.page()
    desk.say(page)
    desk.node.changed = [replace(VIEW, shard=ShardId(shard)) for shard in range(COPIES_MAX + 10)]
    assert [len(desk.say(page).copies) for _ in range(3)] == [COPIES_MAX, 10, 0]


def test_what_is_not_alive_is_repeated_with_its_silence_and_alive_is_said_once() -> None:
    desk = Desk()
    page = desk.book.page()
    desk.say(page)
    desk.sighting.gone()
    assert [one.sight for one in desk.say(page).observations] == [pb.Observation.SIGHT_REFUSED]
    assert [one.sight for one in desk.say(page).observations] == [pb.Observation.SIGHT_REFUSED]
    desk.sighting.heard(desk.clock.now())
    assert [one.sight for one in desk.say(page).observations] == [pb.Observation.SIGHT_ALIVE]
    assert list(desk.say(page).observations) == []


def test_only_what_a_stream_was_not_told_cannot_wait() -> None:
    desk = Desk()
    page = desk.book.page()
    desk.say(page)
    assert not desk.book.stirred(page, leads=True)
    desk.sighting.gone()
    desk.book.look([(PROBED, desk.sighting)])
    assert desk.book.stirred(page, leads=True)
    assert desk.book.stirred(page, leads=False)
    desk.say(page)
    assert not desk.book.stirred(page, leads=True)
    desk.node.changed = [VIEW]
    desk.book.collect()
    assert desk.book.stirred(page, leads=True)
    assert not desk.book.stirred(page, leads=False), "who does not lead hears of copies at its own pace"


def test_a_partner_whose_heartbeats_are_missed_is_reported_as_paired() -> None:
    desk = Desk()
    desk.node.partners = [Observation(PARTNER, desk.clock.now() - 1.3, refused=False)]
    told = {one.target: one for one in desk.say(desk.book.page()).observations}
    assert told[PARTNER].paired
    assert told[PARTNER].sight == pb.Observation.SIGHT_SILENT
    assert not told[PROBED].paired


def test_a_partner_that_is_one_no_longer_is_taken_back_once() -> None:
    desk = Desk()
    page = desk.book.page()
    desk.node.changed = [VIEW]
    desk.node.partners = [Observation(PARTNER, desk.clock.now() - 1.3, refused=False)]
    desk.say(page)
    desk.node.partners = []
    desk.book.look([(PROBED, desk.sighting)])
    assert desk.book.stirred(page, leads=True)
    told = desk.say(page)
    assert (told.complete, list(told.unwatched), list(told.observations), list(told.copies)) == (
        False,
        [PARTNER],
        [],
        [],
    )
    assert not desk.book.stirred(page, leads=True)
    assert list(desk.say(page).unwatched) == []


def test_a_complaint_of_the_node_stands_at_every_copy_that_has_none() -> None:
    desk = Desk()
    page = desk.book.page()
    desk.node.changed = [VIEW, replace(VIEW, shard=ShardId(2), complaint="damaged at lsn 3")]
    desk.say(page)
    desk.book.health.complaint = "the loop lags by 900 ms"
    assert [one.complaint for one in desk.say(page).copies] == ["the loop lags by 900 ms", "damaged at lsn 3"]
    desk.book.health.complaint = ""
    assert [one.complaint for one in desk.say(page).copies] == ["", "damaged at lsn 3"]
