"""Calls that may be repeated, in a dictionary."""

from datetime import datetime
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryStore, MemoryTable
from maas.application.ports.repositories.idempotency import IdempotentCalls
from maas.domain.idempotency import IdempotentCall


def idempotent_calls_table() -> MemoryTable[IdempotentCall]:
    return MemoryTable(key=lambda call: (call.user_id, call.key))


class MemoryIdempotentCalls(IdempotentCalls):
    """Calls under their keys, in a dictionary."""

    def __init__(self, table: MemoryTable[IdempotentCall]) -> None:
        self.store = MemoryStore(table)

    def add(self, call: IdempotentCall) -> None:
        self.store.add(call)

    def find(self, user_id: UUID, key: str, *, for_update: bool = False) -> IdempotentCall | None:
        return self.store.find(lambda call: (call.user_id, call.key) == (user_id, key))

    def remove(self, call: IdempotentCall) -> None:
        self.store.remove(call)

    def remove_expired(self, *, at: datetime) -> None:
        for call in self.store.all(lambda call: call.expires_at <= at):
            self.store.remove(call)
