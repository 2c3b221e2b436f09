"""Calls that may be repeated, in SQL."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from maas.adapters.persistence.aggregates import AggregateMapping, AggregateStore
from maas.adapters.persistence.tables.idempotency import idempotency_keys
from maas.application.ports.repositories.idempotency import IdempotentCalls
from maas.domain.idempotency import IdempotentCall

_CALLS = AggregateMapping(idempotency_keys, IdempotentCall)


class SqlIdempotentCalls(IdempotentCalls):
    """Calls under their keys, in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.store = AggregateStore(connection, _CALLS)

    def add(self, call: IdempotentCall) -> None:
        self.store.add(call)

    def find(self, user_id: UUID, key: str, *, for_update: bool = False) -> IdempotentCall | None:
        columns = idempotency_keys.c
        return self.store.find(columns.user_id == user_id, columns.key == key, for_update=for_update)

    def remove(self, call: IdempotentCall) -> None:
        self.store.remove(call)

    def remove_expired(self, *, at: datetime) -> None:
        self._connection.execute(idempotency_keys.delete().where(idempotency_keys.c.expires_at <= at))
