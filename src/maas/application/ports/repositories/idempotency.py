"""Where calls that may be repeated are kept."""

from abc import ABC, abstractmethod
from datetime import datetime
from uuid import UUID

from maas.domain.idempotency import IdempotentCall


class IdempotentCalls(ABC):
    """All calls under an idempotency key; a key belongs to its person."""

    @abstractmethod
    def add(self, call: IdempotentCall) -> None: ...

    @abstractmethod
    def find(self, user_id: UUID, key: str, *, for_update: bool = False) -> IdempotentCall | None: ...

    @abstractmethod
    def remove(self, call: IdempotentCall) -> None: ...

    @abstractmethod
    def remove_expired(self, *, at: datetime) -> None:
        """Drop the calls whose day is over."""
