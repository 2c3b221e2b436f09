"""One WebSocket connection: whole messages in and out, both bounded."""

import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

LARGEST_MESSAGE_BYTES = 1024 * 1024
MOST_UNSENT_BYTES = 1024 * 1024
MOST_UNREAD_MESSAGES = 32
STALLED_SECONDS = 20.0
PING_SECONDS = 20.0
_RECEIVE_BYTES = 64 * 1024
_WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class SocketClosed(Exception):
    """The connection has ended; `code` is why, by RFC 6455, 7.4."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the connection is closed with {code}")
        self.code = code


class SocketConnection:
    """Frames over a connected socket that does not block.

    Any thread may send and receive; a hub calls `on_readable`, `on_writable` and `on_tick`. All of them take the lock, so
    that frames never mix, and none of them waits under it.
    """

    def __init__(self, connected: socket.socket, *, on_change: Callable[["SocketConnection"], None]) -> None:
        self._socket = connected
        self._on_change = on_change
        self._frames = Connection(ConnectionType.SERVER)
        self._lock = threading.RLock()
        self._arrived = threading.Condition(self._lock)
        self._unread: deque[bytes] = deque()
        self._unsent = bytearray()
        self._parts = bytearray()
        self._progress_at = self._heard_at = time.monotonic()
        self.close_code: int | None = None

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def is_open(self) -> bool:
        return self.close_code is None

    @property
    def wants_to_read(self) -> bool:
        """Whether more may come in: an owner that does not read stops its client instead of filling the memory."""
        return self.is_open and len(self._unread) < MOST_UNREAD_MESSAGES

    @property
    def wants_to_write(self) -> bool:
        return bool(self._unsent)

    def send(self, message: Any) -> None:
        """Send `message` as JSON; raise SocketClosed where nobody listens any more, or the client takes too little."""
        text = orjson.dumps(message).decode()
        with self._lock:
            self._check_open()
            self._put(Message(data=text))
            if len(self._unsent) > MOST_UNSENT_BYTES:
                self._drop(CloseReason.POLICY_VIOLATION)
            self._check_open()

    def receive(self, timeout_seconds: float) -> bytes | None:
        """Return the next message (text as UTF-8), or None after the timeout; raise SocketClosed once all have been read."""
        with self._lock:
            self._arrived.wait_for(lambda: self._unread or not self.is_open, timeout_seconds)
            if self._unread:
                message = self._unread.popleft()
                self._on_change(self)
                return message
            self._check_open()
            return None

    def close(self, code: int = CloseReason.NORMAL_CLOSURE, reason: str = "") -> None:
        """Say goodbye; what is unsent still goes out as far as the client takes it."""
        with self._lock:
            if self.is_open:
                self._put(CloseConnection(code=code, reason=reason[:100]))
                self._end(code)

    def on_readable(self) -> None:
        """Take in what has arrived."""
        with self._lock:
            try:
                received = self._socket.recv(_RECEIVE_BYTES)
            except _WOULD_BLOCK:
                return
            except OSError:
                received = b""
            if not received:
                self._drop(CloseReason.ABNORMAL_CLOSURE)
                return
            self._heard_at = time.monotonic()
            self._take(received)

    def on_writable(self) -> None:
        """Send what is unsent."""
        with self._lock:
            self._flush()

    def on_tick(self) -> None:
        """Ping a silent client; drop one that neither answers nor takes what is sent."""
        with self._lock:
            now = time.monotonic()
            if self._unsent and now - self._progress_at > STALLED_SECONDS:
                self._drop(CloseReason.POLICY_VIOLATION)
            elif now - self._heard_at > 3 * PING_SECONDS:
                self._drop(CloseReason.ABNORMAL_CLOSURE)
            elif self.is_open and now - self._heard_at > PING_SECONDS and not self._unsent:
                self._put(Ping())

    def finish(self, patience_seconds: float) -> None:
        """Send what is left of a closed connection, for a while."""
        deadline = time.monotonic() + patience_seconds
        while self.wants_to_write and time.monotonic() < deadline:
            self.on_writable()
            time.sleep(0.01)

    def _take(self, received: bytes) -> None:
        if self._frames.state is ConnectionState.CLOSED or not self.is_open:
            return
        self._frames.receive_data(received)
        for event in self._frames.events():
            self._handle(event)
            if not self.is_open:
                return

    def _handle(self, event: Event) -> None:
        if isinstance(event, (TextMessage, BytesMessage)):
            self._collect(event)
        elif isinstance(event, Ping):
            self._put(event.response())
        elif isinstance(event, CloseConnection):
            self._put(event.response())
            self._end(event.code)
        elif not isinstance(event, Pong):
            self._drop(CloseReason.PROTOCOL_ERROR)

    def _collect(self, event: TextMessage | BytesMessage) -> None:
        """Put the parts of a message together, up to the limit."""
        part = event.data.encode() if isinstance(event, TextMessage) else event.data
        if len(self._parts) + len(part) > LARGEST_MESSAGE_BYTES:
            self.close(CloseReason.MESSAGE_TOO_BIG, "a message is larger than 1 MB")
            return
        self._parts += part
        if event.message_finished:
            self._unread.append(bytes(self._parts))
            self._parts.clear()
            self._arrived.notify_all()

    def _put(self, event: Event) -> None:
        if not self._unsent:
            self._progress_at = time.monotonic()
        with suppress(LocalProtocolError):  # nothing can be said after a goodbye
            self._unsent += self._frames.send(event)
        self._flush()

    def _flush(self) -> None:
        while self._unsent:
            try:
                sent = self._socket.send(memoryview(self._unsent)[:_RECEIVE_BYTES].tobytes())
            except _WOULD_BLOCK:
                break
            except OSError:
                self._unsent.clear()
                self._drop(CloseReason.ABNORMAL_CLOSURE)
                return
            del self._unsent[:sent]
            self._progress_at = time.monotonic()
        self._on_change(self)

    def _drop(self, code: int) -> None:
        """End without a goodbye."""
        self._unsent.clear()
        self._end(code)

    def _end(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = int(code)
            self._arrived.notify_all()
            self._on_change(self)

    def _check_open(self) -> None:
        if self.close_code is not None:
            raise SocketClosed(self.close_code)
