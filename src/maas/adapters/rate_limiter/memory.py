"""A rate limiter in a dictionary, for one process."""

import threading
from collections.abc import Sequence

from maas.application.ports.clock import Clock
from maas.application.ports.rate_limiter import Decision, Hit, RateLimiter

_SWEPT_EVERY = 1000


class MemoryRateLimiter(RateLimiter):
    """Counts in this process alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}
        self._hits = 0

    def hit(self, key: str, *, limit: int, window_seconds: float, cost: int = 1) -> Decision:
        return self.hit_each(Hit(key, limit, window_seconds, cost))[0]

    def hit_each(self, *hits: Hit) -> Sequence[Decision]:
        with self._lock:
            self._sweep()
            return [self._count(hit) for hit in hits]

    def _count(self, hit: Hit) -> Decision:
        ends_at, count = self._window(hit.key, hit.window_seconds)
        allowed = count + hit.cost <= hit.limit
        if allowed:
            count += hit.cost
            self._windows[hit.key] = (ends_at, count)
        return Decision(allowed, max(0, hit.limit - count), ends_at)

    def peek(self, key: str, *, limit: int, window_seconds: float) -> Decision:
        with self._lock:
            ends_at, count = self._window(key, window_seconds)
            return Decision(count < limit, max(0, limit - count), ends_at)

    def give_back(self, key: str, decision: Decision, *, cost: int = 1) -> None:
        with self._lock:
            ends_at, count = self._windows.get(key, (0.0, 0))
            if ends_at == decision.reset_at:
                self._windows[key] = (ends_at, max(0, count - cost))

    def reset(self, key: str) -> None:
        with self._lock:
            self._windows.pop(key, None)

    def _window(self, key: str, window_seconds: float) -> tuple[float, int]:
        """Return when the key's window ends and what it has counted; a new one where none runs."""
        now = self._clock.now().timestamp()
        ends_at, count = self._windows.get(key, (0.0, 0))
        return (ends_at, count) if now < ends_at else (now + window_seconds, 0)

    def _sweep(self) -> None:
        self._hits += 1
        if self._hits % _SWEPT_EVERY == 0:
            now = self._clock.now().timestamp()
            self._windows = {key: window for key, window in self._windows.items() if now < window[0]}
