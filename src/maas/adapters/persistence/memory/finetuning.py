"""Fine-tuning jobs in dictionaries, with all that their runs told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryStore, MemoryTable
from maas.application.actor import Actor
from maas.application.ports.repositories.finetuning import FinetuningJobs, JobFilter
from maas.domain.errors import OutOfRange
from maas.domain.finetuning.job import FinetuningJob, JobStatus, StatusChange
from maas.domain.finetuning.training import Checkpoint, LogLevel, LogLine, MetricsPoint
from maas.domain.identifiers import new_id
from maas.domain.paging import Order, Page, PageRequest


@dataclass(frozen=True, kw_only=True)
class StoredChange:
    """The `number`th move of a job."""

    job_id: UUID
    number: int
    change: StatusChange


@dataclass(frozen=True, kw_only=True)
class StoredPoint:
    """A point of a job's curve."""

    job_id: UUID
    point: MetricsPoint


@dataclass(frozen=True, kw_only=True)
class StoredLine:
    """A line of a job's log; ids sort by the time of writing."""

    id: UUID
    job_id: UUID
    line: LogLine


class FinetuningTables:
    """What is kept of all jobs."""

    def __init__(self) -> None:
        self.jobs: MemoryTable[FinetuningJob] = MemoryTable(key=lambda job: job.id)
        self.changes: MemoryTable[StoredChange] = MemoryTable(key=lambda stored: (stored.job_id, stored.number))
        self.points: MemoryTable[StoredPoint] = MemoryTable(key=lambda stored: (stored.job_id, stored.point.step))
        self.lines: MemoryTable[StoredLine] = MemoryTable(key=lambda stored: stored.id)
        self.checkpoints: MemoryTable[Checkpoint] = MemoryTable(key=lambda kept: (kept.job_id, kept.step))


