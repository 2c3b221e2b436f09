"""What is shown of a model: the model, its owner, and its versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from maas.application.actor import Actor
from maas.application.ports.repositories.owners import Owner
from maas.application.ports.unit_of_work import UnitOfWork
from maas.domain.catalog.model import Model, ModelVersion, VersionStatus, latest_ready


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """A model as it is shown. `versions` are newest first."""

    model: Model
    owner: Owner
    versions: Sequence[ModelVersion] = field(default_factory=tuple)

    @property
    def latest_version(self) -> str | None:
        latest = latest_ready(self.versions)
        return None if latest is None else latest.version

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the files of the newest usable version say."""
        latest = latest_ready(self.versions)
        return {} if latest is None else latest.metadata

    @property
    def status(self) -> VersionStatus | None:
        """Ready where any version is; else where the newest stands."""
        if latest_ready(self.versions) is not None:
            return VersionStatus.READY
        return self.versions[0].status if self.versions else None

    @property
    def reason(self) -> str | None:
        """Why the model cannot be used, where its newest version failed and none is ready."""
        return self.versions[0].reason if self.status is VersionStatus.FAILED else None


def entries_of(work: UnitOfWork, models: Sequence[Model]) -> list[CatalogEntry]:
    """Return models as they are shown, with two queries for all of them."""
    owners = work.owners.of({model.owner_id for model in models})
    by_model: dict[UUID, list[ModelVersion]] = {}
    for version in work.model_versions.of([model.id for model in models]):
        by_model.setdefault(version.model_id, []).append(version)
    return [CatalogEntry(model=model, owner=owners[model.owner_id], versions=by_model.get(model.id, ())) for model in models]


def entry_of(work: UnitOfWork, model: Model) -> CatalogEntry:
    return entries_of(work, [model])[0]


def seen_entry(work: UnitOfWork, actor: Actor, model_id: UUID) -> CatalogEntry:
    """Return a model that `actor` may see, or raise NotFound."""
    return entry_of(work, work.models.get(model_id, visible_to=actor))
