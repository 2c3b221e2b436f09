"""The port for the time of day."""

from abc import ABC, abstractmethod
from datetime import datetime


class Clock(ABC):
    """Tells the time."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the time, in UTC, with its zone."""
