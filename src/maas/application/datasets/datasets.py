"""Datasets: uploading with every row checked, listing, showing, changing, downloading, deleting."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from maas.application.actor import Actor
from maas.application.datasets.examination import examine
from maas.application.downloads import Download, Piece
from maas.application.ports.clock import Clock
from maas.application.ports.dataset_reader import DatasetReader
from maas.application.ports.file_store import FileStore, Staging
from maas.application.ports.incoming_form import IncomingFile, IncomingForm, ReceivedForm
from maas.application.ports.repositories.datasets import DatasetFilter
from maas.application.ports.repositories.owners import Owner
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.application.stored_trees import committed
from maas.application.usage.limits import Limits
from maas.application.visibility import require_owner
from maas.domain.datasets.dataset import Dataset, DatasetCreated, DatasetFacts, DatasetFormat
from maas.domain.errors import AlreadyExists, Conflict, MissingValue
from maas.domain.identifiers import new_id
from maas.domain.naming import checked_description, checked_name, checked_tags, plain_file_name
from maas.domain.paging import Page, PageRequest
from maas.domain.visibility import Visibility

_MEDIA_TYPES = {
    DatasetFormat.JSONL: "application/x-ndjson",
    DatasetFormat.JSON: "application/json",
    DatasetFormat.CSV: "text/csv; charset=utf-8",
    DatasetFormat.PARQUET: "application/vnd.apache.parquet",
}
_ARRIVING = "data"


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """A dataset as it is shown, with its owner."""

    dataset: Dataset
    owner: Owner


class Datasets:
    """What people do with datasets."""

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWorkFactory,
        file_store: FileStore,
        reader: DatasetReader,
        limits: Limits,
        clock: Clock,
        largest_bytes: int,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.file_store = file_store
        self.reader = reader
        self.limits = limits
        self.clock = clock
        self.largest_bytes = largest_bytes

    def upload(self, actor: Actor, form: IncomingForm) -> DatasetEntry:
        """Read every row of the form's file; keep it where all are good, and nothing of it where one is not."""
        declared_bytes = form.admit(largest_bytes=self.largest_bytes)
        with self.limits.upload_slot(actor, declared_bytes) as slot:
            with self.file_store.stage(expected_bytes=declared_bytes or 0) as staging:
                received = form.receive(staging, place=_place, foresee=partial(self._foresee, actor))
                facts = self._examine(staging, received)
                dataset = self._dataset(actor, received, facts)
                with committed(self.file_store, staging, dataset.files_key, has_row=lambda: self._has_row(dataset.id)):
                    with self.unit_of_work() as work:
                        slot.check_fits(work, dataset.file_size)
                        _refuse_taken(work, dataset.name, owner_id=actor.user_id)
                        work.datasets.add(dataset)
                        work.publish(DatasetCreated(owner_id=actor.user_id, dataset_id=dataset.id))
                        return _entry_of(work, dataset)

    def _foresee(self, actor: Actor, fields: Mapping[str, Any]) -> None:
        """Refuse before the file is read what the fields rule out already."""
        checked_description(fields.get("description"))
        checked_tags(fields.get("tags", []))
        if "name" in fields:
            with self.unit_of_work(read_only=True) as work:
                _refuse_taken(work, checked_name(fields["name"]), owner_id=actor.user_id)

    def _examine(self, staging: Staging, received: ReceivedForm) -> DatasetFacts:
        if not received.files:
            raise MissingValue("Missing data for required field.", field="file")
        path = staging.folder / _ARRIVING
        facts = examine(self.reader, path, received.fields["format"], received.fields["type"])
        path.rename(path.with_name(f"{_ARRIVING}.{received.fields['format'].value}"))
        return facts

    def _dataset(self, actor: Actor, received: ReceivedForm, facts: DatasetFacts) -> Dataset:
        now = self.clock.now()
        dataset_id = new_id()
        file = received.files[0]
        return Dataset(
            id=dataset_id,
            owner_id=actor.user_id,
            name=received.fields["name"],
            description=received.fields.get("description"),
            type=received.fields["type"],
            format=received.fields["format"],
            visibility=received.fields.get("visibility", Visibility.PRIVATE),
            tags=received.fields.get("tags", []),
            files_key=f"datasets/{dataset_id}",
            file_name=plain_file_name(file.file_name),
            file_size=file.written.size,
            sha256=file.written.sha256,
            rows=facts.rows,
            tokens_estimate=facts.tokens_estimate,
            columns=facts.columns,
            preview=facts.preview,
            statistics=facts.statistics,
            created_at=now,
            updated_at=now,
        )

    def _has_row(self, dataset_id: UUID) -> bool:
        with self.unit_of_work(read_only=True) as work:
            return work.datasets.find(dataset_id) is not None

    def page(self, actor: Actor, page: PageRequest, only: DatasetFilter) -> Page[DatasetEntry]:
        with self.unit_of_work(read_only=True) as work:
            found = work.datasets.page(page, visible_to=actor, only=only)
            owners = work.owners.of({dataset.owner_id for dataset in found.items})
            items = [DatasetEntry(dataset=dataset, owner=owners[dataset.owner_id]) for dataset in found.items]
            return Page(items=items, number=found.number, limit=found.limit, total=found.total)

    def get(self, actor: Actor, dataset_id: UUID) -> DatasetEntry:
        with self.unit_of_work(read_only=True) as work:
            return _entry_of(work, work.datasets.get(dataset_id, visible_to=actor))

    def locate_own(self, actor: Actor, dataset_id: UUID) -> None:
        """Raise NotFound or Forbidden where `actor` may not change the dataset."""
        with self.unit_of_work(read_only=True) as work:
            require_owner(actor, work.datasets.get(dataset_id, visible_to=actor))

    def change(self, actor: Actor, dataset_id: UUID, changes: Mapping[str, Any]) -> DatasetEntry:
        with self.unit_of_work() as work:
            dataset = work.datasets.get(dataset_id, visible_to=actor, for_update=True)
            require_owner(actor, dataset)
            if changes.get("name", dataset.name) != dataset.name:
                _refuse_taken(work, changes["name"], owner_id=dataset.owner_id)
            dataset.change(dict(changes), at=self.clock.now())
            return _entry_of(work, dataset)

    def delete(self, actor: Actor, dataset_id: UUID) -> None:
        """Remove a dataset and its file; refused while an unfinished job learns from it."""
        with self.unit_of_work() as work:
            dataset = work.datasets.get(dataset_id, visible_to=actor, for_update=True)
            require_owner(actor, dataset)
            if work.finetuning_jobs.uses_dataset(dataset_id):
                raise Conflict("a fine-tuning job uses this dataset; wait for its end, or cancel it")
            work.datasets.remove(dataset)
            work.publish(dataset.delete())

    def download(self, actor: Actor, dataset_id: UUID) -> Download:
        """Return the file as it was uploaded."""
        dataset = self.get(actor, dataset_id).dataset
        return Download(
            file_name=dataset.file_name,
            media_type=_MEDIA_TYPES[dataset.format],
            sha256=dataset.sha256,
            pieces=[Piece.of_file(self.file_store.local_copy(dataset.file_key), dataset.file_size)],
        )


def _place(_file: IncomingFile) -> str:
    return _ARRIVING


def _refuse_taken(work: UnitOfWork, name: str, *, owner_id: UUID) -> None:
    if work.datasets.find_by_name(name, owner_id=owner_id) is not None:
        raise AlreadyExists("a dataset of yours has this name", field="name")


def _entry_of(work: UnitOfWork, dataset: Dataset) -> DatasetEntry:
    return DatasetEntry(dataset=dataset, owner=work.owners.of([dataset.owner_id])[dataset.owner_id])
