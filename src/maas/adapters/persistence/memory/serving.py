"""Deployments, their replicas and what is told of them, in dictionaries."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryStore, MemoryTable
from maas.application.actor import Actor
from maas.application.ports.repositories.serving import DeploymentFilter, DeploymentLog, Deployments, Leaderships, Replicas
from maas.domain.paging import Page, PageRequest
from maas.domain.serving.deployment import ENDED, Deployment, Intent, StatusChange
from maas.domain.serving.log import MOST_LINES, DeploymentLine, LineLevel
from maas.domain.serving.replica import Replica


@dataclass(eq=False, kw_only=True)
class Moves:
    """The stored moves of a deployment or a replica."""

    id: UUID
    changes: list[StatusChange] = field(default_factory=list)


@dataclass(eq=False, kw_only=True)
class Leadership:
    """Who holds a role, and until when."""

    name: str
    holder: str
    until: datetime


def _name_of(deployment: Deployment) -> object:
    return None if deployment.name_key is None else (deployment.owner_id, deployment.name_key)


def deployments_table() -> MemoryTable[Deployment]:
    return MemoryTable(key=lambda deployment: deployment.id, unique=(_name_of,))


def replicas_table() -> MemoryTable[Replica]:
    return MemoryTable(key=lambda replica: replica.id)


def moves_table() -> MemoryTable[Moves]:
    return MemoryTable(key=lambda moves: moves.id)


def deployment_lines_table() -> MemoryTable[DeploymentLine]:
    return MemoryTable(key=lambda line: line.id)


def leaderships_table() -> MemoryTable[Leadership]:
    return MemoryTable(key=lambda leadership: leadership.name)


class _Moving(Protocol):
    @property
    def id(self) -> UUID: ...

    @property
    def changes(self) -> list[StatusChange]: ...


M = TypeVar("M", bound=_Moving)


class _MovingStore(MemoryStore[M]):
    """Keeps the moves of its aggregates apart from them."""

    def __init__(self, table: MemoryTable[M], moves: MemoryTable[Moves]) -> None:
        super().__init__(table)
        self._moves = moves

    def commit(self) -> None:
        for aggregate in self._touched.values():
            self.moves_of(aggregate.id).extend(aggregate.changes)
            aggregate.changes.clear()
        super().commit()

    def moves_of(self, thing_id: UUID) -> list[StatusChange]:
        return self._moves.rows.setdefault(thing_id, Moves(id=thing_id)).changes


class MemoryDeployments(Deployments):
    """Deployments in a dictionary."""

    def __init__(
        self,
        table: MemoryTable[Deployment],
        replicas: MemoryTable[Replica],
        moves: MemoryTable[Moves],
        lines: MemoryTable[DeploymentLine],
    ) -> None:
        self.store = _MovingStore(table, moves)
        self.lines_store = MemoryStore(lines)
        self._replicas = replicas

    def add(self, deployment: Deployment) -> None:
        self.store.add(deployment)

    def get(self, deployment_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Deployment:
        return self.store.get(lambda deployment: deployment.id == deployment_id and _may_see(visible_to, deployment))

    def find(self, deployment_id: UUID, *, for_update: bool = False) -> Deployment | None:
        return self.store.find(lambda deployment: deployment.id == deployment_id)

    def find_by_name(self, name: str, *, owner_id: UUID) -> Deployment | None:
        return self.store.find(lambda deployment: deployment.owner_id == owner_id and deployment.name_key == name)

    def page(self, request: PageRequest, *, visible_to: Actor, only: DeploymentFilter) -> Page[Deployment]:
        wanted = {name: value for name, value in vars(only).items() if value is not None}
        return self.store.page(
            request,
            lambda deployment: (
                _may_see(visible_to, deployment) and all(getattr(deployment, name) == value for name, value in wanted.items())
            ),
            search_in=("name", "description"),
        )

    def remove(self, deployment: Deployment) -> None:
        self.store.remove(deployment)
        self.store.moves_of(deployment.id).clear()
        for line in self.lines_store.all(lambda line: line.deployment_id == deployment.id):
            self.lines_store.remove(line)

    def count_live(self, owner_id: UUID) -> int:
        return len(self.store.all(lambda deployment: deployment.owner_id == owner_id and deployment.is_live))

    def attended(self) -> Sequence[Deployment]:
        unfinished = [replica for replica in self._replicas.rows.values() if replica.status not in ENDED]
        with_replicas = {replica.deployment_id for replica in unfinished}
        found = self.store.all(
            lambda one: one.is_live or one.intent is Intent.DELETE or one.id in with_replicas,
        )
        return sorted(found, key=lambda deployment: deployment.id)

    def uses_model(self, model_id: UUID, version: str | None = None) -> bool:
        return any(deployment.is_live and deployment.uses_model(model_id, version) for deployment in self.store)

    def changes(self, deployment_id: UUID, *, replica_id: UUID | None = None) -> Sequence[StatusChange]:
        return list(self.store.moves_of(replica_id or deployment_id))


class MemoryReplicas(Replicas):
    """Replicas in a dictionary."""

    def __init__(self, table: MemoryTable[Replica], moves: MemoryTable[Moves]) -> None:
        self.store = _MovingStore(table, moves)

    def add(self, replica: Replica) -> None:
        self.store.add(replica)

    def of(self, deployment_id: UUID) -> Sequence[Replica]:
        return sorted(self.store.all(lambda replica: replica.deployment_id == deployment_id), key=lambda replica: replica.id)

    def all(self) -> Sequence[Replica]:
        return sorted(self.store, key=lambda replica: replica.id)

    def remove(self, replica: Replica) -> None:
        self.store.moves_of(replica.id).extend(replica.changes)
        replica.changes.clear()
        self.store.remove(replica)


class MemoryDeploymentLog(DeploymentLog):
    """Lines about deployments in a dictionary."""

    def __init__(self, table: MemoryTable[DeploymentLine]) -> None:
        self.store = MemoryStore(table)

    def add(self, *lines: DeploymentLine) -> None:
        for line in lines:
            self.store.add(line)
        for deployment_id in {line.deployment_id for line in lines}:
            for old in self._of(deployment_id)[:-MOST_LINES]:
                self.store.remove(old)

    def page(self, deployment_id: UUID, *, number: int, limit: int, level: LineLevel | None = None) -> Page[DeploymentLine]:
        lines = [line for line in self._of(deployment_id) if level in (None, line.level)]
        start = (number - 1) * limit
        return Page(items=lines[start : start + limit], number=number, limit=limit, total=len(lines))

    def _of(self, deployment_id: UUID) -> list[DeploymentLine]:
        return sorted(self.store.all(lambda line: line.deployment_id == deployment_id), key=lambda line: line.id)


class MemoryLeaderships(Leaderships):
    """Roles and their holders in a dictionary."""

    def __init__(self, table: MemoryTable[Leadership]) -> None:
        self.store = MemoryStore(table)

    def holder(self, name: str, *, at: datetime) -> tuple[str, datetime] | None:
        found = self.store.find(lambda leadership: leadership.name == name and leadership.until > at)
        return None if found is None else (found.holder, found.until)

    def take(self, name: str, *, holder: str, at: datetime, duration: timedelta) -> bool:
        found = self.store.find(lambda leadership: leadership.name == name)
        if found is None:
            self.store.add(Leadership(name=name, holder=holder, until=at + duration))
            return True
        if found.holder != holder and found.until > at:
            return False
        found.holder, found.until = holder, at + duration
        return True

    def give_back(self, name: str, *, holder: str) -> None:
        found = self.store.find(lambda leadership: leadership.name == name and leadership.holder == holder)
        if found is not None:
            self.store.remove(found)


def _may_see(actor: Actor, deployment: Deployment) -> bool:
    return actor.is_admin or deployment.owner_id == actor.user_id
