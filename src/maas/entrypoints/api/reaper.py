"""The thread that ends connections which take too long: to send a head, or to hear goodbye."""

import select
import socket
import threading
import time
from contextlib import suppress
from typing import Protocol

_LOOK_SECONDS = 0.25
_MOST_LINGERING = 2000
# A refused upload of this size is read to its end, so that a client which sends all before it listens hears why.
_MOST_DRAINED_BYTES = 256 * 1024 * 1024


class _Holder(Protocol):
    """What holds a connection; its socket may be wrapped in TLS later."""

    sock: socket.socket


class ConnectionReaper:
    """Enforces deadlines on connections, for all threads of a worker."""

    def __init__(self, *, head_seconds: float, linger_seconds: float) -> None:
        self._head_seconds = head_seconds
        self._linger_seconds = linger_seconds
        self._heads: dict[_Holder, float] = {}
        self._lingering: dict[int, tuple[socket.socket, float, int]] = {}
        self._lock = threading.Lock()
        self._epoll = select.epoll()
        threading.Thread(target=self._run, name="connection-reaper", daemon=True).start()

    def expect_head(self, holder: _Holder) -> None:
        """Cut the connection unless `head_read` comes in time, however busily its client drips bytes."""
        with self._lock:
            self._heads[holder] = time.monotonic() + self._head_seconds

    def head_read(self, holder: _Holder) -> None:
        with self._lock:
            self._heads.pop(holder, None)

    def linger(self, connected: socket.socket) -> None:
        """Close after the client has, or soon (RFC 9112, 9.6): closing at once could destroy the end of the answer."""
        try:
            connected.shutdown(socket.SHUT_WR)
            connected.settimeout(0)
        except OSError:
            connected.close()
            return
        with self._lock:
            if len(self._lingering) >= _MOST_LINGERING:
                connected.close()
                return
            number = connected.fileno()
            self._lingering[number] = (connected, time.monotonic() + self._linger_seconds, 0)
            self._epoll.register(number, select.EPOLLIN | select.EPOLLRDHUP)

    def _run(self) -> None:
        while True:
            for number, _event in self._epoll.poll(_LOOK_SECONDS):
                self._drain(number)
            self._cut_late_heads()
            self._close_late_lingerers()

    def _drain(self, number: int) -> None:
        with self._lock:
            connected, deadline, drained = self._lingering[number]
            try:
                received = len(connected.recv(65536))
            except BlockingIOError:
                return
            except OSError:
                received = 0
            if not received or drained + received > _MOST_DRAINED_BYTES:
                self._close(number)
            else:
                self._lingering[number] = (connected, deadline, drained + received)

    def _close_late_lingerers(self) -> None:
        now = time.monotonic()
        with self._lock:
            for number in [number for number, (_, deadline, _) in self._lingering.items() if deadline < now]:
                self._close(number)

    def _close(self, number: int) -> None:
        connected, _, _ = self._lingering.pop(number)
        self._epoll.unregister(number)
        connected.close()

    def _cut_late_heads(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = [holder for holder, deadline in self._heads.items() if deadline < now]
            for holder in late:
                del self._heads[holder]
        for holder in late:
            # The plain socket's own: TLS's would take the state away from under the thread that reads.
            with suppress(OSError):
                socket.socket.shutdown(holder.sock, socket.SHUT_RDWR)
