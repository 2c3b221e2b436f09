"""Where models, their versions and likes are kept."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from maas.application.actor import Actor
from maas.domain.catalog.facts import ModelType
from maas.domain.catalog.model import Model, ModelVersion, VersionStatus
from maas.domain.paging import Page, PageRequest
from maas.domain.visibility import Visibility

VERSION_SORTS = ("created_at", "updated_at", "version")
MODEL_SORTS = ("created_at", "updated_at", "name", "download_count", "like_count")


@dataclass(frozen=True, kw_only=True)
class ModelFilter:
    """Which models of those that may be seen. `status` asks for models that have a version of this status."""

    type: ModelType | None = None
    category: str | None = None
    visibility: Visibility | None = None
    status: VersionStatus | None = None
    owner_id: UUID | None = None


class Models(ABC):
    """All models. Those that are merely reserved are found by `find` and `find_by_name` alone."""

    @abstractmethod
    def add(self, model: Model) -> None: ...

    @abstractmethod
    def get(self, model_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Model:
        """Return a model that `visible_to` may see, or raise NotFound."""

    @abstractmethod
    def find(self, model_id: UUID, *, for_update: bool = False) -> Model | None:
        """Find a model whoever may see it."""

    @abstractmethod
    def find_by_name(self, name: str, *, owner_id: UUID) -> Model | None: ...

    @abstractmethod
    def page(self, request: PageRequest, *, visible_to: Actor, only: ModelFilter) -> Page[Model]: ...

    @abstractmethod
    def remove(self, model: Model) -> None: ...

    @abstractmethod
    def count_download(self, model_id: UUID) -> None:
        """Add one to the count, whatever else happens to the model at the same time."""

    @abstractmethod
    def like(self, model_id: UUID, *, user_id: UUID, at: datetime) -> None:
        """Keep that a person likes a model; a second time changes nothing."""

    @abstractmethod
    def unlike(self, model_id: UUID, *, user_id: UUID) -> None: ...


class ModelVersions(ABC):
    """All versions of all models."""

    @abstractmethod
    def add(self, version: ModelVersion) -> None: ...

    @abstractmethod
    def get(self, model_id: UUID, version: str, *, for_update: bool = False) -> ModelVersion: ...

    @abstractmethod
    def find(self, version_id: UUID, *, for_update: bool = False) -> ModelVersion | None: ...

    @abstractmethod
    def of(self, model_ids: Collection[UUID]) -> Sequence[ModelVersion]:
        """Return the versions of these models, newest first."""

    @abstractmethod
    def page(self, request: PageRequest, *, model_id: UUID, status: VersionStatus | None = None) -> Page[ModelVersion]:
        """Return a page of a model's versions; they sort by `version` too, and are searched in version and description."""

    @abstractmethod
    def remove(self, version: ModelVersion) -> None: ...

    @abstractmethod
    def stored_bytes(self, owner_id: UUID) -> int:
        """Return the sum of `charged_bytes` over the versions of an owner."""

    @abstractmethod
    def roots(self) -> Collection[str]:
        """Return the roots of all trees in the file store that a version has."""
