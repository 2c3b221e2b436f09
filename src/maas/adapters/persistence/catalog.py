"""Models, their versions and likes in SQL."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from maas.adapters.persistence.aggregates import AggregateMapping, AggregateStore
from maas.adapters.persistence.tables.catalog import model_likes, model_versions, models
from maas.adapters.persistence.visibility import seen_by
from maas.application.actor import Actor
from maas.application.ports.repositories.catalog import MODEL_SORTS, VERSION_SORTS, ModelFilter, Models, ModelVersions
from maas.domain.catalog.facts import ModelType
from maas.domain.catalog.model import Lineage, Model, ModelVersion, VersionStatus
from maas.domain.paging import Page, PageRequest
from maas.domain.visibility import Visibility


def _value(member: Any) -> Any:
    return member.value


def _dump_lineage(lineage: Lineage) -> dict[str, str | None]:
    return {name: None if value is None else str(value) for name, value in vars(lineage).items()}


def _load_lineage(row: dict[str, str | None]) -> Lineage:
    return Lineage(**{name: None if value is None else UUID(value) for name, value in row.items()})


_MODELS = AggregateMapping(
    models,
    Model,
    dump={"type": _value, "visibility": _value, "lineage": _dump_lineage},
    load={"type": ModelType, "visibility": Visibility, "lineage": _load_lineage},
)
_VERSIONS = AggregateMapping(model_versions, ModelVersion, dump={"status": _value}, load={"status": VersionStatus})


class SqlModels(Models):
    """Models in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.store = AggregateStore(connection, _MODELS)

    def add(self, model: Model) -> None:
        self.store.add(model)

    def get(self, model_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Model:
        return self.store.get(models.c.id == model_id, *_seen_by(visible_to), for_update=for_update)

    def find(self, model_id: UUID, *, for_update: bool = False) -> Model | None:
        return self.store.find(models.c.id == model_id, for_update=for_update)

    def find_by_name(self, name: str, *, owner_id: UUID) -> Model | None:
        return self.store.find(models.c.owner_id == owner_id, models.c.name == name)

    def page(self, request: PageRequest, *, visible_to: Actor, only: ModelFilter) -> Page[Model]:
        conditions = [*_seen_by(visible_to), *_conditions(only)]
        return self.store.page(request, *conditions, search_in=("name", "description"), sort_by=MODEL_SORTS)

    def remove(self, model: Model) -> None:
        self.store.remove(model)

    def count_download(self, model_id: UUID) -> None:
        statement = models.update().where(models.c.id == model_id)
        self._connection.execute(statement.values(download_count=models.c.download_count + 1))

    def like(self, model_id: UUID, *, user_id: UUID, at: datetime) -> None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        row = dialect.insert(model_likes).values(model_id=model_id, user_id=user_id, liked_at=at).on_conflict_do_nothing()
        # Not every driver tells how many rows an insert has made.
        self._count_likes(model_id, len(self._connection.execute(row.returning(model_likes.c.model_id)).all()))

    def unlike(self, model_id: UUID, *, user_id: UUID) -> None:
        is_it = (model_likes.c.model_id == model_id) & (model_likes.c.user_id == user_id)
        self._count_likes(model_id, -self._connection.execute(model_likes.delete().where(is_it)).rowcount)

    def _count_likes(self, model_id: UUID, change: int) -> None:
        if change:
            statement = models.update().where(models.c.id == model_id)
            self._connection.execute(statement.values(like_count=models.c.like_count + change))


def _seen_by(actor: Actor) -> list[ColumnElement[bool]]:
    return [models.c.reserved_by.is_(None), seen_by(models, actor)]


def _conditions(only: ModelFilter) -> list[ColumnElement[bool]]:
    wanted = {"type": only.type, "category": only.category, "visibility": only.visibility, "owner_id": only.owner_id}
    conditions = [models.c[name] == value for name, value in wanted.items() if value is not None]
    if only.status is not None:
        fits = (model_versions.c.model_id == models.c.id) & (model_versions.c.status == only.status.value)
        conditions.append(exists().where(fits))
    return conditions


class SqlModelVersions(ModelVersions):
    """Versions in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.store = AggregateStore(connection, _VERSIONS)

    def add(self, version: ModelVersion) -> None:
        self.store.add(version)

    def get(self, model_id: UUID, version: str, *, for_update: bool = False) -> ModelVersion:
        columns = model_versions.c
        return self.store.get(columns.model_id == model_id, columns.version == version, for_update=for_update)

    def find(self, version_id: UUID, *, for_update: bool = False) -> ModelVersion | None:
        return self.store.find(model_versions.c.id == version_id, for_update=for_update)

    def of(self, model_ids: Collection[UUID]) -> Sequence[ModelVersion]:
        if not model_ids:
            return []
        statement = select(model_versions).where(model_versions.c.model_id.in_(set(model_ids)))
        return self.store.all(statement.order_by(model_versions.c.id.desc()))

    def page(self, request: PageRequest, *, model_id: UUID, status: VersionStatus | None = None) -> Page[ModelVersion]:
        columns = model_versions.c
        conditions = [columns.model_id == model_id, *([columns.status == status.value] if status is not None else ())]
        return self.store.page(request, *conditions, search_in=("version", "description"), sort_by=VERSION_SORTS)

    def remove(self, version: ModelVersion) -> None:
        self.store.remove(version)

    def stored_bytes(self, owner_id: UUID) -> int:
        total = func.coalesce(func.sum(model_versions.c.charged_bytes), 0)
        return int(self._connection.execute(select(total).where(model_versions.c.owner_id == owner_id)).scalar_one())

    def roots(self) -> Collection[str]:
        return set(self._connection.execute(select(model_versions.c.files_root)).scalars())
