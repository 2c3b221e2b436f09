"""The files of checkpoints: brought into the file store, and cleared away when no run needs them."""

import logging
import shutil
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from maas.application.ports.file_store import FileStore
from maas.application.ports.trainer import CheckpointWritten
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.application.stored_trees import committed
from maas.domain.identifiers import new_id
from maas.domain.leases import Lease

log = logging.getLogger(__name__)

_FILES = "files"


def job_prefix(job_id: UUID) -> str:
    """Return the place in the file store of all that a job keeps."""
    return f"jobs/{job_id}"


class CheckpointFiles:
    """Keeps checkpoints durably, each under its job, run, attempt and step."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, file_store: FileStore) -> None:
        self.unit_of_work = unit_of_work
        self.file_store = file_store

    def keep(self, written: CheckpointWritten, lease: Lease, *, run: int, store_row: Callable[[str], None]) -> None:
        """Take a checkpoint that a trainer wrote into the file store; `store_row` makes it count, by its key."""
        # A run that goes on may write the very step that it went on from: no two share a key.
        key = f"{job_prefix(lease.subject_id)}/{run}-{lease.attempt}-{written.step}-{new_id().hex[-8:]}"
        with self.file_store.stage(expected_bytes=written.size) as staging:
            shutil.move(written.path, staging.folder / _FILES)
            with committed(self.file_store, staging, key, has_row=lambda: self._has_row(lease.subject_id, key)):
                store_row(f"{key}/{_FILES}")

    def remove(self, files_key: str) -> None:
        """Remove the files of a checkpoint that no longer counts."""
        try:
            self.file_store.delete(files_key.removesuffix(f"/{_FILES}"))
        except Exception:
            # They go at the job's end, when all that is not needed is cleared away.
            log.warning("the files of a checkpoint could not be removed", exc_info=True)

    def clear(self, payload: Mapping[str, Any]) -> None:
        """Remove what a job keeps in the file store and no row names; while a run goes on, only what is of earlier runs.

        A reaction to each event after which a run is over: `payload` has its `job_id`.
        """
        job_id = UUID(payload["job_id"])
        # The keys are read before the rows, so that a row that is stored meanwhile is seen.
        keys = [stored.key for stored in self.file_store.keys(job_prefix(job_id))]
        with self.unit_of_work(read_only=True) as work:
            job = work.finetuning_jobs.find(job_id)
            kept = {checkpoint.files_key for checkpoint in work.finetuning_jobs.checkpoints(job_id)}
        running = None if job is None or job.is_finished else job.run
        for key in keys:
            if f"{key}/{_FILES}" not in kept and (running is None or _run_of(key) < running):
                self.file_store.delete(key)

    def _has_row(self, job_id: UUID, key: str) -> bool:
        with self.unit_of_work(read_only=True) as work:
            kept = work.finetuning_jobs.checkpoints(job_id)
        return any(checkpoint.files_key == f"{key}/{_FILES}" for checkpoint in kept)


def _run_of(key: str) -> int:
    return int(key.rpartition("/")[2].partition("-")[0])
