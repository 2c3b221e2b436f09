"""Deployments, their replicas and what is told of them, in SQL."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Table, exists, func, or_, select, true
from sqlalchemy.sql.elements import ColumnElement

from maas.adapters.persistence.aggregates import AggregateMapping, AggregateStore
from maas.adapters.persistence.tables.serving import deployment_changes, deployment_log, deployments, replicas
from maas.application.actor import Actor
from maas.application.ports.repositories.serving import DeploymentFilter, DeploymentLog, Deployments, Replicas
from maas.domain.identifiers import new_id
from maas.domain.paging import Page, PageRequest
from maas.domain.serving.autoscaling import AutoScaling
from maas.domain.serving.deployment import ENDED, Deployment, DeploymentStatus, Intent, StatusChange
from maas.domain.serving.hardware import HardwareSpec
from maas.domain.serving.log import MOST_LINES, DeploymentLine, LineLevel
from maas.domain.serving.replica import Replica
from maas.domain.serving.served import Revision, ServedModel


def _value(member: Any) -> Any:
    return member.value


def _dump_revision(revision: Revision) -> dict[str, Any]:
    model = {name: str(value) if isinstance(value, UUID) else value for name, value in asdict(revision.model).items()}
    return {"number": revision.number, "model": model, "hardware": asdict(revision.hardware)}


def _load_revision(row: dict[str, Any]) -> Revision:
    model, base = row["model"], row["model"]["base_model_id"]
    ids = {"model_id": UUID(model["model_id"]), "base_model_id": None if base is None else UUID(base)}
    return Revision(number=row["number"], model=ServedModel(**{**model, **ids}), hardware=HardwareSpec(**row["hardware"]))


_DEPLOYMENTS = AggregateMapping(
    deployments,
    Deployment,
    dump={
        "status": _value,
        "intent": _value,
        "hardware_spec": asdict,
        "auto_scaling": asdict,
        "current": _dump_revision,
        "settled": _dump_revision,
    },
    load={
        "status": DeploymentStatus,
        "intent": Intent,
        "hardware_spec": lambda row: HardwareSpec(**row),
        "auto_scaling": lambda row: AutoScaling(**row),
        "current": _load_revision,
        "settled": _load_revision,
    },
)
_REPLICAS = AggregateMapping(replicas, Replica, dump={"status": _value}, load={"status": DeploymentStatus})
_ENDED = tuple(sorted(status.value for status in ENDED))


class _Moving(Protocol):
    @property
    def changes(self) -> list[StatusChange]: ...


M = TypeVar("M", bound=_Moving)


class _MovingStore(AggregateStore[M]):
    """Stores the moves of its aggregates with them."""

    def flush(self) -> None:
        super().flush()
        if self._read_only:
            return
        for aggregate, row in self._tracked.values():
            whose = _change_keys(self.table, row)
            moves = [{"id": new_id(), **whose, **_change_row(change)} for change in aggregate.changes]
            aggregate.changes.clear()
            if moves:
                self._connection.execute(deployment_changes.insert(), moves)


def _change_keys(table: Table, row: dict[str, Any]) -> dict[str, UUID | None]:
    if table is deployments:
        return {"deployment_id": row["id"], "replica_id": None}
    return {"deployment_id": row["deployment_id"], "replica_id": row["id"]}


def _change_row(change: StatusChange) -> dict[str, Any]:
    before = None if change.before is None else change.before.value
    return {**vars(change), "before": before, "after": change.after.value}


class SqlDeployments(Deployments):
    """Deployments in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.store: _MovingStore[Deployment] = _MovingStore(connection, _DEPLOYMENTS)

    def add(self, deployment: Deployment) -> None:
        self.store.add(deployment)

    def get(self, deployment_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Deployment:
        return self.store.get(deployments.c.id == deployment_id, _owned_by(visible_to), for_update=for_update)

    def find(self, deployment_id: UUID, *, for_update: bool = False) -> Deployment | None:
        return self.store.find(deployments.c.id == deployment_id, for_update=for_update)

    def find_by_name(self, name: str, *, owner_id: UUID) -> Deployment | None:
        return self.store.find(deployments.c.owner_id == owner_id, deployments.c.name_key == name)

    def page(self, request: PageRequest, *, visible_to: Actor, only: DeploymentFilter) -> Page[Deployment]:
        wanted = {name: value for name, value in vars(only).items() if value is not None}
        conditions = [deployments.c[name] == value for name, value in wanted.items()]
        return self.store.page(request, _owned_by(visible_to), *conditions, search_in=("name", "description"))

    def remove(self, deployment: Deployment) -> None:
        self.store.remove(deployment)

    def count_live(self, owner_id: UUID) -> int:
        live = select(func.count()).where(deployments.c.owner_id == owner_id, deployments.c.status.not_in(_ENDED))
        return int(self._connection.execute(live).scalar_one())

    def attended(self) -> Sequence[Deployment]:
        unfinished = replicas.c.status.not_in(_ENDED)
        has_replicas = exists().where(replicas.c.deployment_id == deployments.c.id, unfinished)
        is_deleted = deployments.c.intent == Intent.DELETE.value
        statement = select(deployments).where(or_(deployments.c.status.not_in(_ENDED), is_deleted, has_replicas))
        return self.store.all(statement.order_by(deployments.c.id))

    def uses_model(self, model_id: UUID, version: str | None = None) -> bool:
        live = self.store.all(select(deployments).where(deployments.c.status.not_in(_ENDED)))
        return any(deployment.uses_model(model_id, version) for deployment in live)

    def changes(self, deployment_id: UUID, *, replica_id: UUID | None = None) -> Sequence[StatusChange]:
        self.store.flush()
        columns = deployment_changes.c
        whose = (columns.deployment_id == deployment_id, columns.replica_id.is_not_distinct_from(replica_id))
        rows = self._connection.execute(select(deployment_changes).where(*whose).order_by(columns.id))
        return [
            StatusChange(
                before=None if row.before is None else DeploymentStatus(row.before),
                after=DeploymentStatus(row.after),
                run=row.run,
                reason=row.reason,
                at=row.at,
            )
            for row in rows
        ]


class SqlReplicas(Replicas):
    """Replicas in SQL."""

    def __init__(self, connection: Connection) -> None:
        self.store: _MovingStore[Replica] = _MovingStore(connection, _REPLICAS)

    def add(self, replica: Replica) -> None:
        self.store.add(replica)

    def of(self, deployment_id: UUID) -> Sequence[Replica]:
        statement = select(replicas).where(replicas.c.deployment_id == deployment_id)
        return self.store.all(statement.order_by(replicas.c.id))

    def all(self) -> Sequence[Replica]:
        return self.store.all(select(replicas).order_by(replicas.c.id))

    def remove(self, replica: Replica) -> None:
        self.store.flush()
        self.store.remove(replica)


class SqlDeploymentLog(DeploymentLog):
    """Lines about deployments in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, *lines: DeploymentLine) -> None:
        if not lines:
            return
        self._connection.execute(deployment_log.insert(), [{**vars(line), "level": line.level.value} for line in lines])
        for deployment_id in {line.deployment_id for line in lines}:
            self._drop_old(deployment_id)

    def page(self, deployment_id: UUID, *, number: int, limit: int, level: LineLevel | None = None) -> Page[DeploymentLine]:
        where: list[ColumnElement[bool]] = [deployment_log.c.deployment_id == deployment_id]
        if level is not None:
            where.append(deployment_log.c.level == level.value)
        total = self._connection.execute(select(func.count()).select_from(deployment_log).where(*where)).scalar_one()
        statement = select(deployment_log).where(*where).order_by(deployment_log.c.id)
        rows = self._connection.execute(statement.limit(limit).offset((number - 1) * limit))
        items = [DeploymentLine(**{**row._mapping, "level": LineLevel(row.level)}) for row in rows]  # noqa: SLF001 - public
        return Page(items=items, number=number, limit=limit, total=total)

    def _drop_old(self, deployment_id: UUID) -> None:
        mine = deployment_log.c.deployment_id == deployment_id
        newest = select(deployment_log.c.id).where(mine).order_by(deployment_log.c.id.desc())
        last_kept = self._connection.execute(newest.limit(1).offset(MOST_LINES - 1)).scalar()
        if last_kept is not None:
            self._connection.execute(deployment_log.delete().where(mine, deployment_log.c.id < last_kept))


def _owned_by(actor: Actor) -> ColumnElement[bool]:
    return true() if actor.is_admin else deployments.c.owner_id == actor.user_id
