"""A schedule survives being written down, and a file that can't be played is told in one line."""

from dataclasses import fields
from typing import get_args

import pytest

from chaos.schedule import Crash, Cut, Fault, Freeze, LoseDc, Schedule, StoreAway, Timed
from chaos.schedule_file import KINDS, READERS, printed, saved
from chaos.setting import Setting
from core.names import DcId
from regions.document import DocumentError

SETTING = Setting((3, 2), 1, 3, 4, "default", 0.05, 0.0005, 0.02)
FAULTS = (
    Timed(4.5, Crash("ber1-c1", 0.4)),
    Timed(5.0, Freeze("iad1-cp", 1.0)),
    Timed(5.125, LoseDc(DcId("ams1"), 2.0, True)),
    Timed(6.0, Cut("ber1-c1", "ams1-cp", 0.3, False)),
    Timed(7.0, StoreAway(0.25)),
)
SCHEDULE = Schedule(17, SETTING, FAULTS, 24.0, 30.0)


def test_what_is_written_is_read_as_it_was() -> None:
    found = saved(printed(SCHEDULE, why='shard 3 was "lost"'), "a.json")
    assert (found.schedule, found.why) == (SCHEDULE, 'shard 3 was "lost"')


def test_a_schedule_without_a_fault_is_one() -> None:
    calm = Schedule(1, SETTING, (), 1.0, 2.0)
    assert saved(printed(calm, why="calm"), "a.json").schedule == calm


def test_every_kind_of_fault_has_a_name_and_fields_that_can_be_read() -> None:
    assert len(KINDS) == len(get_args(Fault))
    assert KINDS["lose_dc"] is LoseDc
    assert READERS
    for kind in KINDS.values():
        assert all(field.name != "kind" for field in fields(kind))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(('"crash"', '"crush"'), "a.json:6: faults[0].kind is 'crush': expected one of", id="kind"),
        pytest.param(('"ber1-c1", "for_s": 0.4', '"ber9", "for_s": 0.4'), "a.json:6: faults[0].name", id="process"),
        pytest.param(('"dc": "ams1"', '"dc": "mow1"'), "expected one of ber1, ams1, fra1, iad1, pdx1", id="dc"),
        pytest.param(('"for_s": 0.25', '"for_x": 0.25'), "unknown field 'for_x': did you mean 'for_s'?", id="field"),
        pytest.param(('"silently": true', '"silently": 1'), "faults[2].silently is 1: expected true or", id="flag"),
        pytest.param(("[3, 2]", "[3, 9]"), "expected a whole number from 2 to 3", id="too many data centers"),
        pytest.param(("[3, 2]", "[2]"), "must count 3 to 6 data centers", id="too few data centers"),
        pytest.param(('"default"', '"quick"'), "expected one of default, fast", id="profile"),
        pytest.param(('"trouble_s": 24.0', '"trouble_s": -1'), "a.json:12: trouble_s is -1", id="time"),
        pytest.param(('  "seed": 17,\n', ""), "lacks the field 'seed'", id="missing"),
        pytest.param(("{", "{{"), "not YAML: expected", id="no JSON"),
    ],
)
def test_a_file_that_can_not_be_played_is_told_in_one_line(change: tuple[str, str], complaint: str) -> None:
    content = printed(SCHEDULE, why="w").replace(*change)
    with pytest.raises(DocumentError) as caught:
        saved(content, "a.json")
    assert complaint in caught.value.message
    assert "\n" not in caught.value.message
