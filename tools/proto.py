"""Turns the .proto files into Python, and checks them: `generate`, `fresh`, `lint`, `breaking`.

Generated code stands beside its .proto and is committed, so that an installed package needs no compiler.
Run from the top of the repository, by the interpreter of .venv.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path

PROTO = Path("proto")
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")
BIN = Path(sys.executable).parent
DELIBERATE_BREAK = "BREAKING CHANGE:"


def say(line: str) -> None:
    """Tell the developer one line."""
    sys.stdout.write(f"{line}\n")


def sources() -> list[Path]:
    """List the .proto files, in a stable order."""
    return sorted(PROTO.glob("twinhold/**/*.proto"))


def generated(root: Path) -> dict[Path, bytes]:
    """Read every generated file below root, keyed by its path from there."""
    found = (path for pattern in GENERATED for path in root.glob(f"twinhold/**/{pattern}"))
    return {path.relative_to(root): path.read_bytes() for path in sorted(found)}


def include_paths() -> list[Path]:
    """Say where imports are looked for: our files, and those that come with the compiler."""
    return [PROTO, Path(str(resources.files("grpc_tools"))) / "_proto"]


def compile_into(out: Path) -> int:
    """Generate messages, stubs and their types below `out`; returns the compiler's exit code."""
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        *(f"--proto_path={path}" for path in include_paths()),
        f"--plugin=protoc-gen-mypy={BIN / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={BIN / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        *map(str, sources()),
    ]
    return subprocess.run(command, check=False).returncode if sources() else 0


def generate() -> int:
    """Write the generated code, and remove what no .proto stands behind any more."""
    with tempfile.TemporaryDirectory() as folder:
        code = compile_into(Path(folder))
        if code:
            return code
        fresh_files = generated(Path(folder))
        for path in generated(PROTO).keys() - fresh_files.keys():
            (PROTO / path).unlink()
        for path in fresh_files:
            shutil.copyfile(Path(folder) / path, PROTO / path)
    return 0


def differing(left: Mapping[Path, bytes], right: Mapping[Path, bytes]) -> Iterable[Path]:
    """List the paths that the two sides do not hold alike."""
    return sorted(path for path in left.keys() | right.keys() if left.get(path) != right.get(path))


def fresh() -> int:
    """Check that the committed generated code is what the .proto files give today."""
    with tempfile.TemporaryDirectory() as folder:
        if code := compile_into(Path(folder)):
            return code
        stale = differing(generated(PROTO), generated(Path(folder)))
    for path in stale:
        say(f"{PROTO / path} does not match its .proto; run: make proto")
    return 1 if stale else 0


def buf(*arguments: str) -> int:
    """Run buf; returns its exit code."""
    return subprocess.run([BIN / "buf", *arguments], check=False).returncode


def lint() -> int:
    """Check the .proto files' style and formatting."""
    return max(buf("lint", str(PROTO)), buf("format", "--diff", "--exit-code", str(PROTO))) if sources() else 0


def git(*arguments: str) -> str | None:
    """Ask git; None when it has no answer."""
    done = subprocess.run(["git", *arguments], check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def base_of_comparison() -> str | None:
    """Name the commit whose .proto files callers rely on.

    Uncommitted work and branches answer to the last commit on main; a clean main answers to the commit before.
    None when there is no such commit: the first commit, a shallow clone, or one without .proto files.
    """
    edited = git("status", "--porcelain", "--", str(PROTO))
    main = git("rev-parse", "--verify", "--quiet", "main^{commit}")
    head = git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    base = main if edited or main != head else git("rev-parse", "--verify", "--quiet", "HEAD~1^{commit}")
    held = git("ls-tree", "-r", "--name-only", base, "--", str(PROTO)) if base else None
    return base if held and ".proto" in held else None


def breaking() -> int:
    """Check that nothing was removed or renumbered that a deployed peer may still send."""
    base = base_of_comparison()
    if base is None:
        say("proto: nothing to compare with yet")
        return 0
    if DELIBERATE_BREAK in (git("log", "-1", "--format=%B") or ""):
        say(f"proto: the last commit says {DELIBERATE_BREAK} - not compared")
        return 0
    return buf("breaking", str(PROTO), "--against", f".git#ref={base},subdir={PROTO}")


COMMANDS: Mapping[str, Callable[[], int]] = {
    "generate": generate,
    "fresh": fresh,
    "lint": lint,
    "breaking": breaking,
}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]]())
