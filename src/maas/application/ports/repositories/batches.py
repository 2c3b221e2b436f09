"""Where batches that go on by themselves are kept."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from maas.application.actor import Actor
from maas.domain.inference.batch import Batch, BatchPart, BatchStatus
from maas.domain.paging import Page, PageRequest


@dataclass(frozen=True, kw_only=True)
class BatchFilter:
    """Which batches of those that may be seen."""

    status: BatchStatus | None = None
    deployment_id: UUID | None = None


class Batches(ABC):
    """All batches. A person sees their own, an administrator all."""

    @abstractmethod
    def add(self, batch: Batch) -> None: ...

    @abstractmethod
    def get(self, batch_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Batch:
        """Return a batch that `visible_to` may see, or raise NotFound."""

    @abstractmethod
    def find(self, batch_id: UUID, *, for_update: bool = False) -> Batch | None:
        """Find a batch whoever may see it."""

    @abstractmethod
    def page(self, request: PageRequest, *, visible_to: Actor, only: BatchFilter) -> Page[Batch]: ...

    @abstractmethod
    def add_part(self, part: BatchPart) -> None: ...

    @abstractmethod
    def parts(self, batch_id: UUID) -> Sequence[BatchPart]:
        """Return the results of a batch as far as they are there, in order."""

    @abstractmethod
    def roots(self) -> Collection[str]:
        """Return the roots of all trees in the file store that belong to a batch."""
