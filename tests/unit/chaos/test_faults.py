"""A fault needs a receipt, and a later run can undo what an earlier one left behind."""

import json

import pytest

from chaos.faults import Canary, Deed, Entry, Pid, ProcessState, Sign, left_behind, receipt

DEAD = Sign("fra1-c1", ProcessState.DEAD, Canary.REFUSED)
FROZEN = Sign("fra1-c1", ProcessState.FROZEN, Canary.SILENT)
ALIVE = Sign("fra1-c1", ProcessState.RUNNING, Canary.ANSWERED)


@pytest.mark.parametrize(
    ("deed", "sign"), [(Deed.KILL, DEAD), (Deed.PAUSE, FROZEN), (Deed.RESTART, ALIVE)], ids=["kill", "pause", "restart"]
)
def test_a_deed_is_proved_by_its_own_signs_only(deed: Deed, sign: Sign) -> None:
    for other in (DEAD, FROZEN, ALIVE):
        assert receipt(deed, [sign, other]).effective == (other == sign)


def test_nothing_seen_proves_nothing() -> None:
    assert not receipt(Deed.KILL, []).effective


@pytest.mark.parametrize(
    "sign",
    [Sign("fra1-c1", ProcessState.DEAD, Canary.ANSWERED), Sign("fra1-c1", ProcessState.RUNNING, Canary.REFUSED)],
    ids=["somebody else answers", "it still runs"],
)
def test_process_and_canary_must_agree(sign: Sign) -> None:
    assert not receipt(Deed.KILL, [sign]).effective


def test_what_was_not_undone_is_left_behind() -> None:
    undone = Entry(1, "a", Deed.KILL, "nodes/a1-c1", 1.0, {"a1-c1": Pid(10, 1)}, reverted_at_s=5.0)
    open_ = Entry(2, "b", Deed.PAUSE, "nodes/a1-c1", 2.0, {"a1-c1": Pid(11, 2)})
    document = json.loads(json.dumps({"entries": [undone.document(), open_.document()]}))
    assert left_behind(document) == [Pid(11, 2)]


@pytest.mark.parametrize("document", [None, [], {"entries": 3}, {"entries": [{"pids": {"a": [1]}}]}])
def test_what_is_no_journal_leaves_nothing_behind(document: object) -> None:
    assert left_behind(document) == []
