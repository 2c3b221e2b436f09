"""The computer's clock."""

from datetime import UTC, datetime

from maas.application.ports.clock import Clock


class SystemClock(Clock):
    """Tells the computer's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)
