"""Datasets in a dictionary."""

from collections.abc import Collection
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryStore, MemoryTable
from maas.application.actor import Actor
from maas.application.ports.repositories.datasets import DATASET_SORTS, DatasetFilter, Datasets
from maas.application.visibility import may_see
from maas.domain.datasets.dataset import Dataset
from maas.domain.paging import Page, PageRequest


def datasets_table() -> MemoryTable[Dataset]:
    return MemoryTable(key=lambda dataset: dataset.id, unique=(lambda dataset: (dataset.owner_id, dataset.name),))


class MemoryDatasets(Datasets):
    """Datasets in a dictionary."""

    def __init__(self, table: MemoryTable[Dataset]) -> None:
        self.store = MemoryStore(table)

    def add(self, dataset: Dataset) -> None:
        self.store.add(dataset)

    def get(self, dataset_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Dataset:
        return self.store.get(lambda dataset: dataset.id == dataset_id and may_see(visible_to, dataset))

    def find(self, dataset_id: UUID) -> Dataset | None:
        return self.store.find(lambda dataset: dataset.id == dataset_id)

    def find_by_name(self, name: str, *, owner_id: UUID) -> Dataset | None:
        return self.store.find(lambda dataset: dataset.owner_id == owner_id and dataset.name == name)

    def page(self, request: PageRequest, *, visible_to: Actor, only: DatasetFilter) -> Page[Dataset]:
        wanted = {name: value for name, value in vars(only).items() if value is not None}
        return self.store.page(
            request,
            lambda dataset: (
                may_see(visible_to, dataset) and all(getattr(dataset, name) == value for name, value in wanted.items())
            ),
            search_in=("name", "description"),
            sort_by=DATASET_SORTS,
        )

    def remove(self, dataset: Dataset) -> None:
        self.store.remove(dataset)

    def stored_bytes(self, owner_id: UUID) -> int:
        return sum(dataset.file_size for dataset in self.store if dataset.owner_id == owner_id)

    def roots(self) -> Collection[str]:
        return {dataset.files_key for dataset in self.store}
