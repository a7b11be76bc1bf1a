"""The headers and trailers of a gRPC call over HTTP/2 (the protocol's own document: PROTOCOL-HTTP2.md of gRPC)."""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote, unquote

import grpc
from grpc import aio

Headers: TypeAlias = list[tuple[str, str]]
Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

END: object = aio.EOF  # type: ignore[attr-defined]  # the stubs leave it out
"""What a read returns after the last message, as in grpc.aio."""
CONTENT_TYPE = "application/grpc"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_OWN = ("grpc-timeout", "grpc-status", "grpc-message", "content-type", "te", "user-agent")
_TIMEOUT_MS_MAX = 99_999_999
"""gRPC allows eight digits."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended."""

    code: grpc.StatusCode
    details: str = ""
    metadata: Metadata = ()

    @property
    def is_good(self) -> bool:
        """Say whether nothing failed."""
        return self.code is grpc.StatusCode.OK


GOOD = Ending(grpc.StatusCode.OK)


def request_headers(
    path: str, authority: str, metadata: Iterable[tuple[str, str | bytes]], timeout_s: float
) -> Headers:
    """Write what opens a call; ``timeout_s`` is infinite where there is no deadline."""
    opening = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", CONTENT_TYPE),
    ]
    if timeout_s != float("inf"):
        opening.append(("grpc-timeout", f"{min(_TIMEOUT_MS_MAX, max(1, round(timeout_s * 1000)))}m"))
    return [*opening, *_written(metadata)]


def response_headers(metadata: Iterable[tuple[str, str | bytes]]) -> Headers:
    """Write what opens an answer."""
    return [(":status", "200"), ("content-type", CONTENT_TYPE), *_written(metadata)]


def trailers(ending: Ending) -> Headers:
    """Write what ends an answer."""
    told = [("grpc-status", str(ending.code.value[0]))]
    if ending.details:
        told.append(("grpc-message", quote(ending.details, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~\"\\")))
    return [*told, *_written(ending.metadata)]


def ending_of(headers: Headers) -> Ending:
    """Read trailers; an answer that is not gRPC's becomes UNKNOWN, as gRPC says."""
    told = dict(headers)
    number = told.get("grpc-status", "")
    if not number.isdigit():
        return Ending(grpc.StatusCode.UNKNOWN, f"the peer sent no gRPC status (HTTP {told.get(':status', '-')})")
    code = _CODES.get(int(number), grpc.StatusCode.UNKNOWN)
    return Ending(code, unquote(told.get("grpc-message", "")), metadata_of(headers))


def metadata_of(headers: Headers) -> Metadata:
    """Read what callers and services put in; gRPC's own headers are left out."""
    return tuple((key, _read(key, value)) for key, value in headers if key[:1] != ":" and key not in _OWN)


def timeout_of(headers: Headers) -> float | None:
    """Read the deadline in seconds from now; None: none, or none that can be read."""
    for key, value in headers:
        if key == "grpc-timeout" and value[:-1].isdigit() and value[-1] in _UNIT_S:
            return int(value[:-1]) * _UNIT_S[value[-1]]
    return None


def _written(metadata: Iterable[tuple[str, str | bytes]]) -> Headers:
    return [
        (key, base64.b64encode(value).decode().rstrip("=") if isinstance(value, bytes) else value)
        for key, value in metadata
    ]


def _read(key: str, value: str) -> str | bytes:
    if not key.endswith("-bin"):
        return value
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4))
    except binascii.Error:
        return b""
