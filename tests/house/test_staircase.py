"""The rule of the staircase, and the checker that upholds it."""

from pathlib import Path

import pytest

from tools.staircase import breaches

ROOT = Path(__file__).parents[2]


def floor(root: Path, files: dict[str, str]) -> Path:
    """Lay out a small tree of floors."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_every_file_at_the_top_of_a_floor_is_pure() -> None:
    assert [str(breach) for breach in breaches(ROOT)] == []


@pytest.mark.parametrize(
    ("text", "touches"),
    [
        pytest.param("import asyncio\n", "asyncio", id="event loop"),
        pytest.param("from time import monotonic\n", "time.monotonic", id="clock"),
        pytest.param("from pathlib import Path\n", "pathlib.Path", id="disk"),
        pytest.param("def read():\n    return open('x')\n", "open()", id="built-in"),
        pytest.param("from datetime import datetime\nNOW = datetime.now()\n", "datetime.now()", id="wall clock"),
        pytest.param("from twinhold.v1 import tenant_pb2\n", "twinhold.v1.tenant_pb2", id="protobuf"),
        pytest.param("from core.io.clock import now\n", "core.io.clock.now", id="through our own edge"),
        pytest.param("from core.io import clock\n", "core.io.clock", id="through our own edge, by module"),
    ],
)
def test_a_pure_file_that_touches_the_world_is_named(tmp_path: Path, text: str, touches: str) -> None:
    tree = floor(tmp_path, {"core/judge.py": text, "core/io/clock.py": "import time\nnow = time.monotonic\n"})
    assert [breach.touches for breach in breaches(tree)] == [touches]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("from pathlib import PurePath\n", id="pure path"),
        pytest.param("from core.errors import MalformedError\n", id="pure neighbour"),
        pytest.param("import enum, math, struct\n", id="arithmetic"),
    ],
)
def test_a_pure_file_may_compute(tmp_path: Path, text: str) -> None:
    tree = floor(tmp_path, {"core/judge.py": text, "core/errors.py": "class MalformedError(Exception): ...\n"})
    assert breaches(tree) == []


def test_wire_speaks_protobuf(tmp_path: Path) -> None:
    assert breaches(floor(tmp_path, {"core/wire.py": "from twinhold.v1 import tenant_pb2\n"})) == []


def test_the_world_is_welcome_one_folder_down(tmp_path: Path) -> None:
    assert breaches(floor(tmp_path, {"core/io/clock.py": "import time\n"})) == []
