"""Checks the rule of the staircase: a file at the top of a floor is pure.

Whatever touches clock, dice, disk, socket, thread, log or environment lives one folder down. A pure file may
therefore import neither such a module nor a file of ours that reaches one. Protobuf messages stop at wire.py.
Run from the top of the repository; prints one line per breach and exits 1 if there is any.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PURE_FLOORS = ("core", "control_plane", "nodes", "client", "regions", "chaos")
WORLDLY_MODULES = frozenset(
    "aiohttp asyncio cassandra concurrent consul fcntl ftplib glob grpc http importlib io locust logging mmap "
    "multiprocessing os platform queue random ray resource sched secrets select selectors shutil signal socket "
    "socketserver sqlite3 ssl structlog subprocess sys tempfile threading time urllib uuid uvloop".split()
)
WORLDLY_CALLS = frozenset({"open", "print", "input", "breakpoint", "exec", "eval"})
CLOCK_CALLS = frozenset({"now", "utcnow", "today"})
PURE_PATHS = frozenset({"PurePath", "PurePosixPath"})
MESSAGE_FILES = frozenset({"wire.py"})


@dataclass(frozen=True, slots=True)
class Breach:
    """Names one place where a pure file touches the world, and what it touches."""

    path: Path
    line: int
    touches: str

    def __str__(self) -> str:
        """Say the breach in the form that editors jump to."""
        return f"{self.path}:{self.line}: touches {self.touches}; move it one folder down"


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the full names that an import statement brings in; nothing for any other node."""
    match node:
        case ast.Import(names=names):
            yield from (name.name for name in names)
        case ast.ImportFrom(module=str(module), names=names):
            yield from (f"{module}.{name.name}" for name in names)


def called(node: ast.AST) -> Iterator[str]:
    """Yield the worldly built-in or clock that an expression calls, if it does."""
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in WORLDLY_CALLS:
            yield f"{name}()"
        case ast.Call(func=ast.Attribute(value=ast.Name(id=("datetime" | "date") as owner), attr=name)) if (
            name in CLOCK_CALLS
        ):
            yield f"{owner}.{name}()"


def worldly(name: str) -> bool:
    """Say whether an imported name belongs to a module that touches the world."""
    top, _, rest = name.partition(".")
    return top in WORLDLY_MODULES or (top == "pathlib" and rest not in PURE_PATHS)


def own_breaches(path: Path, tree: ast.Module) -> Iterator[Breach]:
    """Yield what a file touches by itself."""
    for node in ast.walk(tree):
        touched = [name for name in imported(node) if worldly(name)] + list(called(node))
        yield from (Breach(path, getattr(node, "lineno", 1), name) for name in touched)


def module_file(name: str, known: Mapping[Path, ast.Module]) -> Path | None:
    """Find the file of ours that an imported name lives in; None for anybody else's."""
    parts = name.split(".")
    candidates = [
        candidate
        for length in (len(parts), len(parts) - 1)
        if length > 0
        for candidate in (Path(*parts[:length]).with_suffix(".py"), Path(*parts[:length], "__init__.py"))
    ]
    return next((candidate for candidate in candidates if candidate in known), None)


def parsed(root: Path) -> dict[Path, ast.Module]:
    """Parse every Python file of the pure floors, keyed by its path from root."""
    files = (path for floor in PURE_FLOORS for path in sorted((root / floor).rglob("*.py")))
    return {path.relative_to(root): ast.parse(path.read_bytes(), filename=str(path)) for path in files}


def worldly_files(known: Mapping[Path, ast.Module]) -> set[Path]:
    """Say which files touch the world, by themselves or through a file that they import."""
    neighbours = {
        path: {
            file for node in ast.walk(tree) for name in imported(node) if (file := module_file(name, known)) is not None
        }
        for path, tree in known.items()
    }
    reached = {path for path, tree in known.items() if any(own_breaches(path, tree))}
    while grown := {path for path, files in neighbours.items() if path not in reached and files & reached}:
        reached |= grown
    return reached


def import_breaches(path: Path, known: Mapping[Path, ast.Module], reached: set[Path]) -> Iterator[Breach]:
    """Yield the imports by which a pure file reaches the world through our own files, or speaks protobuf."""
    for node in ast.walk(known[path]):
        for name in imported(node):
            spoken = name.startswith("twinhold.") and path.parts[0] != "client" and path.name not in MESSAGE_FILES
            if spoken or module_file(name, known) in reached:
                yield Breach(path, getattr(node, "lineno", 1), name)


def breaches(root: Path) -> list[Breach]:
    """List every breach of the rule below root, in the order of files and lines."""
    known = parsed(root)
    reached = worldly_files(known)
    pure = [path for path in known if len(path.parts) == 2]
    found = (
        breach for path in pure for breach in (*own_breaches(path, known[path]), *import_breaches(path, known, reached))
    )
    return sorted(set(found), key=lambda breach: (breach.path, breach.line, breach.touches))


def main() -> int:
    """Print every breach; returns the exit code."""
    found = breaches(Path())
    sys.stdout.writelines(f"{breach}\n" for breach in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
