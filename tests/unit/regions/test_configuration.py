"""The configuration: what goes before what, where each value came from, and one clear line for what can't be."""

from pathlib import Path, PurePath

import pytest

from core.engines import EMBEDDED, Launcher
from core.names import DcId
from regions.configuration import SET, UNSET, Chosen, choices, secret_files, with_secrets
from regions.configuration_file import ConfigurationError, Given, read_toml
from regions.configuration_keys import KEYS
from regions.settings import Settings, settled

FILE = """# a comment
[fleet]
seed = 7

[store]
engine = "cassandra"
contact_points = ["10.0.0.1:9042", "10.0.0.2:9042"]
sites = { one = "fra1", two = "ams1" }
username = "twin"
password_file = "secrets/store"

[discovery]
engine = "consul"  # and another
tls.ca_file = "/etc/consul/ca.pem"
"""


def chosen(text: str = "", *, env: dict[str, str] | None = None, **options: str) -> dict[str, Chosen]:
    typed = {key.replace("__", "."): Given(value, f"--{key}") for key, value in options.items()}
    return dict(
        choices(
            read_toml(text, "my.toml"), env or {}, typed, folder=PurePath("/etc/twinhold"), here=PurePath("/home/ada")
        )
    )


def settings(text: str = "", *, env: dict[str, str] | None = None) -> Settings:
    found = chosen(text, env=env)
    return settled(with_secrets(found, dict.fromkeys(secret_files(found), "sesame")))


def test_without_a_word_everything_is_embedded() -> None:
    found = settings()
    assert found.engines == EMBEDDED
    assert (found.fleet.topology, found.fleet.profile, found.fleet.seed) == ("reference", "default", 1)
    assert {it.origin for it in found.chosen.values()} == {"default"}


def test_a_file_names_cassandra_and_consul() -> None:
    found = settings(FILE)
    store, discovery = found.engines.store, found.engines.discovery
    assert store is not None
    assert store.contact_points == ("10.0.0.1:9042", "10.0.0.2:9042")
    assert store.sites == {"one": DcId("fra1"), "two": DcId("ams1")}
    assert (store.username, store.password, store.tls) == ("twin", "sesame", None)
    assert discovery is not None
    assert discovery.tls is not None
    assert (discovery.addresses, discovery.tls.ca_file) == ((), "/etc/consul/ca.pem")
    assert found.engines.launcher is Launcher.PROCESSES


def test_every_value_knows_its_line() -> None:
    found = chosen(FILE)
    lines = {name: it.origin for name, it in found.items() if it.origin != "default"}
    assert lines["fleet.seed"] == "my.toml:3"
    assert lines["store.contact_points"] == "my.toml:7"
    assert lines["discovery.tls.ca_file"] == "my.toml:14"


def test_where_texts_span_lines_no_line_is_named_rather_than_a_wrong_one() -> None:
    text = 'fleet.topology = """\nseed = 1\n"""\n[store]\nkeyspace = "mine"\n'
    assert chosen(text)["store.keyspace"].origin == "my.toml"


def test_the_environment_goes_before_the_file_and_an_option_before_both() -> None:
    env = {"TWINHOLD_FLEET_SEED": "8", "TWINHOLD_STORE_KEYSPACE": "mine", "TWINHOLD_FLEET": "run", "HOME": "/root"}
    found = chosen(FILE, env=env, store__keyspace="yours")
    assert (found["fleet.seed"].value, found["fleet.seed"].origin) == (8, "TWINHOLD_FLEET_SEED")
    assert (found["store.keyspace"].value, found["store.keyspace"].origin) == ("yours", "--store__keyspace")


def test_an_empty_variable_counts_as_none() -> None:
    assert chosen(env={"TWINHOLD_STORE_ENGINE": ""})["store.engine"].origin == "default"


def test_lists_and_tables_are_written_into_variables_with_commas() -> None:
    env = {"TWINHOLD_STORE_CONTACT_POINTS": "a:1, b:2", "TWINHOLD_STORE_SITES": "one=fra1, two=ams1"}
    found = chosen(env=env)
    assert found["store.contact_points"].value == ("a:1", "b:2")
    assert found["store.sites"].value == {"one": "fra1", "two": "ams1"}


