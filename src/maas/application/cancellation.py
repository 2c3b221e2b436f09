"""Telling work under way that nobody waits for it any more."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cancellation:
    """Turns once, from any thread; what runs on its behalf is told at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """Cancel; does not block, and may be called again."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            for stop in self._listeners:
                stop()

    @contextmanager
    def telling(self, stop: Callable[[], None]) -> Iterator[None]:
        """Have `stop` called by the thread that cancels within the block, and never after it; it must not block or raise.

        Where it was cancelled before, `stop` is called right away.
        """
        with self._lock:
            if self._cancelled:
                stop()
            self._listeners.append(stop)
        try:
            yield
        finally:
            # The lock makes an exit wait for a call of `stop` that is under way.
            with self._lock:
                self._listeners.remove(stop)
