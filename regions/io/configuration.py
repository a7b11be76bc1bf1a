"""Reads the configuration: the file, the environment, and the files in which secrets stand."""

import os
from collections.abc import Mapping
from pathlib import Path

from core.errors import NotFoundError
from regions.configuration import Chosen, choices, secret_files, with_secrets
from regions.configuration_file import NAME, ConfigurationError, Given, read_toml
from regions.configuration_keys import SECRET_FILES
from regions.settings import Settings, settled

VARIABLE = "TWINHOLD_CONFIG"
SECRET_BYTES_MAX = 4096


def settings(config: Path | None = None, options: Mapping[str, tuple[str, str]] | None = None) -> Settings:
    """Read the configuration in force.

    Args:
        config: the file; None: the one that TWINHOLD_CONFIG names, else ``twinhold.toml`` here, if there is one.
        options: what the command line says, by key: the value as it was typed, and the option that it came with.

    Raises:
        NotFoundError: a file that was named can't be read.
        ConfigurationError: something in it can't be; names the key, where it stands, and what is allowed.
    """
    path = _file(config)
    given = {} if path is None else read_toml(_read(path), str(path))
    here = Path.cwd()
    folder = here if path is None else path.parent.absolute()
    asked = {key: Given(text, option) for key, (text, option) in (options or {}).items()}
    chosen = choices(given, os.environ, asked, folder=folder, here=here)
    read = {name: _secret(name, at) for name, at in secret_files(chosen).items()}
    return settled(with_secrets(chosen, read))


def _file(config: Path | None) -> Path | None:
    named = config or (Path(text) if (text := os.environ.get(VARIABLE)) else None)
    if named is None and Path(NAME).is_file():
        return Path(NAME)
    return named


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        reason = cause.strerror if isinstance(cause, OSError) else "not UTF-8"
        raise NotFoundError("configuration", path, remedy=f"{reason}; see --config and {VARIABLE}") from cause


def _secret(name: str, at: Chosen) -> str:
    """Read a secret; a newline at its end is the editor's."""
    file = f"{at.origin}: {SECRET_FILES[name]} names {at.value}"
    try:
        with Path(str(at.value)).open("rb") as opened:
            content = opened.read(SECRET_BYTES_MAX + 1).decode()
    except OSError as cause:
        raise ConfigurationError(f"{file}, which can't be read: {cause.strerror}", key=name) from cause
    except UnicodeDecodeError:
        # not from the cause: that carries what was read, and a traceback would show it
        raise ConfigurationError(f"{file}, which holds no text in UTF-8", key=name) from None
    secret = content.rstrip("\r\n")
    if not secret or len(content) > SECRET_BYTES_MAX or "\n" in secret:
        raise ConfigurationError(f"{file}: expected one line of at most {SECRET_BYTES_MAX} bytes", key=name)
    return secret
