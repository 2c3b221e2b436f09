"""Reading the body of a request: counted, bounded, and strict where it is JSON."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from gunicorn.http.errors import ParseException

from maas.domain.errors import Invalid, Malformed, Problem, TooLarge, UnsupportedContentType
from maas.entrypoints.http.request import PlatformRequest

LARGEST_JSON_BYTES = 10 * 1024 * 1024
DEEPEST_JSON = 64
_SMALLEST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**63 - 1
_READ_BYTES = 1024 * 1024
# What only a look at every value can judge: escaped surrogates and NUL, and numbers that may not fit 64 bits.
_SUSPICIOUS = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)|\d{19}|\d[eE]\+?\d{3}")
_LONGEST_KEY_TOLD = 100


class BodyStream:
    """The body of a request, as a readable stream that counts.

    Raises TooLarge past `limit_bytes`, and Malformed where the body ends before its declared length
    or is not well-formed: a web server tells neither of these by itself.
    """

    def __init__(self, request: PlatformRequest, *, limit_bytes: int | None = None) -> None:
        self.declared_bytes = request.content_length
        if limit_bytes is not None and (self.declared_bytes or 0) > limit_bytes:
            raise TooLarge("the body is larger than the {limit} bytes allowed", limit=limit_bytes)
        self.received_bytes = 0
        self._limit_bytes = limit_bytes
        self._stream = request.stream

    def read(self, size: int = _READ_BYTES) -> bytes:
        """Return up to `size` bytes, and b"" at the end."""
        chunk = self._receive(size)
        self.received_bytes += len(chunk)
        if self._limit_bytes is not None and self.received_bytes > self._limit_bytes:
            raise TooLarge("the body is larger than the {limit} bytes allowed", limit=self._limit_bytes)
        if not chunk and self.declared_bytes is not None and self.received_bytes < self.declared_bytes:
            raise Malformed("the body of the request broke off or is not well-formed")
        return chunk

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read():
            yield chunk

    def _receive(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except (OSError, ParseException) as error:
            raise Malformed("the body of the request broke off or is not well-formed") from error


def read_json_object(request: PlatformRequest, *, required: bool = True) -> dict[str, Any]:
    """Return the JSON object of the request's body; {} where it is empty and not `required`."""
    value = _read_json_object(request, required=required)
    if request.fingerprint is not None:
        request.fingerprint.take_json(value)
    return value


def _read_json_object(request: PlatformRequest, *, required: bool) -> dict[str, Any]:
    stream = BodyStream(request, limit_bytes=LARGEST_JSON_BYTES)
    check_no_content_encoding(request)
    if not required and not stream.declared_bytes and "Transfer-Encoding" not in request.headers:
        return {}
    _check_json_content_type(request)
    raw = b"".join(stream)
    if not raw and not required:
        return {}
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise Invalid("the body must be a JSON object", field="body")
    return value


def check_no_content_encoding(request: PlatformRequest) -> None:
    """Refuse a body that is compressed: its size says nothing about what comes out of it."""
    encoding = request.headers.get("Content-Encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        raise UnsupportedContentType("a Content-Encoding is not taken: send the body as it is")


def parse_json(raw: bytes) -> Any:
    """Return the value of `raw`, strictly RFC 8259: UTF-8, no duplicate keys, no NaN, at most 64 deep.

    Raises Malformed, or Invalid for well-formed values that the platform cannot hold: text with NUL, numbers beyond 64 bits.
    """
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not valid JSON") from error
    if raw.count(b"[") + raw.count(b"{") > DEEPEST_JSON or _SUSPICIOUS.search(raw):
        _check_tree(value)
    return value


def _check_json_content_type(request: PlatformRequest) -> None:
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if not request.is_json or charset not in ("utf-8", "utf8"):
        raise UnsupportedContentType("the content type must be application/json, in UTF-8")


def _check_tree(root: object) -> None:
    """Refuse nesting that is too deep, and values that the platform cannot hold, anywhere below `root`."""
    waiting: list[tuple[object, int, str]] = [(root, 1, "")]
    while waiting:
        value, depth, path = waiting.pop()
        _check_value(value, path)
        if isinstance(value, (dict, list)):
            if depth > DEEPEST_JSON:
                raise Malformed("the body is nested deeper than {limit} levels", limit=DEEPEST_JSON)
            waiting.extend(_children(value, depth + 1, path))


def _children(value: dict[str, Any] | list[Any], depth: int, path: str) -> Iterator[tuple[object, int, str]]:
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(key, str):
            _check_value(key, path)
        told = str(key)[:_LONGEST_KEY_TOLD]
        yield child, depth, f"{path}.{told}" if path else told


def _check_value(value: object, path: str) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise _wrong(Problem(field=path or "body", template="text must not hold the character NUL"))
        if not _encodable(value):
            raise Malformed("the body holds half a surrogate pair, which is no character")
    elif isinstance(value, (int, float)) and not (_SMALLEST_INTEGER <= value <= _LARGEST_INTEGER or _is_large_float(value)):
        template = "the number does not fit 64 bits"
        raise _wrong(Problem(field=path or "body", template=template, code="VALIDATION_003"))


def _wrong(problem: Problem) -> Invalid:
    return Invalid("the input is not valid", problems=[problem])


def _is_large_float(value: float) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed("an object of the body names a key twice")
    return value


def _integer(text: str) -> int:
    # Making a number of a million digits takes long; one that is too large is as good as any other.
    return int(text) if len(text) <= 20 else _LARGEST_INTEGER + 1


def _refuse_constant(_name: str) -> NoReturn:
    raise Malformed("NaN and infinities are no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer, parse_constant=_refuse_constant)
