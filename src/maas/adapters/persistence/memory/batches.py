"""Batches in dictionaries."""

from collections.abc import Collection, Sequence
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryStore, MemoryTable
from maas.application.actor import Actor
from maas.application.ports.repositories.batches import Batches, BatchFilter
from maas.domain.inference.batch import Batch, BatchPart
from maas.domain.paging import Page, PageRequest


def batches_table() -> MemoryTable[Batch]:
    return MemoryTable(key=lambda batch: batch.id)


def batch_parts_table() -> MemoryTable[BatchPart]:
    return MemoryTable(key=lambda part: (part.batch_id, part.number))


class MemoryBatches(Batches):
    """Batches in a dictionary."""

    def __init__(self, table: MemoryTable[Batch], parts: MemoryTable[BatchPart]) -> None:
        self.store = MemoryStore(table)
        self.parts_store = MemoryStore(parts)

    def add(self, batch: Batch) -> None:
        self.store.add(batch)

    def get(self, batch_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Batch:
        return self.store.get(lambda batch: batch.id == batch_id and _may_see(visible_to, batch))

    def find(self, batch_id: UUID, *, for_update: bool = False) -> Batch | None:
        return self.store.find(lambda batch: batch.id == batch_id)

    def page(self, request: PageRequest, *, visible_to: Actor, only: BatchFilter) -> Page[Batch]:
        wanted = {name: value for name, value in vars(only).items() if value is not None}
        return self.store.page(
            request,
            lambda batch: _may_see(visible_to, batch) and all(getattr(batch, name) == value for name, value in wanted.items()),
            search_in=("name",),
        )

    def add_part(self, part: BatchPart) -> None:
        self.parts_store.add(part)

    def parts(self, batch_id: UUID) -> Sequence[BatchPart]:
        return sorted(self.parts_store.all(lambda part: part.batch_id == batch_id), key=lambda part: part.number)

    def roots(self) -> Collection[str]:
        return {batch.files_key for batch in self.store} | {part.files_key for part in self.parts_store}


def _may_see(actor: Actor, batch: Batch) -> bool:
    return actor.is_admin or batch.owner_id == actor.user_id
