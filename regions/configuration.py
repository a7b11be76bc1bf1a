"""The configuration: defaults, then the file, then the environment, then options; each value knows where it came from.

The machine behind ``regions/io/configuration.py``: that one reads files and the environment, this one decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import PurePath

from regions.configuration_file import ConfigurationError, Given, unknown
from regions.configuration_keys import KEYS, PREFIX, SECRET_FILES, Key, Plain

DEFAULT = "default"
SHOWN_MAX = 60
SET, UNSET = "(set)", "(not set)"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The value in force of a key, and where it came from."""

    key: Key
    value: Plain = field(repr=False)
    origin: str

    @property
    def shown(self) -> Plain:
        """The value for people and programs; of a secret, only whether there is one."""
        return (SET if self.value else UNSET) if self.key.secret else self.value


def choices(
    file: Mapping[str, Given],
    environment: Mapping[str, str],
    options: Mapping[str, Given],
    *,
    folder: PurePath,
    here: PurePath,
) -> Mapping[str, Chosen]:
    """Choose the value of every key.

    Args:
        file: what the configuration file says.
        environment: the process's; an empty variable counts as none.
        options: of the command line, by key; strings, as they were typed.
        folder: what the paths in the file are relative to; absolute, for processes may run elsewhere.
        here: what all other paths are relative to; absolute.

    Raises:
        ConfigurationError: a value is not allowed, a key is not known, or a secret stands where others could read it.
    """
    _know(environment)
    found = {name: _default(key) for name, key in KEYS.items()}
    for name, given in file.items():
        found[name] = _in_folder(_taken(_open(KEYS[name], given), given, textual=False), folder)
    for name, key in KEYS.items():
        if text := environment.get(key.variable):
            found[name] = _in_folder(_taken(key, Given(text, key.variable), textual=True), here)
    for name, given in options.items():
        if name not in KEYS:
            raise unknown(name, given.origin)
        found[name] = _in_folder(_taken(_open(KEYS[name], given), given, textual=True), here)
    return found


def secret_files(chosen: Mapping[str, Chosen]) -> Mapping[str, Chosen]:
    """List the files that secrets are to be read from, by the secret's key: of those that have no value yet."""
    return {name: chosen[file] for name, file in SECRET_FILES.items() if chosen[file].value and not chosen[name].value}


def with_secrets(chosen: Mapping[str, Chosen], read: Mapping[str, str]) -> Mapping[str, Chosen]:
    """Put secrets in that were read from files."""
    files = secret_files(chosen)
    return {**chosen, **{name: Chosen(KEYS[name], text, files[name].origin) for name, text in read.items()}}


def _default(key: Key) -> Chosen:
    return Chosen(key, key.default, DEFAULT)


def _open(key: Key, given: Given) -> Key:
    """Refuse a secret that stands in a file of configuration, or on a command line that others can list."""
    if key.secret:
        remedy = f"set {key.variable}, or name a file in {SECRET_FILES[key.name]}"
        raise ConfigurationError(f"{given.origin}: {key.name} may not stand here: {remedy}", key=key.name)
    return key


def _taken(key: Key, given: Given, *, textual: bool) -> Chosen:
    raw = key.kind.of_text(given.value) if textual and isinstance(given.value, str) else given.value
    plain = key.kind.plain(raw)
    if plain is None:
        shown = "not allowed" if key.secret else _shown(given.value)
        close = get_close_matches(str(raw), key.kind.expected.removeprefix("one of ").split(", "), n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ConfigurationError(
            f"{given.origin}: {key.name} is {shown}: expected {key.kind.expected}{hint}", key=key.name
        )
    return Chosen(key, plain, given.origin)


def _in_folder(chosen: Chosen, folder: PurePath) -> Chosen:
    """Make a path absolute."""
    text = str(chosen.value)
    return Chosen(chosen.key, str(folder / text), chosen.origin) if chosen.key.kind.is_path(text) else chosen


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 3]}..."


def _know(environment: Mapping[str, str]) -> None:
    """Refuse a variable that begins like ours and is none: it would be a setting that silently does nothing."""
    known = [key.variable for key in KEYS.values()]
    sections = tuple(sorted({f"{PREFIX}{name.partition('.')[0].upper()}_" for name in KEYS}))
    for name in environment:
        if name.startswith(sections) and name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f": did you mean {close[0]}?" if close else f"; allowed: {', '.join(known)}"
            raise ConfigurationError(f"unknown environment variable {name}{hint}", key=name)
