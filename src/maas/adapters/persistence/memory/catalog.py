"""Models, their versions and likes in dictionaries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryStore, MemoryTable
from maas.application.actor import Actor
from maas.application.ports.repositories.catalog import MODEL_SORTS, VERSION_SORTS, ModelFilter, Models, ModelVersions
from maas.application.visibility import may_see
from maas.domain.catalog.model import Model, ModelVersion, VersionStatus
from maas.domain.paging import Page, PageRequest


@dataclass(eq=False, kw_only=True)
class ModelLike:
    """That a person likes a model."""

    model_id: UUID
    user_id: UUID
    liked_at: datetime


def models_table() -> MemoryTable[Model]:
    return MemoryTable(key=lambda model: model.id, unique=(lambda model: (model.owner_id, model.name),))


def model_versions_table() -> MemoryTable[ModelVersion]:
    return MemoryTable(key=lambda version: version.id, unique=(lambda version: (version.model_id, version.version),))


def model_likes_table() -> MemoryTable[ModelLike]:
    return MemoryTable(key=lambda like: (like.model_id, like.user_id))


class MemoryModels(Models):
    """Models in a dictionary."""

    def __init__(self, table: MemoryTable[Model], versions: MemoryTable[ModelVersion], likes: MemoryTable[ModelLike]) -> None:
        self.store = MemoryStore(table)
        self.likes_store = MemoryStore(likes)
        self._versions = versions

    def add(self, model: Model) -> None:
        self.store.add(model)

    def get(self, model_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Model:
        return self.store.get(lambda model: model.id == model_id and _is_seen(visible_to, model))

    def find(self, model_id: UUID, *, for_update: bool = False) -> Model | None:
        return self.store.find(lambda model: model.id == model_id)

    def find_by_name(self, name: str, *, owner_id: UUID) -> Model | None:
        return self.store.find(lambda model: model.owner_id == owner_id and model.name == name)

    def page(self, request: PageRequest, *, visible_to: Actor, only: ModelFilter) -> Page[Model]:
        return self.store.page(
            request,
            lambda model: _is_seen(visible_to, model) and self._fits(model, only),
            search_in=("name", "description"),
            sort_by=MODEL_SORTS,
        )

    def remove(self, model: Model) -> None:
        self.store.remove(model)
        for like in self.likes_store.all(lambda like: like.model_id == model.id):
            self.likes_store.remove(like)

    def count_download(self, model_id: UUID) -> None:
        model = self.find(model_id)
        if model is not None:
            model.download_count += 1

    def like(self, model_id: UUID, *, user_id: UUID, at: datetime) -> None:
        model = self.store.get(lambda model: model.id == model_id)
        if self._find_like(model_id, user_id) is None:
            self.likes_store.add(ModelLike(model_id=model_id, user_id=user_id, liked_at=at))
            model.like_count += 1

    def unlike(self, model_id: UUID, *, user_id: UUID) -> None:
        model = self.store.get(lambda model: model.id == model_id)
        like = self._find_like(model_id, user_id)
        if like is not None:
            self.likes_store.remove(like)
            model.like_count -= 1

    def _find_like(self, model_id: UUID, user_id: UUID) -> ModelLike | None:
        return self.likes_store.find(lambda like: like.model_id == model_id and like.user_id == user_id)

    def _fits(self, model: Model, only: ModelFilter) -> bool:
        wanted = {"type": only.type, "category": only.category, "visibility": only.visibility, "owner_id": only.owner_id}
        if any(value is not None and getattr(model, name) != value for name, value in wanted.items()):
            return False
        versions = (version for version in self._versions.rows.values() if version.model_id == model.id)
        return only.status is None or any(version.status is only.status for version in versions)


def _is_seen(actor: Actor, model: Model) -> bool:
    return model.reserved_by is None and may_see(actor, model)


class MemoryModelVersions(ModelVersions):
    """Versions in a dictionary."""

    def __init__(self, table: MemoryTable[ModelVersion]) -> None:
        self.store = MemoryStore(table)

    def add(self, version: ModelVersion) -> None:
        self.store.add(version)

    def get(self, model_id: UUID, version: str, *, for_update: bool = False) -> ModelVersion:
        return self.store.get(lambda found: found.model_id == model_id and found.version == version)

    def find(self, version_id: UUID, *, for_update: bool = False) -> ModelVersion | None:
        return self.store.find(lambda version: version.id == version_id)

    def of(self, model_ids: Collection[UUID]) -> Sequence[ModelVersion]:
        found = self.store.all(lambda version: version.model_id in model_ids)
        return sorted(found, key=lambda version: version.id, reverse=True)

    def page(self, request: PageRequest, *, model_id: UUID, status: VersionStatus | None = None) -> Page[ModelVersion]:
        return self.store.page(
            request,
            lambda version: version.model_id == model_id and status in (None, version.status),
            search_in=("version", "description"),
            sort_by=VERSION_SORTS,
        )

    def remove(self, version: ModelVersion) -> None:
        self.store.remove(version)

    def stored_bytes(self, owner_id: UUID) -> int:
        return sum(version.charged_bytes for version in self.store if version.owner_id == owner_id)

    def roots(self) -> Collection[str]:
        return {version.files_root for version in self.store}