class MemoryFinetuningJobs(FinetuningJobs):
    """Jobs in a dictionary."""

    def __init__(self, tables: FinetuningTables) -> None:
        self.changes_store = MemoryStore(tables.changes)
        self.store = _JobStore(tables.jobs, self.changes_store)
        self.points_store = MemoryStore(tables.points)
        self.lines_store = MemoryStore(tables.lines)
        self.checkpoints_store = MemoryStore(tables.checkpoints)

    def add(self, job: FinetuningJob) -> None:
        self.store.add(job)

    def get(self, job_id: UUID, *, visible_to: Actor, for_update: bool = False) -> FinetuningJob:
        return self.store.get(lambda job: job.id == job_id and _is_seen(visible_to, job))

    def find(self, job_id: UUID, *, for_update: bool = False) -> FinetuningJob | None:
        return self.store.find(lambda job: job.id == job_id)

    def page(self, request: PageRequest, *, visible_to: Actor, only: JobFilter) -> Page[FinetuningJob]:
        wanted = {name: value for name, value in vars(only).items() if value is not None}
        return self.store.page(
            request,
            lambda job: _is_seen(visible_to, job) and all(getattr(job, name) == value for name, value in wanted.items()),
            search_in=("name", "description"),
        )

    def remove(self, job: FinetuningJob) -> None:
        self.store.remove(job)
        stores: tuple[MemoryStore[Any], ...] = (self.changes_store, self.points_store, self.lines_store, self.checkpoints_store)
        for store in stores:
            for told in store.all(lambda told: told.job_id == job.id):
                store.remove(told)

    def admissible(self, owner_id: UUID, *, limit: int | None) -> Sequence[FinetuningJob]:
        mine = self.store.all(lambda job: job.owner_id == owner_id)
        waiting = sorted((job for job in mine if job.status is JobStatus.QUEUED and not job.admitted), key=lambda job: job.id)
        room = None if limit is None else max(0, limit - sum(job.admitted for job in mine))
        return waiting[:room]

    def changes(self, job_id: UUID) -> Sequence[StatusChange]:
        self.store.log_changes()
        stored = self.changes_store.all(lambda stored: stored.job_id == job_id)
        return [one.change for one in sorted(stored, key=lambda stored: stored.number)]

    def uses_model(self, model_id: UUID, version: str | None = None) -> bool:
        def is_based_on(job: FinetuningJob) -> bool:
            bases = ((job.base_model_id, job.base_version), (job.adapter_base_id, job.adapter_base_version))
            return any(base == model_id and version in (None, used) for base, used in bases)

        return self.store.find(lambda job: not job.is_finished and is_based_on(job)) is not None

    def uses_dataset(self, dataset_id: UUID) -> bool:
        def learns_from(job: FinetuningJob) -> bool:
            return dataset_id in (job.dataset_id, job.eval_dataset_id)

        return self.store.find(lambda job: not job.is_finished and learns_from(job)) is not None

    def add_points(self, job_id: UUID, points: Iterable[MetricsPoint]) -> None:
        for point in points:
            stored = StoredPoint(job_id=job_id, point=point)
            self.points_store.remove(stored)
            self.points_store.add(stored)

    def points(self, job_id: UUID, *, after_step: int = 0) -> Sequence[MetricsPoint]:
        stored = self.points_store.all(lambda stored: stored.job_id == job_id and stored.point.step > after_step)
        return sorted((one.point for one in stored), key=lambda point: point.step)

    def latest_point(self, job_id: UUID) -> MetricsPoint | None:
        return next(reversed(self.points(job_id)), None)

    def drop_points(self, job_id: UUID, *, after_step: int) -> None:
        for stored in self.points_store.all(lambda stored: stored.job_id == job_id and stored.point.step > after_step):
            self.points_store.remove(stored)

    def add_lines(self, job_id: UUID, lines: Iterable[LogLine]) -> None:
        for line in lines:
            self.lines_store.add(StoredLine(id=new_id(), job_id=job_id, line=line))

    def lines(self, job_id: UUID, request: PageRequest, *, level: LogLevel | None = None) -> Page[LogLine]:
        if request.sort != "created_at":
            raise OutOfRange("cannot sort by {sort}", field="sort", sort=request.sort)
        search = (request.search or "").lower()
        found = self.lines_store.all(
            lambda stored: (
                stored.job_id == job_id and level in (None, stored.line.level) and search in stored.line.message.lower()
            )
        )
        found.sort(key=lambda stored: stored.id, reverse=request.order is Order.DESCENDING)
        items = [stored.line for stored in found[request.offset : request.offset + request.limit]]
        return Page(items=items, number=request.number, limit=request.limit, total=len(found))

    def keep_checkpoint(self, checkpoint: Checkpoint, *, newest: int) -> Sequence[str]:
        kept = [old for old in self.checkpoints(checkpoint.job_id) if old.is_kept]
        replaced = [old for old in kept if old.step == checkpoint.step]
        others = [old for old in reversed(kept) if old.step != checkpoint.step]
        outdated = others[max(newest - 1, 0) :]
        for old in outdated:
            self._put(replace(old, files_key=None))
        self._put(checkpoint)
        return [old.files_key for old in (*replaced, *outdated) if old.files_key is not None]

    def checkpoints(self, job_id: UUID) -> Sequence[Checkpoint]:
        return sorted(self.checkpoints_store.all(lambda kept: kept.job_id == job_id), key=lambda kept: kept.step)

    def forget_checkpoint_files(self, job_id: UUID) -> None:
        for checkpoint in self.checkpoints(job_id):
            self._put(replace(checkpoint, files_key=None))

    def drop_checkpoints(self, job_id: UUID) -> None:
        for checkpoint in self.checkpoints(job_id):
            self.checkpoints_store.remove(checkpoint)

    def _put(self, checkpoint: Checkpoint) -> None:
        self.checkpoints_store.remove(checkpoint)
        self.checkpoints_store.add(checkpoint)


class _JobStore(MemoryStore[FinetuningJob]):
    """Stores jobs, and appends their changes of status to the log."""

    def __init__(self, table: MemoryTable[FinetuningJob], log: MemoryStore[StoredChange]) -> None:
        super().__init__(table)
        self._log = log

    def log_changes(self) -> None:
        for job in self._touched.values():
            known = sum(stored.job_id == job.id for stored in self._log) if job.changes else 0
            for number, change in enumerate(job.changes, start=known + 1):
                self._log.add(StoredChange(job_id=job.id, number=number, change=change))
            job.changes.clear()

    def commit(self) -> None:
        self.log_changes()
        super().commit()
        # The log's own turn may have come before.
        self._log.commit()


def _is_seen(actor: Actor, job: FinetuningJob) -> bool:
    return actor.is_admin or job.owner_id == actor.user_id
