"""Turns what a run has written into a version of the model whose name its job reserved."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from maas.application.finetuning.preparation import Material
from maas.application.finetuning.run_record import CancelRequested, RunRecord
from maas.application.ports.clock import Clock
from maas.application.ports.file_store import FileStore
from maas.application.ports.model_inspector import ModelInspector
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.application.stored_trees import committed
from maas.domain.catalog.facts import ModelFacts
from maas.domain.catalog.model import FIRST_VERSION, ModelVersion, VersionFiles
from maas.domain.errors import NotFound
from maas.domain.events import Event
from maas.domain.finetuning.job import FinetuningJob
from maas.domain.finetuning.training import LogLevel, LogLine
from maas.domain.identifiers import new_id

_FILES = "files"


class Publication:
    """Publishes results, each once: files first, then the version and the job's end in one transaction."""

    def __init__(
        self, *, unit_of_work: UnitOfWorkFactory, file_store: FileStore, inspector: ModelInspector, clock: Clock
    ) -> None:
        self.unit_of_work = unit_of_work
        self.file_store = file_store
        self.inspector = inspector
        self.clock = clock

    def publish(self, result: Path, material: Material, record: RunRecord) -> None:
        """End the job with its result. Raises UnsupportedFile or MissingValue where the result is no model."""
        version_id = new_id()
        root = f"models/{version_id}"
        with self.file_store.stage() as staging:
            folder = staging.folder / _FILES
            shutil.move(result, folder)
            facts = _with_base(self.inspector.inspect(folder), material)
            files = _described(folder)
            kept = VersionFiles(root=root, size=sum(file["size"] for file in files), files=files)
            with committed(self.file_store, staging, root, has_row=lambda: self._has_row(version_id)):
                record.end(
                    _succeed,
                    also=lambda work: self._add_version(work, version_id, material, kept, facts),
                )

    def _add_version(
        self, work: UnitOfWork, version_id: UUID, material: Material, files: VersionFiles, facts: ModelFacts
    ) -> None:
        job, now = material.job, self.clock.now()
        model = work.models.find(job.result_model_id, for_update=True)
        if model is None:
            raise NotFound
        model.appear(at=now)
        version = _version(version_id, job, files.root, at=now)
        ready = version.become_ready(files, facts, at=now)
        work.model_versions.add(version)
        work.publish(ready)
        work.finetuning_jobs.forget_checkpoint_files(job.id)
        message = f"the result is version {version.version} of the model {job.result_name}"
        work.finetuning_jobs.add_lines(job.id, [LogLine(level=LogLevel.INFO, message=message, at=now)])

    def _has_row(self, version_id: UUID) -> bool:
        with self.unit_of_work(read_only=True) as work:
            return work.model_versions.find(version_id) is not None


def _version(version_id: UUID, job: FinetuningJob, root: str, *, at: datetime) -> ModelVersion:
    """Return the version that a job makes; its source says what an adapter is an adapter to."""
    source = {
        "type": "finetune",
        "job_id": str(job.id),
        "base_model_id": str(job.base_model_id),
        "base_version": job.base_version,
    }
    return ModelVersion(
        id=version_id,
        model_id=job.result_model_id,
        owner_id=job.owner_id,
        version=FIRST_VERSION,
        files_root=root,
        source=source,
        created_at=at,
        updated_at=at,
    )


def _succeed(job: FinetuningJob, at: datetime) -> Sequence[Event]:
    if job.cancel_requested_at is not None:
        raise CancelRequested
    return [job.succeed(version=FIRST_VERSION, at=at)]


def _with_base(facts: ModelFacts, material: Material) -> ModelFacts:
    """Return the facts with what an adapter's files do not say and its base's do."""
    context_length = facts.context_length or material.base.metadata.get("context_length")
    return replace(facts, context_length=context_length)


def _described(folder: Path) -> list[dict[str, Any]]:
    """Return name, size and SHA-256 of each file."""
    described = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        described.append({"name": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "sha256": digest})
    return described
