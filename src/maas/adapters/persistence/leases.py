"""Leased work in SQL: every write names the attempt that it belongs to, so that a lost lease writes nothing."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, and_, or_, select
from sqlalchemy.sql.elements import ColumnElement

from maas.adapters.persistence.tables.work import work_items
from maas.application.ports.repositories.leases import Leases
from maas.application.reactions import WORK_TOPIC
from maas.domain.identifiers import new_id
from maas.domain.leases import Lease, WorkItem, WorkStatus, backoff

_ITEM = work_items.c


class SqlLeases(Leases):
    """Leased work in SQL. `announce` wakes workers when work is offered."""

    def __init__(self, connection: Connection, announce: Callable[[str], None]) -> None:
        self._connection = connection
        self._announce = announce

    def offer(
        self,
        kind: str,
        subject_id: UUID,
        *,
        at: datetime,
        payload: dict[str, object] | None = None,
        max_failures: int = 10,
    ) -> UUID:
        work_id = new_id()
        self._connection.execute(
            work_items.insert().values(
                id=work_id,
                kind=kind,
                subject_id=subject_id,
                payload=payload or {},
                status=WorkStatus.WAITING.value,
                attempt=0,
                failures=0,
                max_failures=max_failures,
                due_at=at,
                created_at=at,
            )
        )
        self._announce(WORK_TOPIC)
        return work_id

    def is_due(self, kinds: Collection[str], *, at: datetime) -> bool:
        return self._connection.execute(_due(kinds, at)).first() is not None

    def claim(self, kinds: Collection[str], *, worker: str, at: datetime, duration: timedelta) -> Lease | None:
        row = self._connection.execute(_due(kinds, at).with_for_update(skip_locked=True)).first()
        return None if row is None else self._take(row, worker=worker, at=at, until=at + duration)

    def _take(self, row: Row[Any], *, worker: str, at: datetime, until: datetime) -> Lease:
        failures = row.failures + (row.status == WorkStatus.LEASED.value)
        lease = Lease(
            work_id=row.id,
            kind=row.kind,
            subject_id=row.subject_id,
            payload=row.payload,
            attempt=row.attempt + 1,
            failures=failures,
            until=until,
        )
        self._connection.execute(
            work_items.update()
            .where(_ITEM.id == row.id)
            .values(
                status=WorkStatus.LEASED.value,
                attempt=lease.attempt,
                failures=failures,
                worker=worker,
                lease_until=until,
            )
        )
        return lease

    def renew(self, lease: Lease, *, at: datetime, duration: timedelta) -> bool:
        return self._write(lease, lease_until=at + duration)

    def holds(self, lease: Lease) -> bool:
        statement = select(_ITEM.id).where(*_held(lease)).with_for_update()
        return self._connection.execute(statement).first() is not None

    def finish(self, lease: Lease) -> bool:
        result = self._connection.execute(work_items.delete().where(*_held(lease)))
        return result.rowcount == 1

    def give_back(self, lease: Lease, *, at: datetime) -> bool:
        given = self._write(lease, status=WorkStatus.WAITING.value, lease_until=None, due_at=at)
        self._announce(WORK_TOPIC)
        return given

    def fail(self, lease: Lease, *, reason: str, at: datetime) -> bool:
        failures = lease.failures + 1
        row = self._connection.execute(select(_ITEM.max_failures).where(*_held(lease)).with_for_update()).first()
        if row is None:
            return False
        if failures >= row.max_failures:
            return self._write(lease, status=WorkStatus.FAILED.value, failures=failures, reason=reason, lease_until=None)
        self._write(
            lease,
            status=WorkStatus.WAITING.value,
            failures=failures,
            reason=reason,
            lease_until=None,
            due_at=at + backoff(failures),
        )
        return False

    def withdraw(self, subject_id: UUID, *, kinds: Collection[str]) -> None:
        self._connection.execute(
            work_items.delete().where(
                _ITEM.subject_id == subject_id,
                _ITEM.kind.in_(list(kinds)),
                _ITEM.status.in_([WorkStatus.WAITING.value, WorkStatus.LEASED.value]),
            )
        )

    def exhausted(self, *, at: datetime) -> Sequence[WorkItem]:
        used_up = and_(_ITEM.status == WorkStatus.LEASED.value, _ITEM.lease_until < at, _ITEM.failures + 1 >= _ITEM.max_failures)
        return self._items(used_up)

    def close_failed(self, work_id: UUID, *, reason: str) -> None:
        self._connection.execute(
            work_items.update().where(_ITEM.id == work_id).values(status=WorkStatus.FAILED.value, reason=reason, lease_until=None)
        )

    def of_subject(self, subject_id: UUID) -> Sequence[WorkItem]:
        return self._items(_ITEM.subject_id == subject_id)

    def _items(self, condition: ColumnElement[bool]) -> list[WorkItem]:
        rows = self._connection.execute(select(work_items).where(condition).order_by(_ITEM.id))
        return [WorkItem(**{**row._mapping, "status": WorkStatus(row.status)}) for row in rows]  # noqa: SLF001 - public

    def _write(self, lease: Lease, **values: object) -> bool:
        result = self._connection.execute(work_items.update().where(*_held(lease)).values(**values))
        return result.rowcount == 1


def _held(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    return (
        _ITEM.id == lease.work_id,
        _ITEM.attempt == lease.attempt,
        _ITEM.status == WorkStatus.LEASED.value,
    )


def _due(kinds: Collection[str], at: datetime) -> Select[Any]:
    """Select the oldest work that may be taken."""
    expired = and_(_ITEM.status == WorkStatus.LEASED.value, _ITEM.lease_until < at, _ITEM.failures + 1 < _ITEM.max_failures)
    waiting = and_(_ITEM.status == WorkStatus.WAITING.value, _ITEM.due_at <= at)
    wanted = select(work_items).where(_ITEM.kind.in_(list(kinds)), or_(waiting, expired))
    return wanted.order_by(_ITEM.due_at, _ITEM.id).limit(1)
