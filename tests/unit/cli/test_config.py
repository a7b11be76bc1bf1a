"""The configuration as the command line shows it, and the files that it is read from."""

from pathlib import Path

import pytest

from cli.exits import Exit
from regions.io.configuration import VARIABLE, settings
from tests.unit.cli.conftest import Twinhold

CONTENT = '[store]\nengine = "cassandra"\nusername = "twin"\npassword_file = "word"\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def write(folder: Path, secret: str | bytes = "sesame\n") -> Path:
    (folder / "word").write_bytes(secret if isinstance(secret, bytes) else secret.encode())
    file = folder / "twinhold.toml"
    file.write_text(CONTENT)
    return file


def test_the_file_here_is_read_and_every_value_tells_its_origin(here: Path, shell: Twinhold) -> None:
    write(here)
    shown = shell("config", "show", "--discovery", "consul", "--set", "store.keyspace=mine")
    rows = {line.split()[0]: line.split()[1:3] for line in shown.out.splitlines()}
    assert shown.code == Exit.DONE
    assert rows["store.engine"] == ["cassandra", "twinhold.toml:2"]
    assert rows["discovery.engine"] == ["consul", "--discovery"]
    assert rows["store.keyspace"] == ["mine", "--set"]
    assert rows["launcher.engine"] == ["processes", "default"]
    assert "(set)" in shown.out
    assert "sesame" not in shown.out + shown.err


def test_programs_get_json(here: Path, shell: Twinhold) -> None:
    write(here)
    shown = shell("config", "show", "-o", "json").json()
    assert isinstance(shown, list)
    assert {"key": "store.password", "value": "(set)", "origin": "twinhold.toml:4"} in shown
    assert {"key": "store.contact_points", "value": [], "origin": "default"} in shown


def test_the_file_may_be_named_by_a_variable(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "elsewhere").mkdir()
    monkeypatch.setenv(VARIABLE, str(write(here / "elsewhere")))
    store = settings().engines.store
    assert store is not None
    assert store.password == "sesame"


def test_a_file_that_is_not_there_is_named(shell: Twinhold) -> None:
    told = shell("config", "show", "--config", "no.toml")
    assert told.code == Exit.NOT_FOUND
    assert told.err.splitlines() == [
        "twinhold: configuration 'no.toml' does not exist: No such file or directory; see --config and TWINHOLD_CONFIG"
    ]


@pytest.mark.parametrize("secret", [None, "", "two\nlines\n", "x" * 5000, b"sesame\xff"])
def test_a_secret_that_cannot_be_read_is_told_without_being_shown(
    here: Path, shell: Twinhold, secret: str | bytes | None
) -> None:
    write(here, secret or "")
    if secret is None:
        (here / "word").unlink()
    told = shell("config", "show")
    assert told.code == Exit.USAGE
    assert told.err.startswith(f"twinhold: twinhold.toml:4: store.password_file names {here / 'word'}")
    assert "sesame" not in told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--store", "casandra"), "--store: store.engine is 'casandra': expected one of embedded, cassandra"),
        (("--set", "store.keyspace"), "--set store.keyspace: expected KEY=VALUE"),
        (("--set", "store.password=sesame"), "--set store.password: store.password may not stand here"),
    ],
)
def test_an_option_that_cannot_be_is_a_usage_error(shell: Twinhold, arguments: tuple[str, ...], said: str) -> None:
    told = shell("config", "show", *arguments)
    assert (told.code, len(told.err.splitlines())) == (Exit.USAGE, 1)
    assert said in told.err
    assert "sesame" not in told.err
