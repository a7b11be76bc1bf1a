"""`twinhold check` reads a file and ends with the code that says what it found."""

from pathlib import Path

import pytest

from chaos.history import Post, printed
from chaos.io.check import run
from tests.unit.chaos.channels import good_history

LINES = good_history(3, operations=200)


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_a_good_history_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(written(tmp_path / "history.jsonl", [printed(line) for line in LINES])) == 0
    assert capsys.readouterr().out.startswith("good: ")


def test_a_violated_history_ends_with_1_and_names_line_and_law(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = next(number for number, line in enumerate(LINES) if isinstance(line, Post) and line.outcome == "ok")
    kept = [printed(line) for number, line in enumerate(LINES) if number != victim]
    assert run(written(tmp_path / "history.jsonl", kept)) == 1
    assert "which nobody posted (law: what a read shows was posted in that channel)" in capsys.readouterr().out


def test_a_history_cut_before_its_audit_ends_with_10(tmp_path: Path) -> None:
    assert run(written(tmp_path / "history.jsonl", [printed(line) for line in LINES[:-2]])) == 10


@pytest.mark.parametrize("content", [b'{"op"\n', b"\xff\xfe\n"])
def test_a_malformed_history_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(printed(LINES[0]).encode() + b"\n" + content)
    assert run(path) == 2
    assert "line 2 of the history" in capsys.readouterr().err


def test_a_missing_file_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "none.jsonl") == 2
    assert "can't be read" in capsys.readouterr().err