def test_a_path_in_the_file_is_relative_to_it_and_one_on_the_command_line_to_whoever_types_it() -> None:
    assert chosen(FILE)["store.password_file"].value == "/etc/twinhold/secrets/store"
    assert chosen('fleet.topology = "small"')["fleet.topology"].value == "small"
    assert chosen('fleet.topology = "mine.yaml"')["fleet.topology"].value == "/etc/twinhold/mine.yaml"
    assert chosen(archive__directory="kept")["archive.directory"].value == "/home/ada/kept"
    assert chosen(archive__directory="/srv/kept")["archive.directory"].value == "/srv/kept"
    assert chosen(fleet__topology="mine.yaml")["fleet.topology"].value == "/home/ada/mine.yaml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[store\n", "my.toml:1: not TOML"),
        ('[store]\nengin = "cassandra"\n', "my.toml:2: unknown key 'store.engin': did you mean 'store.engine'?"),
        ("\n[stor]\nengine = 1\n", "my.toml:2: unknown key 'stor'; allowed: archive.*, discovery.*, fleet.*"),
        ("[store]\nflavour = 1\n", "my.toml:2: unknown key 'store.flavour'; allowed: store.engine, store.contact"),
        ("store = 3\n", "my.toml:1: store is 3: expected a section [store]"),
        ('[store]\nengine = "casandra"\n', "expected one of embedded, cassandra (did you mean 'cassandra'?)"),
        ("[fleet]\nseed = true\n", "my.toml:2: fleet.seed is True: expected a whole number from 0 to"),
        ("[fleet]\naddress_base = 201\n", "fleet.address_base is 201: expected a whole number from 1 to 200"),
        ('[store]\ncontact_points = "10.0.0.1"\n', "store.contact_points is '10.0.0.1': expected a list of HOST:PORT"),
        ('[store]\ncontact_points = ["10.0.0.1"]\n', "expected a list of HOST:PORT"),
        ('[store]\ncontact_points = ["10.0.0.1:90420"]\n', "expected a list of HOST:PORT"),
        ('[store]\nkeyspace = "My Own"\n', "store.keyspace is 'My Own': expected a lower-case letter"),
        ('[store]\nsites = { one = "Frankfurt 1" }\n', "expected for each data center of Cassandra one of the fleet"),
        ('[store]\nusername = ""\n', "store.username is '': expected a text"),
        ('[launcher]\nengine = "rai"\n', "expected one of processes, ray (did you mean 'ray'?)"),
    ],
)
def test_what_cannot_be_is_named_with_its_key_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        chosen(text)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[store]\ncontact_points = ["a:1"]\n', "my.toml:2: store.contact_points names a cluster, and store.sites is"),
        ('[store]\nusername = "u"\n', "my.toml:2: store.username is set and store.password is not: set TWINHOLD_STORE"),
        ('[store]\npassword_file = "p"\n', "store.password is set and store.username is not"),
        ('[store.tls]\nca_file = "a"\ncert_file = "c"\n', "store.tls.cert_file and store.tls.key_file go together"),
        ('[discovery.tls]\ncert_file = "c"\nkey_file = "k"\n', "my.toml:2: discovery.tls.cert_file is set and"),
    ],
)
def test_what_does_not_go_together_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(text)
    assert said in caught.value.message


def test_a_variable_that_nobody_knows_does_not_silently_do_nothing() -> None:
    with pytest.raises(ConfigurationError, match="did you mean TWINHOLD_STORE_KEYSPACE"):
        chosen(env={"TWINHOLD_STORE_KEYSPCE": "mine"})


def test_an_option_that_nobody_knows_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"--store__keyspce: unknown key 'store.keyspce': did you mean"):
        chosen(store__keyspce="mine")


@pytest.mark.parametrize("secret", [name for name, key in KEYS.items() if key.secret])
def test_a_secret_is_refused_where_others_could_read_it_and_shown_nowhere(secret: str) -> None:
    section, _, name = secret.partition(".")
    for place in ({"text": f'[{section}]\n{name} = "sesame"\n'}, {secret.replace(".", "__"): "sesame"}):
        with pytest.raises(ConfigurationError) as caught:
            chosen(**place)  # type: ignore[arg-type]
        assert f"set {KEYS[secret].variable}, or name a file in {secret}_file" in caught.value.message
        assert "sesame" not in caught.value.message
    found = chosen(env={KEYS[secret].variable: "sesame"})
    assert (found[secret].shown, chosen()[secret].shown) == (SET, UNSET)
    assert "sesame" not in repr(found)


def test_a_secret_of_the_environment_goes_before_its_file() -> None:
    assert not secret_files(chosen(FILE, env={"TWINHOLD_STORE_PASSWORD": "sesame"}))
    assert list(secret_files(chosen(FILE))) == ["store.password"]


def test_settings_show_no_secret() -> None:
    found = settings(FILE, env={"TWINHOLD_DISCOVERY_TOKEN": "sesame"})
    assert found.engines.discovery is not None
    assert found.engines.discovery.token == "sesame"
    assert "sesame" not in repr(found)


def test_the_page_of_the_documentation_names_every_key() -> None:
    page = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    assert [key for key in KEYS if f"`{key}`" not in page] == []
