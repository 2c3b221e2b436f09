"""Where datasets are kept."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from maas.application.actor import Actor
from maas.domain.datasets.dataset import Dataset, DatasetFormat, DatasetStatus
from maas.domain.datasets.rows import DatasetType
from maas.domain.paging import Page, PageRequest
from maas.domain.visibility import Visibility

DATASET_SORTS = ("created_at", "updated_at", "name", "rows", "file_size")


@dataclass(frozen=True, kw_only=True)
class DatasetFilter:
    """Which datasets of those that may be seen."""

    type: DatasetType | None = None
    format: DatasetFormat | None = None
    visibility: Visibility | None = None
    status: DatasetStatus | None = None


class Datasets(ABC):
    """All datasets."""

    @abstractmethod
    def add(self, dataset: Dataset) -> None: ...

    @abstractmethod
    def get(self, dataset_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Dataset:
        """Return a dataset that `visible_to` may see, or raise NotFound."""

    @abstractmethod
    def find(self, dataset_id: UUID) -> Dataset | None:
        """Find a dataset whoever may see it."""

    @abstractmethod
    def find_by_name(self, name: str, *, owner_id: UUID) -> Dataset | None: ...

    @abstractmethod
    def page(self, request: PageRequest, *, visible_to: Actor, only: DatasetFilter) -> Page[Dataset]: ...

    @abstractmethod
    def remove(self, dataset: Dataset) -> None: ...

    @abstractmethod
    def stored_bytes(self, owner_id: UUID) -> int:
        """Return the sum of `file_size` over the datasets of an owner."""

    @abstractmethod
    def roots(self) -> Collection[str]:
        """Return the roots of all trees in the file store that a dataset has."""
