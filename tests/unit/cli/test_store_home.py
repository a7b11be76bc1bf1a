"""`twinhold store init` and `check` say in one line what is wrong with what they were told."""

import pytest

from cli.exits import Exit
from cli.main import run

SITES = ("--site", "dc1=fra1", "--site", "dc2=ams1", "--site", "dc3=waw1")


@pytest.mark.parametrize("command", ["init", "check"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(("--site", "dc1=tyo1"), "puts dc1 in tyo1: expected one of ams1, fra1, waw1", id="no such site"),
        pytest.param((*SITES, "--contact", "nohost"), "a list of HOST:PORT", id="a contact without a port"),
        pytest.param((*SITES, "--keyspace", "Two Words"), "a lower-case letter", id="a keyspace that can't be"),
    ],
)
def test_what_can_t_be_is_one_line_that_names_the_option(
    command: str, options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["store", command, "--topology", "small", *options]) == Exit.USAGE
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert says in said
    assert options[-2] in said
