"""Tasks that are done from time to time by whoever acts as the controller."""

import threading
from collections.abc import Callable, Mapping

import structlog

log = structlog.get_logger(__name__)


class Housekeeping:
    """Runs each task once in `period_seconds`; one that fails is logged, and tried again at the next turn."""

    def __init__(self, tasks: Mapping[str, Callable[[], object]], *, period_seconds: float, ending: threading.Event) -> None:
        self._tasks = tasks
        self._period_seconds = period_seconds
        self._ending = ending

    def run(self) -> None:
        while True:
            self.run_once()
            if self._ending.wait(self._period_seconds):
                return

    def run_once(self) -> None:
        for name, task in self._tasks.items():
            if self._ending.is_set():
                return
            try:
                task()
            except Exception:
                log.exception("a task of the housekeeping failed", task=name)
