"""Datasets in SQL."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from maas.adapters.persistence.aggregates import AggregateMapping, AggregateStore
from maas.adapters.persistence.tables.datasets import datasets
from maas.adapters.persistence.visibility import seen_by
from maas.application.actor import Actor
from maas.application.ports.repositories.datasets import DATASET_SORTS, DatasetFilter, Datasets
from maas.domain.datasets.dataset import Dataset, DatasetFormat, DatasetStatus
from maas.domain.datasets.rows import DatasetType
from maas.domain.paging import Page, PageRequest
from maas.domain.visibility import Visibility


def _value(member: Any) -> Any:
    return member.value


_ENUMS = {"type": DatasetType, "format": DatasetFormat, "visibility": Visibility, "status": DatasetStatus}
_DATASETS = AggregateMapping(datasets, Dataset, dump=dict.fromkeys(_ENUMS, _value), load=_ENUMS)


class SqlDatasets(Datasets):
    """Datasets in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.store = AggregateStore(connection, _DATASETS)

    def add(self, dataset: Dataset) -> None:
        self.store.add(dataset)

    def get(self, dataset_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Dataset:
        return self.store.get(datasets.c.id == dataset_id, seen_by(datasets, visible_to), for_update=for_update)

    def find(self, dataset_id: UUID) -> Dataset | None:
        return self.store.find(datasets.c.id == dataset_id)

    def find_by_name(self, name: str, *, owner_id: UUID) -> Dataset | None:
        return self.store.find(datasets.c.owner_id == owner_id, datasets.c.name == name)

    def page(self, request: PageRequest, *, visible_to: Actor, only: DatasetFilter) -> Page[Dataset]:
        wanted = [datasets.c[name] == value.value for name, value in vars(only).items() if value is not None]
        conditions = [seen_by(datasets, visible_to), *wanted]
        return self.store.page(request, *conditions, search_in=("name", "description"), sort_by=DATASET_SORTS)

    def remove(self, dataset: Dataset) -> None:
        self.store.remove(dataset)

    def stored_bytes(self, owner_id: UUID) -> int:
        total = func.coalesce(func.sum(datasets.c.file_size), 0)
        return int(self._connection.execute(select(total).where(datasets.c.owner_id == owner_id)).scalar_one())

    def roots(self) -> Collection[str]:
        return set(self._connection.execute(select(datasets.c.files_key)).scalars())
