"""Takes a form in, and adds the version that it brings to a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from maas.application.actor import Actor
from maas.application.catalog.arrivals import MODEL_FILE, Arrivals, Arrived
from maas.application.catalog.sources import ImportSources
from maas.application.ports.clock import Clock
from maas.application.ports.file_store import FileStore, Staging
from maas.application.ports.incoming_form import IncomingForm
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.application.stored_trees import committed
from maas.application.usage.limits import Limits, UploadSlot
from maas.domain.catalog.model import Model, ModelVersion, latest_ready
from maas.domain.catalog.source import Source
from maas.domain.errors import AlreadyExists, MissingValue, NotFound, WrongForm
from maas.domain.identifiers import new_id

IMPORT_KIND = "import_model"
_MOST_FAILURES = 5


def new_version(model: Model, version: str, *, description: str | None = None, at: datetime) -> ModelVersion:
    """Return a version whose files are still to come."""
    version_id = new_id()
    return ModelVersion(
        id=version_id,
        model_id=model.id,
        owner_id=model.owner_id,
        version=version,
        description=description,
        files_root=f"models/{version_id}",
        created_at=at,
        updated_at=at,
    )


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A version that is about to be added, to a model that may be new."""

    model: Model
    version: ModelVersion
    is_new_model: bool

    def check(self, work: UnitOfWork) -> None:
        """Raise AlreadyExists where the name or the version is taken, NotFound where the model is gone."""
        if self.is_new_model:
            if work.models.find_by_name(self.model.name, owner_id=self.model.owner_id) is not None:
                raise AlreadyExists("a model of yours has this name", field="name")
        elif any(other.version == self.version.version for other in work.model_versions.of([self.model.id])):
            raise AlreadyExists("the model has this version already", field="version")

    def add(self, work: UnitOfWork) -> None:
        """Store it; see `check`."""
        if not self.is_new_model:
            model = work.models.find(self.model.id, for_update=True)
            if model is None:
                raise NotFound
            model.updated_at = self.version.created_at
        self.check(work)
        if self.is_new_model:
            work.models.add(self.model)
        work.model_versions.add(self.version)


@dataclass(frozen=True, kw_only=True)
class Drafting:
    """How the fields of a form become a draft; `needed` are those that it cannot be made without."""

    make: Callable[[Mapping[str, Any]], Draft]
    needed: frozenset[str]


class VersionUploads:
    """Uploads: of an archive, of single files, or of the name of a place that they are to be fetched from."""

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWorkFactory,
        file_store: FileStore,
        arrivals: Arrivals,
        sources: ImportSources,
        limits: Limits,
        clock: Clock,
        largest_bytes: int,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.file_store = file_store
        self.arrivals = arrivals
        self.sources = sources
        self.limits = limits
        self.clock = clock
        self.largest_bytes = largest_bytes

    def take(self, actor: Actor, form: IncomingForm, drafting: Drafting) -> Draft:
        """Read the form, add its version, and return what was added.

        Nothing is left behind of a form that breaks off, or does not hold what it should.
        """
        declared_bytes = form.admit(largest_bytes=self.largest_bytes)
        with self.limits.upload_slot(actor, declared_bytes) as slot:
            with self.file_store.stage(expected_bytes=declared_bytes or 0) as staging:
                arrived = self.arrivals.receive(
                    form,
                    staging,
                    largest_bytes=self.largest_bytes,
                    foresee=lambda fields: self._foresee(fields, drafting),
                )
                draft = drafting.make(arrived.fields)
                source = arrived.fields.get("source")
                if not arrived.files and source is None:
                    raise MissingValue("give the files of the model, or a source to import it from", field=MODEL_FILE)
                if arrived.files and source is not None:
                    raise WrongForm("give files or a source, not both", field="source")
                if source is not None:
                    self._import(draft, source)
                else:
                    self._store(slot, staging, draft, arrived)
                return draft

    def _foresee(self, fields: Mapping[str, Any], drafting: Drafting) -> None:
        """Refuse before the files are read what the fields rule out already."""
        if drafting.needed <= fields.keys():
            draft = drafting.make(fields)
            with self.unit_of_work(read_only=True) as work:
                draft.check(work)

    def _store(self, slot: UploadSlot, staging: Staging, draft: Draft, arrived: Arrived) -> None:
        version = draft.version
        if not draft.is_new_model:
            arrived = self._completed(staging, draft, arrived)
        facts = self.arrivals.inspect(staging)
        draft.model.check_agrees(facts)
        ready = version.become_ready(arrived.stored(version.files_root), facts, at=self.clock.now())
        with committed(self.file_store, staging, version.files_root, has_row=lambda: self._has_row(version.id)):
            with self.unit_of_work() as work:
                slot.check_fits(work, version.charged_bytes)
                draft.add(work)
                work.publish(ready)

    def _completed(self, staging: Staging, draft: Draft, arrived: Arrived) -> Arrived:
        """Give weights that come alone the configuration and the tokenizer of the version before."""
        with self.unit_of_work(read_only=True) as work:
            before = latest_ready(work.model_versions.of([draft.model.id]))
        if before is None or not arrived.lacks_config:
            return arrived
        return arrived.completed(staging, self.file_store.local_copy(before.files_key), before.files)

    def _import(self, draft: Draft, source: Source) -> None:
        self.sources.check(source)
        draft.version.source = source.to_json()
        draft.version.percentage = 0.0
        with self.unit_of_work() as work:
            draft.add(work)
            work.leases.offer(IMPORT_KIND, draft.version.id, at=draft.version.created_at, max_failures=_MOST_FAILURES)

    def _has_row(self, version_id: UUID) -> bool:
        with self.unit_of_work(read_only=True) as work:
            return work.model_versions.find(version_id) is not None
