"""Noticing clients that went away while nothing is written to them.

A write fails only some time after the client left. The kernel knows at once: one thread asks it for all calls of the process.
"""

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from maas.entrypoints.http.request import current_request

log = structlog.get_logger(__name__)

_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class _Connection(Protocol):
    def fileno(self) -> int: ...


@dataclass(eq=False)
class Watched:
    """A client that is watched; `gone` turns true when it has hung up."""

    on_gone: Callable[[], None]
    gone: bool = False


class ClientWatch:
    """Watches connections, and calls back once for each that its client closed."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._watched: dict[int, Watched] = {}
        self._lock = threading.Lock()

    @contextmanager
    def watching(self, connection: _Connection | None, on_gone: Callable[[], None]) -> Iterator[Watched]:
        """Watch `connection` within the block; `on_gone` is called by another thread, and must not block."""
        watched = self.begin(connection, on_gone)
        try:
            yield watched
        finally:
            self.end(connection, watched)

    def begin(self, connection: _Connection | None, on_gone: Callable[[], None]) -> Watched:
        """Watch `connection` until `end`; None (no real connection, as in tests) is never gone."""
        watched = Watched(on_gone)
        if connection is not None:
            with self._lock:
                self._watched[connection.fileno()] = watched
                self._running_epoll().register(connection.fileno(), _GONE | select.EPOLLONESHOT)
        return watched

    def end(self, connection: _Connection | None, watched: Watched) -> None:
        """Stop watching; the connection must still be open."""
        with self._lock:
            number = connection.fileno() if connection is not None else -1
            if self._epoll is not None and self._watched.get(number) is watched:
                del self._watched[number]
                self._epoll.unregister(number)

    def _running_epoll(self) -> select.epoll:
        """Start the thread with the first connection: it would not live through a fork."""
        if self._epoll is None:
            self._epoll = select.epoll()
            threading.Thread(target=self._run, args=(self._epoll,), name="client-watch", daemon=True).start()
        return self._epoll

    def _run(self, epoll: select.epoll) -> None:
        while True:
            for number, _event in epoll.poll():
                self._tell(number)

    def _tell(self, number: int) -> None:
        # Under the lock, so that a callback never comes after `end` returned.
        with self._lock:
            watched = self._watched.get(number)
            if watched is None or watched.gone:
                return
            watched.gone = True
            try:
                watched.on_gone()
            except Exception:
                log.exception("a call could not be given up")


CLIENTS = ClientWatch()
"""The process's own watch."""


@contextmanager
def given_up_with_client(cancel: Callable[[], None]) -> Iterator[Watched]:
    """Call `cancel` when the client of this request hangs up before the block ends: for calls that wait long for their answer."""
    with CLIENTS.watching(connection_of(current_request().environ), cancel) as watched:
        yield watched


def connection_of(environ: dict[str, object]) -> _Connection | None:
    """Return the connection of a request, where the server tells it."""
    return environ.get("gunicorn.socket")  # type: ignore[return-value] # gunicorn puts the socket there
