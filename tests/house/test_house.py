"""What holds for the repository as a whole."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("core", "control_plane", "nodes", "client", "regions", "chaos", "loadtests", "cli", "tools", "tests")
MODULES = [
    path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py")) if not path.name.endswith("_pb2.py")
]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_bytes())), "the module has no docstring"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_holds_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host", text)
    pins = re.findall(r"^[\w.\-\[\]]+==", text, flags=re.MULTILINE)
    hashed = re.findall(r"^[\w.\-\[\]]+==[^\n]*\\\n +--hash=sha256:", text, flags=re.MULTILINE)
    assert pins
    assert len(hashed) == len(pins)


def test_locks_agree_with_each_other() -> None:
    """The same package under the same marker has one version, so that extras fit beside the base."""
    versions: dict[tuple[str, str], set[str]] = {}
    for lock in LOCKS:
        for name, version, marker in re.findall(r"^([\w.\-]+)==(\S+)([^\\\n]*)", lock.read_text(), flags=re.MULTILINE):
            newer = "<" if "python_full_version < '3.12'" in marker else ">=" if ">= '3.12'" in marker else ""
            versions.setdefault((name, newer), set()).add(version)
    assert {key: found for key, found in versions.items() if len(found) > 1} == {}


def test_proto_is_never_a_package() -> None:
    """A proto/__init__.py would shadow proto-plus, which calls itself `proto`."""
    assert not (ROOT / "proto" / "__init__.py").exists()
