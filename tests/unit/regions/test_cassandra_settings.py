"""A small Cassandra node is started with what it was asked for, and keeps everything in its own folder."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml

from regions.cassandra_settings import cassandra_yaml, java_arguments

FOLDER = PurePath("/fleet/servers/cassandra-fra1")


def settings_of(host: str, *, advertised: str, seeds: list[str], with_passwords: bool = False) -> Mapping[str, Any]:
    text = cassandra_yaml(
        host=host, advertised=advertised, seeds=seeds, token=-5, folder=FOLDER, with_passwords=with_passwords
    )
    settings: Mapping[str, Any] = yaml.safe_load(text)
    return settings


def test_settings_name_the_node_s_address_its_place_and_everybody_it_asks() -> None:
    text = cassandra_yaml(
        host="127.9.1.1",
        advertised="127.9.1.2",
        seeds=["127.9.1.1", "127.9.2.1"],
        token=-5,
        folder=FOLDER,
        with_passwords=False,
    )
    settings = yaml.safe_load(text)
    assert (settings["listen_address"], settings["rpc_address"]) == ("127.9.1.1", "127.9.1.1")
    assert settings["broadcast_rpc_address"] == "127.9.1.2"
    assert settings["initial_token"] == "-5"
    assert settings["seed_provider"][0]["parameters"] == [{"seeds": "127.9.1.1,127.9.2.1"}]
    kept = [settings[key] for key in settings if key.endswith("_directory")] + settings["data_file_directories"]
    assert all(place.startswith(f"{FOLDER}/") for place in kept)
    assert len(kept) == 5


def test_passwords_are_asked_for_only_where_that_is_wanted() -> None:
    asked = [settings_of("h", advertised="h", seeds=["h"], with_passwords=wanted) for wanted in (False, True)]
    assert [one["authenticator"] for one in asked] == ["AllowAllAuthenticator", "PasswordAuthenticator"]


def test_java_is_given_every_jar_and_leaves_nothing_outside_the_folder() -> None:
    jars = [PurePath("/tools/a.jar"), PurePath("/tools/jamm-0.4.jar")]
    arguments = java_arguments(jars=jars, configuration=FOLDER / "conf", folder=FOLDER)
    assert arguments[arguments.index("-cp") + 1] == f"{FOLDER}/conf:/tools/a.jar:/tools/jamm-0.4.jar"
    assert "-javaagent:/tools/jamm-0.4.jar" in arguments
    assert f"-Djava.io.tmpdir={FOLDER}" in arguments
