"""The thread that moves the bytes of all WebSocket connections of a process."""

import select
import threading
import time
from collections.abc import Callable

import structlog
from wsproto.frame_protocol import CloseReason

from maas.entrypoints.http.draining import Draining
from maas.entrypoints.websocket.connection import SocketConnection

log = structlog.get_logger(__name__)

_TICK_SECONDS = 1.0


class SocketHub:
    """Reads, writes, pings and drops; owners of connections only send and receive whole messages.

    When the process drains, connections that are not `busy` are closed at once, the others when its patience is over.
    """

    def __init__(self, draining: Draining) -> None:
        self._draining = draining
        self._epoll: select.epoll | None = None
        self._members: dict[int, SocketConnection] = {}
        self._busy: dict[int, Callable[[], bool]] = {}
        self._masks: dict[int, int] = {}
        self._lock = threading.Lock()

    def join(self, connection: SocketConnection, *, busy: Callable[[], bool]) -> None:
        """Move the bytes of `connection` from now on."""
        number = connection.fileno()
        with self._lock:
            epoll = self._running_epoll()
            self._members[number], self._busy[number], self._masks[number] = connection, busy, 0
            epoll.register(number, 0)
        self.refresh(connection)

    def leave(self, connection: SocketConnection) -> None:
        """Stop moving them; call it before the socket is closed."""
        number = connection.fileno()
        with self._lock:
            if self._members.get(number) is connection and self._epoll is not None:
                del self._members[number], self._busy[number], self._masks[number]
                self._epoll.unregister(number)

    def refresh(self, connection: SocketConnection) -> None:
        """Look again at what `connection` wants."""
        number = connection.fileno()
        read = select.EPOLLIN | select.EPOLLRDHUP if connection.wants_to_read else 0
        mask = read | (select.EPOLLOUT if connection.wants_to_write else 0)
        with self._lock:
            if self._epoll is not None and self._members.get(number) is connection and self._masks[number] != mask:
                self._masks[number] = mask
                self._epoll.modify(number, mask)

    def _running_epoll(self) -> select.epoll:
        """Start the thread with the first connection: it would not live through a fork."""
        if self._epoll is None:
            self._epoll = select.epoll()
            threading.Thread(target=self._run, args=(self._epoll,), name="socket-hub", daemon=True).start()
        return self._epoll

    def _run(self, epoll: select.epoll) -> None:
        next_tick = time.monotonic() + _TICK_SECONDS
        while True:
            for number, event in epoll.poll(max(0.0, next_tick - time.monotonic())):
                self._serve(number, event)
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + _TICK_SECONDS
                self._tick()

    def _serve(self, number: int, event: int) -> None:
        with self._lock:
            connection = self._members.get(number)
        if connection is None:
            return
        try:
            if event & select.EPOLLOUT:
                connection.on_writable()
            if event & ~select.EPOLLOUT:
                connection.on_readable()
        except Exception:
            log.exception("a connection failed")
            connection.close(CloseReason.INTERNAL_ERROR)
        if not connection.is_open and event & (select.EPOLLHUP | select.EPOLLERR):
            # Nothing can be sent any more: the kernel would tell of this without end.
            self.leave(connection)

    def _tick(self) -> None:
        with self._lock:
            members = [(connection, self._busy[number]) for number, connection in self._members.items()]
        for connection, busy in members:
            connection.on_tick()
            if self._draining.is_over or (self._draining.has_begun and not busy()):
                connection.close(CloseReason.GOING_AWAY, "the platform is about to restart")
