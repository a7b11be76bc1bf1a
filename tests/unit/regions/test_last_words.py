"""What a process said last, in one line."""

from pathlib import Path

import pytest

from regions.io.last_words import SILENT, last_words

READY = '{"at": "2026-11-24T17:00:00.000Z", "level": "info", "event": "process.ready", "pid": 7}\n'
BROKEN = '{"at": "2026-11-24T17:00:01.000Z", "level": "warning", "event": "process.broken", "cause": "disk full"}\n'
ENDING = '{"at": "2026-11-24T17:00:02.000Z", "level": "info", "event": "process.ending", "why": "a part broke"}\n'


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param({}, SILENT, id="nothing"),
        pytest.param({"log.jsonl": READY + BROKEN + ENDING}, "process.broken: cause disk full", id="a warning"),
        pytest.param({"log.jsonl": READY}, "process.ready: pid 7", id="no warning"),
        pytest.param({"log.jsonl": "not json\n"}, "not json", id="no JSON"),
        pytest.param({"failed": "port in use\n", "log.jsonl": BROKEN}, "port in use", id="why it could not start"),
        pytest.param({"output.log": "Traceback\nOops\n\n", "log.jsonl": READY}, "Oops", id="in distress"),
    ],
)
def test_the_best_line_is_found(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert last_words(tmp_path) == words
