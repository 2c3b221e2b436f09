"""Clears away files that nobody will ask for: what dead processes left half written, and trees without a row."""

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from maas.application.ports.clock import Clock
from maas.application.ports.file_store import FileStore
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

log = logging.getLogger(__name__)

KEPT_WITHOUT_ROW = timedelta(hours=1)
KEPT_LOOKED_AT_EVERY = timedelta(minutes=10)
_ROOTS: Mapping[str, Callable[[UnitOfWork], Collection[str]]] = {
    "models": lambda work: work.model_versions.roots(),
    "datasets": lambda work: work.datasets.roots(),
    "batches": lambda work: work.batches.roots(),
    "batch-parts": lambda work: work.batches.roots(),
}
"""Where trees lie that belong to a row, and who knows their rows."""


class FileSweep:
    """May run at any time, beside uploads. A tree is committed a moment before its row: one that is young is left alone."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, file_store: FileStore, clock: Clock) -> None:
        self.unit_of_work = unit_of_work
        self.file_store = file_store
        self.clock = clock
        self._next_look_at: datetime | None = None

    def sweep(self) -> int:
        """Return how many trees were cleared away. May be called every few seconds: kept trees are looked at now and then."""
        count = self.file_store.sweep_staging()
        now = self.clock.now()
        if self._next_look_at is None or now >= self._next_look_at:
            self._next_look_at = now + KEPT_LOOKED_AT_EVERY
            count += sum(self._sweep_kept(prefix, roots_of) for prefix, roots_of in _ROOTS.items())
        if count:
            log.info("cleared away %d trees of files that belonged to nothing", count)
        return count

    def _sweep_kept(self, prefix: str, roots_of: Callable[[UnitOfWork], Collection[str]]) -> int:
        # The keys are read before the rows, so that a row that is stored meanwhile is seen.
        limit = self.clock.now() - KEPT_WITHOUT_ROW
        old = [stored.key for stored in self.file_store.keys(prefix) if stored.stored_at < limit]
        if not old:
            return 0
        with self.unit_of_work(read_only=True) as work:
            roots = roots_of(work)
        orphans = [key for key in old if key not in roots]
        for key in orphans:
            self.file_store.delete(key)
        return len(orphans)
