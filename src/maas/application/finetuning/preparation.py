"""The files that a trainer is given: the base on this machine, the rows in their canonical form, the last checkpoint."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maas.application.ports.dataset_reader import DatasetReader
from maas.application.ports.file_store import FileStore
from maas.application.ports.trainer import TrainingRequest
from maas.application.ports.unit_of_work import UnitOfWork
from maas.domain.catalog.model import ModelVersion
from maas.domain.datasets.dataset import Dataset
from maas.domain.finetuning.job import FinetuningJob
from maas.domain.finetuning.training import Checkpoint

_CHECK_EVERY_ROWS = 500


class MaterialGone(Exception):
    """A model or dataset that the job needs was removed; the message is a sentence for its owner."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a run is made from, as the database had it when the run began."""

    job: FinetuningJob
    base: ModelVersion
    adapted: ModelVersion | None
    dataset: Dataset
    eval_dataset: Dataset | None
    checkpoint: Checkpoint | None


def material_of(work: UnitOfWork, job: FinetuningJob) -> Material:
    """Return what the job's run is made from, and goes on from; raise MaterialGone where something is missing."""
    kept = [checkpoint for checkpoint in work.finetuning_jobs.checkpoints(job.id) if checkpoint.is_kept]
    return Material(
        job=job,
        base=_version(work, job.base_model_id, job.base_version),
        adapted=None if job.adapter_base_id is None else _version(work, job.adapter_base_id, job.adapter_base_version),
        dataset=_dataset(work, job.dataset_id),
        eval_dataset=None if job.eval_dataset_id is None else _dataset(work, job.eval_dataset_id),
        checkpoint=kept[-1] if kept else None,
    )


def _version(work: UnitOfWork, model_id: object, version: str | None) -> ModelVersion:
    found = [one for one in work.model_versions.of([model_id]) if one.version == version]  # type: ignore[list-item]
    if not found:
        raise MaterialGone("the base model of this job is gone")
    return found[0]


def _dataset(work: UnitOfWork, dataset_id: object) -> Dataset:
    found = work.datasets.find(dataset_id)  # type: ignore[arg-type]
    if found is None:
        raise MaterialGone("the dataset of this job is gone")
    return found


class Preparation:
    """Lays out files for trainers."""

    def __init__(self, *, file_store: FileStore, dataset_reader: DatasetReader) -> None:
        self.file_store = file_store
        self.dataset_reader = dataset_reader

    def request(self, material: Material, folder: Path, *, check: Callable[[], None]) -> TrainingRequest:
        """Write what the trainer needs below `folder`. `check` is called now and then, and raises where all is off."""
        job, held_out = material.job, material.eval_dataset
        base = self.file_store.local_copy(material.base.files_key)
        adapted = None if material.adapted is None else self.file_store.local_copy(material.adapted.files_key)
        resumed = None if material.checkpoint is None else material.checkpoint.files_key
        return TrainingRequest(
            model=base if adapted is None else adapted,
            adapter=None if adapted is None else base,
            train_rows=self._write_rows(material.dataset, folder / "train.jsonl", check),
            eval_rows=None if held_out is None else self._write_rows(held_out, folder / "eval.jsonl", check),
            dataset_type=material.dataset.type,
            output=folder / "output",
            checkpoints=folder / "checkpoints",
            resume_from=None if resumed is None else self.file_store.local_copy(resumed),
            algorithm=job.algorithm,
            hyperparameters=job.hyperparameters,
            config=job.config,
        )

    def _write_rows(self, dataset: Dataset, path: Path, check: Callable[[], None]) -> Path:
        source = self.file_store.local_copy(dataset.file_key)
        with path.open("w", encoding="utf-8") as file:
            for number, row in enumerate(self.dataset_reader.rows(source, dataset.format, dataset.type)):
                if number % _CHECK_EVERY_ROWS == 0:
                    check()
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        return path
