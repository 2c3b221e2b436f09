"""The versions of a model: uploading another, listing, downloading, deleting."""

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from maas.application.actor import Actor
from maas.application.catalog.packing import packed
from maas.application.catalog.removal import remove_version
from maas.application.catalog.version_uploads import Draft, Drafting, VersionUploads, new_version
from maas.application.downloads import Download, Piece, sha256_of
from maas.application.ports.clock import Clock
from maas.application.ports.file_store import FileStore
from maas.application.ports.incoming_form import IncomingForm
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.application.visibility import require_owner
from maas.domain.catalog.model import Model, ModelVersion, VersionStatus, is_version
from maas.domain.errors import NotFound
from maas.domain.paging import Page, PageRequest

_TAR = ".tar"
_MEDIA_TYPES = {".zip": "application/zip", ".tar": "application/x-tar", ".tar.gz": "application/gzip"}


class ModelVersions:
    """What people do with the versions of a model."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, file_store: FileStore, uploads: VersionUploads, clock: Clock) -> None:
        self.unit_of_work = unit_of_work
        self.file_store = file_store
        self.uploads = uploads
        self.clock = clock

    def upload(self, actor: Actor, model_id: UUID, form: IncomingForm) -> ModelVersion:
        """Add a version of the form's files, or from its source. Weights that come alone take the configuration and the
        tokenizer of the version before."""
        with self.unit_of_work(read_only=True) as work:
            model = work.models.get(model_id, visible_to=actor)
        require_owner(actor, model)
        drafting = Drafting(make=lambda fields: self._draft(model, fields), needed=frozenset({"version"}))
        return self.uploads.take(actor, form, drafting).version

    def _draft(self, model: Model, fields: Mapping[str, Any]) -> Draft:
        version = new_version(model, fields["version"], description=fields.get("description"), at=self.clock.now())
        return Draft(model=model, version=version, is_new_model=False)

    def page(self, actor: Actor, model_id: UUID, page: PageRequest, status: VersionStatus | None = None) -> Page[ModelVersion]:
        with self.unit_of_work(read_only=True) as work:
            work.models.get(model_id, visible_to=actor)
            return work.model_versions.page(page, model_id=model_id, status=status)

    def get(self, actor: Actor, model_id: UUID, version: str) -> ModelVersion:
        with self.unit_of_work(read_only=True) as work:
            work.models.get(model_id, visible_to=actor)
            return _found(work, model_id, version)

    def delete(self, actor: Actor, model_id: UUID, version: str) -> None:
        """Remove a version and its files; refused while something uses it."""
        with self.unit_of_work() as work:
            model = work.models.get(model_id, visible_to=actor, for_update=True)
            require_owner(actor, model)
            remove_version(work, model, _found(work, model_id, version))
            model.updated_at = self.clock.now()

    def download(self, actor: Actor, model_id: UUID, version: str) -> Download:
        """Return the uploaded archive, or one of all files. It counts once its last byte was sent."""
        with self.unit_of_work(read_only=True) as work:
            model = work.models.get(model_id, visible_to=actor)
            found = _found(work, model_id, version)
        found.require_ready()
        pieces = self._pieces(found)
        ending = _ending(found)
        return Download(
            file_name=f"{model.name}-{found.version}{ending}",
            media_type=_MEDIA_TYPES[ending],
            sha256=found.sha256 or self._digest(found, pieces),
            pieces=pieces,
            count=partial(self._count, model_id),
        )

    def _pieces(self, version: ModelVersion) -> list[Piece]:
        if version.archive_key is not None:
            return [Piece.of_file(self.file_store.local_copy(version.archive_key), version.file_size)]
        return packed(self.file_store.local_copy(version.files_key), version.files)

    def _digest(self, version: ModelVersion, pieces: list[Piece]) -> str:
        """Read the whole download once, and keep its digest."""
        digest = sha256_of(pieces)
        with self.unit_of_work() as work:
            kept = work.model_versions.find(version.id, for_update=True)
            if kept is not None:
                kept.sha256 = digest
        return digest

    def _count(self, model_id: UUID) -> None:
        with self.unit_of_work() as work:
            work.models.count_download(model_id)


def _found(work: UnitOfWork, model_id: UUID, version: str) -> ModelVersion:
    """Return a version, or raise NotFound, also for what no version is called and no database could look for."""
    if not is_version(version):
        raise NotFound
    return work.model_versions.get(model_id, version)


def _ending(version: ModelVersion) -> str:
    return _TAR if version.archive_name is None else version.archive_name.removeprefix("archive")
