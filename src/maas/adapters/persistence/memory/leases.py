"""Leased work in a dictionary."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryStore, MemoryTable
from maas.application.ports.repositories.leases import Leases
from maas.application.reactions import WORK_TOPIC
from maas.domain.identifiers import new_id
from maas.domain.leases import Lease, WorkItem, WorkStatus, backoff


def work_items_table() -> MemoryTable[WorkItem]:
    return MemoryTable(key=lambda item: item.id)


class MemoryLeases(Leases):
    """Leased work in a dictionary."""

    def __init__(self, table: MemoryTable[WorkItem], announce: Callable[[str], None]) -> None:
        self.store = MemoryStore(table)
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
        item = WorkItem(
            id=new_id(),
            kind=kind,
            subject_id=subject_id,
            payload=payload or {},
            max_failures=max_failures,
            due_at=at,
            created_at=at,
        )
        self.store.add(item)
        self._announce(WORK_TOPIC)
        return item.id

    def is_due(self, kinds: Collection[str], *, at: datetime) -> bool:
        return any(item.kind in kinds and (_waits(item, at) or _expired(item, at)) for item in self.store)

    def claim(self, kinds: Collection[str], *, worker: str, at: datetime, duration: timedelta) -> Lease | None:
        due = [item for item in self.store if item.kind in kinds and (_waits(item, at) or _expired(item, at))]
        if not due:
            return None
        item = min(due, key=lambda item: (item.due_at, item.id))
        taken = replace(
            item,
            status=WorkStatus.LEASED,
            attempt=item.attempt + 1,
            failures=item.failures + (item.status is WorkStatus.LEASED),
            worker=worker,
            lease_until=at + duration,
        )
        self._put(taken)
        return Lease(
            work_id=taken.id,
            kind=taken.kind,
            subject_id=taken.subject_id,
            payload=taken.payload,
            attempt=taken.attempt,
            failures=taken.failures,
            until=at + duration,
        )

    def renew(self, lease: Lease, *, at: datetime, duration: timedelta) -> bool:
        return self._change(lease, lease_until=at + duration)

    def holds(self, lease: Lease) -> bool:
        return self._held(lease) is not None

    def finish(self, lease: Lease) -> bool:
        item = self._held(lease)
        if item is not None:
            self.store.remove(item)
        return item is not None

    def give_back(self, lease: Lease, *, at: datetime) -> bool:
        self._announce(WORK_TOPIC)
        return self._change(lease, status=WorkStatus.WAITING, lease_until=None, due_at=at)

    def fail(self, lease: Lease, *, reason: str, at: datetime) -> bool:
        item = self._held(lease)
        if item is None:
            return False
        failures = lease.failures + 1
        if failures >= item.max_failures:
            return self._change(lease, status=WorkStatus.FAILED, failures=failures, reason=reason, lease_until=None)
        self._change(
            lease,
            status=WorkStatus.WAITING,
            failures=failures,
            reason=reason,
            lease_until=None,
            due_at=at + backoff(failures),
        )
        return False

    def withdraw(self, subject_id: UUID, *, kinds: Collection[str]) -> None:
        for item in self.store.all(lambda item: item.subject_id == subject_id and item.kind in kinds):
            if item.status is not WorkStatus.FAILED:
                self.store.remove(item)

    def exhausted(self, *, at: datetime) -> Sequence[WorkItem]:
        return self.store.all(
            lambda item: (
                item.status is WorkStatus.LEASED
                and item.lease_until is not None
                and item.lease_until < at
                and item.failures + 1 >= item.max_failures
            )
        )

    def close_failed(self, work_id: UUID, *, reason: str) -> None:
        item = self.store.get(lambda item: item.id == work_id)
        self._put(replace(item, status=WorkStatus.FAILED, reason=reason, lease_until=None))

    def of_subject(self, subject_id: UUID) -> Sequence[WorkItem]:
        return sorted(self.store.all(lambda item: item.subject_id == subject_id), key=lambda item: item.id)

    def _held(self, lease: Lease) -> WorkItem | None:
        return self.store.find(
            lambda item: item.id == lease.work_id and item.attempt == lease.attempt and item.status is WorkStatus.LEASED
        )

    def _change(self, lease: Lease, **changes: object) -> bool:
        item = self._held(lease)
        if item is not None:
            self._put(replace(item, **changes))  # type: ignore[arg-type]
        return item is not None

    def _put(self, item: WorkItem) -> None:
        self.store.remove(item)
        self.store.add(item)


def _waits(item: WorkItem, at: datetime) -> bool:
    return item.status is WorkStatus.WAITING and item.due_at <= at


def _expired(item: WorkItem, at: datetime) -> bool:
    return (
        item.status is WorkStatus.LEASED
        and item.lease_until is not None
        and item.lease_until < at
        and item.failures + 1 < item.max_failures
    )
