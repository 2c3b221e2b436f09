"""Notices clients that leave while the engine has nothing to send to them."""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LEFT = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class ClientWatch:
    """One thread that sleeps over all sockets with work in progress."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._lock = threading.Lock()
        self._callbacks: dict[int, tuple[socket.socket, Callable[[], None]]] = {}
        threading.Thread(target=self._run, name="client-watch", daemon=True).start()

    @contextmanager
    def watching(self, client: socket.socket, on_left: Callable[[], None]) -> Iterator[None]:
        """Call `on_left` once, on another thread, if the client closes its side within the block."""
        number = client.fileno()
        with self._lock:
            self._callbacks[number] = (client, on_left)
            self._epoll.register(number, select.EPOLLRDHUP | select.EPOLLONESHOT)
        try:
            yield
        finally:
            with self._lock:
                del self._callbacks[number]
                self._epoll.unregister(number)

    def _run(self) -> None:
        while True:
            for number, _ in self._epoll.poll():
                with self._lock:
                    client, on_left = self._callbacks.get(number, (None, None))
                    # The number may already belong to another connection than the one that the event was about.
                    if client is not None and on_left is not None and _has_left(number):
                        on_left()


def _has_left(number: int) -> bool:
    poll = select.poll()
    poll.register(number, select.POLLRDHUP)
    return any(events & _LEFT for _, events in poll.poll(0))
