"""A clock that is set by hand."""

from datetime import UTC, datetime, timedelta

from maas.application.ports.clock import Clock


class ManualClock(Clock):
    """Stands still until it is moved."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, duration: timedelta) -> None:
        self._now += duration
