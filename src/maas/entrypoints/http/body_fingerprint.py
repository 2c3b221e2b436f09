"""What tells the body of one request from another: the value of JSON, the fields and files of a form, else the bytes."""

import hashlib
from collections.abc import Mapping, Sequence

import orjson

from maas.application.ports.incoming_form import ReceivedFile
from maas.entrypoints.http.body import LARGEST_JSON_BYTES, BodyStream, parse_json
from maas.entrypoints.http.multipart_parts import PartDigests
from maas.entrypoints.http.request import PlatformRequest

MULTIPART = "multipart/form-data"


class BodyFingerprint:
    """The fingerprint of a request. Whoever reads the body tells it what came; `of` reads a body that nobody did.

    Boundaries, the order of parts and the way in which JSON is written do not count: clients that repeat a call may write
    it anew.
    """

    def __init__(self, request: PlatformRequest) -> None:
        self._request = request
        self._body: bytes | None = None

    def take_json(self, value: object) -> None:
        self._body = b"json:" + orjson.dumps(value, option=orjson.OPT_SORT_KEYS)

    def take_form(self, texts: Mapping[str, bytes], files: Sequence[ReceivedFile]) -> None:
        parts = [(name, None, hashlib.sha256(text).hexdigest()) for name, text in texts.items()]
        self._take_parts([*parts, *((file.field, file.file_name, file.written.sha256) for file in files)])

    def hexdigest(self) -> str:
        """Return the fingerprint of the whole request."""
        if self._body is None:
            self._read()
        request = self._request
        head = f"{request.method} {request.path}?{request.query_string.decode('latin-1')}\n"
        return hashlib.sha256(head.encode("utf-8", "surrogatepass") + (self._body or b"")).hexdigest()

    def _take_parts(self, parts: Sequence[tuple[str, str | None, str]]) -> None:
        self._body = b"form:" + orjson.dumps(sorted(parts, key=lambda part: (part[0], part[1] or "", part[2])))

    def _read(self) -> None:
        if self._request.mimetype == MULTIPART:
            digests = PartDigests(self._request.mimetype_params.get("boundary", ""))
            digests.read(BodyStream(self._request))
            self._take_parts(digests.parts)
            return
        raw = b"".join(BodyStream(self._request, limit_bytes=LARGEST_JSON_BYTES))
        if self._request.is_json or not raw:
            self.take_json(parse_json(raw) if raw else {})
        else:
            self._body = b"raw:" + hashlib.sha256(raw).digest()
