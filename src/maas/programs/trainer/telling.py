"""What a run tells its parent while it works, and how often."""

import time
from collections.abc import Callable
from typing import Protocol

PROGRESS_INTERVAL_SECONDS = 0.5


class Reports(Protocol):
    """Where reports go: `child.Child`, or a list in a test."""

    def report(self, kind: str, **fields: object) -> None: ...


class Progress:
    """Tells the share of steps done, twice a second at most, and foretells the end from the pace so far."""

    def __init__(self, reports: Reports, total_steps: int, done: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._reports = reports
        self._total = total_steps
        self._first = done
        self._clock = clock
        self._started = clock()
        self._told = float("-inf")

    def tell(self, step: int) -> None:
        now = self._clock()
        if now - self._told < PROGRESS_INTERVAL_SECONDS and step < self._total:
            return
        self._told = now
        made = step - self._first
        eta = (now - self._started) / made * (self._total - step) if made else None
        self._reports.report("progress", step=step, total_steps=self._total, eta_seconds=None if eta is None else round(eta, 1))


class Pace:
    """Counts useful tokens against the time spent on learning them."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._tokens = 0
        self._seconds = 0.0
        self._began = 0.0

    def begin(self) -> None:
        self._began = self._clock()

    def end(self, tokens: int) -> None:
        self._seconds += self._clock() - self._began
        self._tokens += tokens

    def take(self) -> float:
        """Return tokens per second since the last call."""
        pace = self._tokens / self._seconds if self._seconds else 0.0
        self._tokens, self._seconds = 0, 0.0
        return round(pace, 1)
