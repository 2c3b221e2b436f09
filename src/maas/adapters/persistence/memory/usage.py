"""Sums of usage in dictionaries."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryStore, MemoryTable
from maas.application.ports.repositories.usage import Usage
from maas.domain.usage import DeploymentUsage, Served, UsageSums, UserDay, deployment_usage


@dataclass(eq=False, kw_only=True)
class ServedByReplica:
    """What a replica answered."""

    deployment_id: UUID
    replica_id: UUID
    served: Served = field(default_factory=Served)


@dataclass(eq=False, kw_only=True)
class JournalPosition:
    """How far a journal is in the sums."""

    name: str
    position: int = 0
    ended_at: datetime | None = None


class UsageTables:
    """The tables of usage."""

    def __init__(self) -> None:
        self.days: MemoryTable[UserDay] = MemoryTable(key=lambda day: (day.user_id, day.day))
        self.served: MemoryTable[ServedByReplica] = MemoryTable(key=lambda row: (row.deployment_id, row.replica_id))
        self.journals: MemoryTable[JournalPosition] = MemoryTable(key=lambda journal: journal.name)


class MemoryUsage(Usage):
    """Sums of usage in dictionaries."""

    def __init__(self, tables: UsageTables) -> None:
        self.days_store = MemoryStore(tables.days)
        self.served_store = MemoryStore(tables.served)
        self.journals_store = MemoryStore(tables.journals)

    def add(self, sums: UsageSums) -> None:
        for day in sums.days.values():
            self._day(day.user_id, day.day).include(day)
        for (deployment_id, replica_id), part in sums.served.items():
            self._served(deployment_id, replica_id).include(part)

    def position(self, journal: str) -> int:
        found = self.journals_store.find(lambda row: row.name == journal)
        return 0 if found is None else found.position

    def advance(self, journal: str, *, position: int, to: int) -> bool:
        if self.position(journal) != position:
            return False
        found = self.journals_store.find(lambda row: row.name == journal)
        if found is None:
            self.journals_store.add(JournalPosition(name=journal, position=to))
        else:
            found.position = to
        return True

    def end(self, journal: str, *, at: datetime) -> None:
        for row in self.journals_store.all(lambda row: row.name == journal):
            row.ended_at = at

    def forget_ended(self, *, before: datetime) -> None:
        for row in self.journals_store.all(lambda row: row.ended_at is not None and row.ended_at < before):
            self.journals_store.remove(row)

    def days_of(self, user_id: UUID, *, first: date, last: date) -> Sequence[UserDay]:
        found = self.days_store.all(lambda row: row.user_id == user_id and first <= row.day <= last)
        return sorted(found, key=lambda row: row.day)

    def of_deployment(self, deployment_id: UUID) -> DeploymentUsage:
        found = self.served_store.all(lambda row: row.deployment_id == deployment_id)
        return deployment_usage({row.replica_id: row.served for row in sorted(found, key=lambda row: row.replica_id)})

    def _day(self, user_id: UUID, day: date) -> UserDay:
        found = self.days_store.find(lambda row: (row.user_id, row.day) == (user_id, day))
        if found is None:
            found = UserDay(user_id=user_id, day=day)
            self.days_store.add(found)
        return found

    def _served(self, deployment_id: UUID, replica_id: UUID) -> Served:
        found = self.served_store.find(lambda row: (row.deployment_id, row.replica_id) == (deployment_id, replica_id))
        if found is None:
            found = ServedByReplica(deployment_id=deployment_id, replica_id=replica_id)
            self.served_store.add(found)
        return found.served
