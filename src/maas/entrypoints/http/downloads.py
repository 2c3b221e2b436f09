"""Sending files: whole or one range of them, with their digest, counted once their last byte was sent."""

import base64
import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

import structlog
from flask import Response, current_app
from werkzeug.http import parse_etags, unquote_etag

from maas.application.downloads import Download
from maas.domain.errors import RangeNotSatisfiable, TokenExpired
from maas.entrypoints.http.event_stream import RECHECK_SECONDS, STREAMING
from maas.entrypoints.http.request import PlatformRequest, current_request
from maas.entrypoints.http.sign_in import SignIn, credential_of

log = structlog.get_logger(__name__)

_ONE_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.IGNORECASE | re.ASCII)
_LONGEST_NUMBER = 19
_PLAIN = re.compile(r"[^A-Za-z0-9._ +-]")


@dataclass(frozen=True, kw_only=True)
class ByteRange:
    """The bytes from `start` up to `stop`."""

    start: int
    stop: int


def requested_range(header: str | None, size: int) -> ByteRange | None:
    """Return the one range that a Range header asks for (RFC 9110, 14.2), or None where all is to be sent: headers that are
    malformed, of other units or of several ranges may be ignored. Raise RangeNotSatisfiable where no byte lies in it."""
    found = _ONE_RANGE.fullmatch(header or "")
    if found is None or found.group(0).count("-") != 1 or not (found[1] or found[2]):
        return None
    if max(len(found[1]), len(found[2])) > _LONGEST_NUMBER:
        raise RangeNotSatisfiable(size=size)
    if not found[1]:
        length = min(int(found[2]), size)
        return _satisfiable(ByteRange(start=size - length, stop=size), size)
    start = int(found[1])
    if found[2] and int(found[2]) < start:
        return None
    return _satisfiable(ByteRange(start=start, stop=min(int(found[2]) + 1, size) if found[2] else size), size)


def _satisfiable(wanted: ByteRange, size: int) -> ByteRange:
    if wanted.start >= wanted.stop:
        raise RangeNotSatisfiable(size=size)
    return wanted


def send(download: Download) -> Response:
    """Answer with a download, or with the part of it that the request asks for."""
    request = current_request()
    etag = f'"{download.sha256}"'
    if parse_etags(request.headers.get("If-None-Match")).contains_weak(download.sha256):
        return Response(status=304, headers={"ETag": etag, "Cache-Control": _CACHING})
    wanted = requested_range(_range_header(request, download.sha256), download.size)
    part = wanted or ByteRange(start=0, stop=download.size)
    response = Response(
        _Body(download, part, _recheck(request)) if request.method != "HEAD" else b"",
        status=206 if wanted is not None else 200,
        content_type=download.media_type,
        headers=_headers(download, etag),
    )
    response.content_length = part.stop - part.start
    if wanted is not None:
        response.headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{download.size}"
    return response


_CACHING = "private, no-cache"


def _range_header(request: PlatformRequest, sha256: str) -> str | None:
    """Return the Range header, unless If-Range says that it is about other bytes than these."""
    condition = request.headers.get("If-Range")
    if condition is not None and unquote_etag(condition) != (sha256, False):
        return None
    return request.headers.get("Range")


def _headers(download: Download, etag: str) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(download.sha256)).decode()
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": _CACHING,
        "Content-Disposition": disposition(download.file_name),
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{digest}:",
    }


def disposition(file_name: str) -> str:
    """Name a file in the header's plain form, and in full by RFC 8187."""
    name = file_name.replace("/", "_").replace("\\", "_")
    plain = _PLAIN.sub("_", name)
    full = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{full}'


class _Body:
    """The bytes of an answer. An object rather than a generator: the server closes it even where it never began."""

    def __init__(self, download: Download, part: ByteRange, recheck: Callable[[], None]) -> None:
        self._chunks = self._read(download, part, recheck)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self._chunks.close()

    @staticmethod
    def _read(download: Download, part: ByteRange, recheck: Callable[[], None]) -> Generator[bytes, None, None]:
        checked_at = time.monotonic()
        for chunk in download.chunks(part.start, part.stop):
            if time.monotonic() - checked_at >= RECHECK_SECONDS:
                checked_at = time.monotonic()
                recheck()
            yield chunk
        # The server asks for more only once it has sent what it was given.
        if part.stop == download.size and download.count is not None:
            _count(download.count)


def _recheck(request: PlatformRequest) -> Callable[[], None]:
    """Return what raises once the credential was revoked; one that merely expired may end what it began."""
    sign_in: SignIn = current_app.extensions[STREAMING].sign_in
    credential = credential_of(request.headers)

    def check() -> None:
        with suppress(TokenExpired):
            sign_in.authenticate(credential)

    return check


def _count(count: Callable[[], None]) -> None:
    try:
        count()
    except Exception:
        log.exception("a download could not be counted")
