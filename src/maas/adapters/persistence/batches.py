"""Batches in SQL."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, true
from sqlalchemy.sql.elements import ColumnElement

from maas.adapters.persistence.aggregates import AggregateMapping, AggregateStore
from maas.adapters.persistence.tables.batches import batch_parts, batches
from maas.application.actor import Actor
from maas.application.ports.repositories.batches import Batches, BatchFilter
from maas.domain.inference.batch import Batch, BatchChange, BatchPart, BatchStatus
from maas.domain.paging import Page, PageRequest


def _value(member: Any) -> Any:
    return member.value


def _dump_changes(changes: Sequence[BatchChange]) -> list[dict[str, Any]]:
    return [{**asdict(change), "at": change.at.isoformat()} for change in changes]


def _load_changes(rows: Sequence[dict[str, Any]]) -> list[BatchChange]:
    return [
        BatchChange(
            before=None if row["before"] is None else BatchStatus(row["before"]),
            after=BatchStatus(row["after"]),
            reason=row["reason"],
            at=datetime.fromisoformat(row["at"]),
        )
        for row in rows
    ]


_BATCHES = AggregateMapping(
    batches,
    Batch,
    dump={"status": _value, "changes": _dump_changes},
    load={"status": BatchStatus, "changes": _load_changes},
)


class SqlBatches(Batches):
    """Batches in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.store = AggregateStore(connection, _BATCHES)

    def add(self, batch: Batch) -> None:
        self.store.add(batch)

    def get(self, batch_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Batch:
        return self.store.get(batches.c.id == batch_id, _owned_by(visible_to), for_update=for_update)

    def find(self, batch_id: UUID, *, for_update: bool = False) -> Batch | None:
        return self.store.find(batches.c.id == batch_id, for_update=for_update)

    def page(self, request: PageRequest, *, visible_to: Actor, only: BatchFilter) -> Page[Batch]:
        wanted = [batches.c[name] == value for name, value in vars(only).items() if value is not None]
        return self.store.page(request, _owned_by(visible_to), *wanted, search_in=("name",))

    def add_part(self, part: BatchPart) -> None:
        self._connection.execute(batch_parts.insert().values(asdict(part)))

    def parts(self, batch_id: UUID) -> Sequence[BatchPart]:
        statement = select(batch_parts).where(batch_parts.c.batch_id == batch_id).order_by(batch_parts.c.number)
        return [BatchPart(**row) for row in self._connection.execute(statement).mappings()]

    def roots(self) -> Collection[str]:
        keys = (batches.c.files_key, batch_parts.c.files_key)
        return {key for column in keys for key in self._connection.execute(select(column)).scalars()}


def _owned_by(actor: Actor) -> ColumnElement[bool]:
    return true() if actor.is_admin else batches.c.owner_id == actor.user_id
