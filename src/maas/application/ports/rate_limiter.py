"""The port for counting what may happen so many times within a window."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_WINDOW_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, how much is left of its window, and when that ends (seconds since the epoch)."""

    allowed: bool
    remaining: int
    reset_at: float


@dataclass(frozen=True, slots=True)
class Hit:
    """Something to count under a key."""

    key: str
    limit: int
    window_seconds: float
    cost: int = 1


class RateLimiter(ABC):
    """Counts by key, exactly over all processes that share the limiter.

    A window begins with its first hit, not with the clock, and lasts `window_seconds` (a day at most); after it the key
    begins anew. What is refused is not counted.
    """

    @abstractmethod
    def hit(self, key: str, *, limit: int, window_seconds: float, cost: int = 1) -> Decision:
        """Count `cost` where the key's window has room for all of it."""

    @abstractmethod
    def hit_each(self, *hits: Hit) -> Sequence[Decision]:
        """Count several at once, each for itself: those that have room are counted, whatever becomes of the others."""

    @abstractmethod
    def peek(self, key: str, *, limit: int, window_seconds: float) -> Decision:
        """Tell what the next hit of cost 1 would meet, and count nothing."""

    @abstractmethod
    def give_back(self, key: str, decision: Decision, *, cost: int = 1) -> None:
        """Undo a hit that was allowed by `decision`; nothing happens once its window has ended."""

    @abstractmethod
    def reset(self, key: str) -> None:
        """Forget the key: its next hit begins a window."""
