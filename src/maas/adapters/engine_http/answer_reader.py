"""Reads an answer of HTTP/1.1 from bytes as they come, whoever brings them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_LARGEST_HEAD_BYTES = 64 * 1024
_LARGEST_LINE_BYTES = 16 * 1024
_HEAD_END = b"\r\n\r\n"


class AnswerBroken(Exception):
    """What came is no HTTP, or ended too early."""


@dataclass(frozen=True)
class Head:
    """Status and header fields, their names in lower case."""

    status: int
    headers: Mapping[str, str]


class AnswerReader:
    """One answer. Feed it until it `is_complete`; what a proxy may say before (1xx) is passed over."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.is_complete = False
        self.keeps_alive = False
        self._buffer = bytearray()
        self._chunked = False
        # Bytes still to come of the body (None: until the end), or of the chunk (None: its size comes next).
        self._left: int | None = None
        self._last_chunk = False

    @property
    def has_begun(self) -> bool:
        return self.head is not None or bool(self._buffer)

    def feed(self, data: bytes) -> bytes:
        """Take what came (b"" at the end of the connection); return the part of the body that it held."""
        if not data:
            return self._end()
        self._buffer += data
        if self.head is None and not self._read_head():
            return b""
        return b"".join(self._chunks()) if self._chunked else self._plain()

    def _end(self) -> bytes:
        if self.head is None or self._chunked or self._left is not None:
            raise AnswerBroken("the connection ended within an answer")
        self.is_complete = True
        self.keeps_alive = False
        return b""

    def _read_head(self) -> bool:
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            head = _parsed_head(bytes(self._buffer[:end]))
            del self._buffer[: end + len(_HEAD_END)]
            if head.status >= 200:
                self._begin_body(head)
                return True
        if len(self._buffer) > _LARGEST_HEAD_BYTES:
            raise AnswerBroken("the head of an answer is too large")
        return False

    def _begin_body(self, head: Head) -> None:
        self.head = head
        self.keeps_alive = head.headers.get("connection", "").lower() != "close"
        self._chunked = head.headers.get("transfer-encoding", "").lower() == "chunked"
        length = head.headers.get("content-length")
        if length is not None and not self._chunked:
            self._left = _number(length.encode(), base=10)
        if head.status in (204, 304):
            self._left = 0

    def _plain(self) -> bytes:
        part = bytes(self._buffer if self._left is None else self._buffer[: self._left])
        if self._left is not None:
            self._left -= len(part)
            self.is_complete = self._left == 0
        self.keeps_alive &= len(part) == len(self._buffer)
        self._buffer.clear()
        return part

    def _chunks(self) -> Iterator[bytes]:
        buffer = self._buffer
        while buffer and not self.is_complete:
            if self._left is None:
                line = self._line()
                if line is None:
                    return
                self._begin_chunk(line)
                continue
            # A chunk's own bytes, and the line end that follows them.
            part = bytes(buffer[: self._left])
            del buffer[: len(part)]
            own = max(0, self._left - 2)
            self._left -= len(part)
            if self._left == 0:
                self._left = None
            yield part[:own]

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > _LARGEST_LINE_BYTES:
                raise AnswerBroken("a line between chunks is too long")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _begin_chunk(self, line: bytes) -> None:
        if self._last_chunk:
            # Trailers, up to an empty line.
            self.is_complete = not line
            return
        size = _number(line.partition(b";")[0].strip(), base=16)
        self._last_chunk = size == 0
        self._left = size + 2 if size else None


def _parsed_head(raw: bytes) -> Head:
    first, *lines = raw.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise AnswerBroken("this is no answer of HTTP/1.1")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if parts[0] == "HTTP/1.0":
        headers.setdefault("connection", "close")
    return Head(int(parts[1]), headers)


def _number(text: bytes, *, base: int) -> int:
    try:
        value = int(text, base)
    except ValueError as error:
        raise AnswerBroken("a length in an answer is malformed") from error
    if value < 0:
        raise AnswerBroken("a length in an answer is malformed")
    return value
