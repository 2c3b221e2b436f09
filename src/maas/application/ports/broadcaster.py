"""The port for hearing that something changed: a topic, and nothing but the topic."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Listener(ABC):
    """Hears of one topic. Close it, or use it as a context manager."""

    @abstractmethod
    def wait(self, timeout_seconds: float) -> bool:
        """Wait until the topic was announced since the last wait (or since the listener was made); return False at the timeout.

        Several announcements may be heard as one: read the truth after each.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop hearing; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Broadcaster(ABC):
    """Tells, across processes, that a committed unit of work announced a topic (`work.announce(topic)`)."""

    @abstractmethod
    def listen(self, topic: str) -> Listener:
        """Hear of `topic` from now on: what is committed after this returns is heard, so listen first, then read."""
