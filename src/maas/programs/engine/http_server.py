"""A small HTTP/1.1 server with a thread for each connection: keep-alive, streams, limits on everything that a client sends."""

import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Final

_REASONS: Final = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 411: "Length Required",
    413: "Content Too Large", 422: "Unprocessable Content", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
_LONGEST_LINE_BYTES = 16 * 2**10
_MOST_HEADERS = 100
_LARGEST_BODY_BYTES = 16 * 2**20
_IDLE_SECONDS = 300
_SEND_SECONDS = 30
_MOST_CONNECTIONS = 512
_JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """A whole request, with the socket that it came by."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client: socket.socket


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    body: bytes
    status: int = 200
    content_type: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EventStream:
    """An answer by server-sent events, sent as the iterator yields them; `abandon` is called in any case at the end."""

    events: Iterator[bytes]
    abandon: Callable[[], None]


Handler = Callable[[Request], Answer | EventStream]


class BadRequest(Exception):
    """What came is not HTTP as this server takes it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpServer:
    """Serves a listening socket that somebody else bound."""

    def __init__(self, listener: socket.socket, handler: Handler) -> None:
        self._listener, self._handler = listener, handler
        self._connections = threading.Semaphore(_MOST_CONNECTIONS)
        self._idle = threading.Condition()
        self._busy = 0

    def start(self) -> None:
        """Accept on a thread of its own."""
        self._listener.setblocking(True)
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def wait_until_answered(self, seconds: float) -> bool:
        """Wait until no request is being answered; return False where that takes longer."""
        with self._idle:
            return self._idle.wait_for(lambda: self._busy == 0, timeout=seconds)

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if not self._connections.acquire(blocking=False):
                _refuse(client)
                continue
            threading.Thread(target=self._serve, args=(client,), name="client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as stream:
                _set_up(client)
                while self._serve_one(client, stream):
                    pass
        except (OSError, ValueError):
            # The client went away, or was silent for too long: there is nobody to tell.
            logging.debug("a connection ended early", exc_info=True)
        finally:
            self._connections.release()

    def _serve_one(self, client: socket.socket, stream: BufferedReader) -> bool:
        """Answer one request; return whether the connection stays open."""
        try:
            request = _read_request(client, stream)
        except BadRequest as error:
            _send(client, _error(error.status, str(error)), close=True)
            return False
        if request is None:
            return False
        close = request.headers.get("connection", "").lower() == "close"
        with self._idle:
            self._busy += 1
        try:
            answer = self._handler(request)
            if isinstance(answer, EventStream):
                return _send_stream(client, answer, close=close) and not close
            _send(client, answer, close=close)
            return not close
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()


def _set_up(client: socket.socket) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _IDLE_SECONDS, 0))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))


def _read_request(client: socket.socket, stream: BufferedReader) -> Request | None:
    line = _read_line(stream)
    if not line:
        return None
    parts = line.decode("latin-1").split()
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(400, "the request line is malformed")
    method, target, version = parts
    headers = _read_headers(stream)
    if version == "HTTP/1.0":
        headers["connection"] = "close"
    if headers.get("expect", "").lower() == "100-continue":
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(method, target.split("?", 1)[0], headers, _read_body(stream, headers), client)


def _read_line(stream: BufferedReader) -> bytes:
    line = stream.readline(_LONGEST_LINE_BYTES + 1)
    if len(line) > _LONGEST_LINE_BYTES:
        raise BadRequest(431, "a header line is too long")
    return line.rstrip(b"\r\n") if line.endswith(b"\n") else b""


def _read_headers(stream: BufferedReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS + 1):
        line = _read_line(stream)
        if not line:
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise BadRequest(400, "a header is malformed")
        headers[name.strip().lower()] = value.strip()
    raise BadRequest(431, "there are too many headers")


def _read_body(stream: BufferedReader, headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked" or "content-length" in headers:
            raise BadRequest(400, "the body's length is given in a way that is not understood")
        return _read_chunks(stream)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest(400, "Content-Length is malformed")
    return _read_exactly(stream, _checked_size(int(length)))


def _read_chunks(stream: BufferedReader) -> bytes:
    body = bytearray()
    while True:
        try:
            size = int(_read_line(stream).split(b";")[0], 16)
        except ValueError as error:
            raise BadRequest(400, "a chunk's size is malformed") from error
        if size < 0:
            raise BadRequest(400, "a chunk's size is malformed")
        _checked_size(len(body) + size)
        if size == 0:
            _read_headers(stream)
            return bytes(body)
        body += _read_exactly(stream, size)
        _read_line(stream)


def _checked_size(size: int) -> int:
    if size > _LARGEST_BODY_BYTES:
        raise BadRequest(413, f"the body is larger than {_LARGEST_BODY_BYTES} bytes")
    return size


def _read_exactly(stream: BufferedReader, size: int) -> bytes:
    body = stream.read(size)
    if len(body) < size:
        raise BadRequest(400, "the body was cut short")
    return body


def _send(client: socket.socket, answer: Answer, *, close: bool) -> None:
    head = _head(answer.status, answer.content_type, {**answer.headers, "Content-Length": str(len(answer.body))}, close=close)
    client.sendall(head + answer.body)


def _send_stream(client: socket.socket, answer: EventStream, *, close: bool) -> bool:
    """Send the events in chunks; return whether all went out."""
    try:
        headers = {"Transfer-Encoding": "chunked", "Cache-Control": "no-cache"}
        client.sendall(_head(200, "text/event-stream", headers, close=close))
        for event in answer.events:
            client.sendall(b"%x\r\n%b\r\n" % (len(event), event))
        client.sendall(b"0\r\n\r\n")
    finally:
        answer.abandon()
    return True


def _head(status: int, content_type: str, headers: Mapping[str, str], *, close: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}", f"Content-Type: {content_type}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Connection: {'close' if close else 'keep-alive'}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _error(status: int, message: str) -> Answer:
    return Answer(b'{"error":"%b","error_type":"validation"}' % message.encode(), status)


def _refuse(client: socket.socket) -> None:
    with client:
        _set_up(client)
        answer = Answer(b'{"error":"too many connections","error_type":"overloaded"}', 503, headers={"Retry-After": "1"})
        try:
            _send(client, answer, close=True)
        except OSError:
            logging.debug("a refused connection ended early", exc_info=True)
