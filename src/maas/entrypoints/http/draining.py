"""The end of a process that serves: no new work, and some time for the work that runs."""

import threading
import time

PATIENCE_SECONDS = 20.0


class Draining:
    """Whether this process is about to end. Streams may go on until `is_over`, then they must end by themselves."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._begun = threading.Event()
        self._deadline = float("inf")

    def begin(self) -> None:
        """Begin to end; safe within a signal handler, and may be called again."""
        if not self._begun.is_set():
            self._deadline = time.monotonic() + self._patience_seconds
            self._begun.set()

    @property
    def has_begun(self) -> bool:
        return self._begun.is_set()

    @property
    def is_over(self) -> bool:
        return self._begun.is_set() and time.monotonic() >= self._deadline
