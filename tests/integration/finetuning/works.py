"""The platform on real adapters in one folder, with a tiny base model, rows to learn, and workers of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from maas.application.actor import Actor
from maas.application.finetuning.jobs import FinetuningJobs
from maas.application.finetuning.monitoring import JobProgress
from maas.container import Container, migrate_database
from maas.domain.catalog.model import Model, ModelVersion
from maas.domain.datasets.dataset import Dataset
from maas.domain.datasets.rows import DatasetType
from maas.domain.finetuning.job import FinetuningJob
from maas.entrypoints.worker.loop import Worker, WorkerOptions
from maas.settings import Settings
from tests.builders import a_dataset, a_model, a_user, a_version
from tests.integration.trainer.tiny import ROWS, make_base

LEASE_SECONDS = 2
# Eighty epochs of six steps: long enough to be broken off, short enough to be awaited.
PARAMETERS = {"learning_rate": 5e-3, "batch_size": 4, "num_epochs": 80, "lora_dropout": 0.2}
CONFIG = {"logging_steps": 1, "save_steps": 40}
Curve = dict[int, tuple[float | None, ...]]


class Works:
    """A platform of a test's own, without an API. Children compute on one thread, in fp32."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(data_dir=folder / "data", sync=False, trainer_threads=1, lease_seconds=LEASE_SECONDS)
        self.settings.data_dir.mkdir(parents=True)
        migrate_database(self.settings)
        self.container = Container(settings=self.settings)
        user = a_user()
        with self.container.unit_of_work()() as work:
            work.users.add(user)
        self.actor = Actor(user_id=user.id)
        self.jobs: FinetuningJobs = self.container.finetuning_jobs()

    def add_base(self) -> Model:
        model = a_model(self.actor.user_id)
        staging = self.container.file_store().stage()
        make_base(staging.folder / "files")
        facts = self.container.model_inspector().inspect(staging.folder / "files")
        version = a_version(model, metadata=facts.to_json())
        staging.commit(version.files_root)
        with self.container.unit_of_work()() as work:
            work.models.add(model)
            work.model_versions.add(version)
        return model

    def add_dataset(self, dataset_type: DatasetType = DatasetType.CONVERSATION) -> Dataset:
        rows = ROWS[dataset_type.value]
        dataset = a_dataset(self.actor.user_id, type=dataset_type, rows=len(rows))
        staging = self.container.file_store().stage()
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (staging.folder / "data.jsonl").write_text(lines, encoding="utf-8")
        staging.commit(dataset.files_key)
        with self.container.unit_of_work()() as work:
            work.datasets.add(dataset)
        return dataset

    def create(self, base_id: UUID, dataset: Dataset, **changes: Any) -> FinetuningJob:
        values: dict[str, Any] = {"name": "a job", "hyperparameters": PARAMETERS, "config": CONFIG, **changes}
        return self.jobs.create(self.actor, base_model_id=base_id, dataset_id=dataset.id, **values)

    def worker(self) -> Worker:
        """Return a worker of this process, without threads of its own."""
        return Worker(
            handlers=self.container.work_handlers(),
            reactions=self.container.reactions(),
            unit_of_work=self.container.unit_of_work(),
            broadcaster=self.container.broadcaster(),
            clock=self.container.clock(),
            options=WorkerOptions(lease=timedelta(minutes=10)),
            ending=threading.Event(),
        )

    def work(self) -> None:
        """Do all work that is due, in this thread."""
        worker = self.worker()
        while worker.take_one():
            pass

    @contextmanager
    def working(self) -> Iterator[None]:
        """Do all work that is due, in a thread of its own, while the block goes on."""
        thread = threading.Thread(target=self.work)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    @contextmanager
    def worker_process(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Run `maas worker`; it is killed at the end of the block, where it still lives."""
        environment = {**os.environ, **self.settings.environment()}
        command = [sys.executable, "-c", "from maas.entrypoints.cli import main; main()", "worker"]
        with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.kill()

    def follow(self, job_id: UUID, *, until: Callable[[JobProgress], bool]) -> list[JobProgress]:
        """Follow a job until something holds of it, or it has ended."""
        heard = []
        with closing(self.container.job_monitor().follow(self.actor, job_id)) as following:
            for progress in following:
                if progress is None:
                    continue
                heard.append(progress)
                if until(progress):
                    break
        return heard

    def job(self, job_id: UUID) -> FinetuningJob:
        return self.jobs.get(self.actor, job_id)

    def curve(self, job_id: UUID) -> Curve:
        """Return what a curve is made of, by step, bit for bit."""
        names = ("epoch", "loss", "eval_loss", "learning_rate", "grad_norm", "tokens")
        points = self.jobs.metrics(self.actor, job_id)
        return {point.step: tuple(getattr(point, name) for name in names) for point in points}

    def result(self, job_id: UUID) -> tuple[ModelVersion, Path]:
        """Return the version that a job made, and its folder."""
        result = self.job(job_id).result
        assert result is not None
        with self.container.unit_of_work()(read_only=True) as work:
            version = work.model_versions.get(result.model_id, result.version)
        return version, self.container.file_store().local_copy(version.files_key)

    def close(self) -> None:
        self.container.engine().dispose()
        shutil.rmtree(self.folder, ignore_errors=True)


def trainers_of(pid: int) -> list[psutil.Process]:
    """Return the trainers that a process has started."""
    return [child for child in psutil.Process(pid).children() if "trainer" in " ".join(child.cmdline())]


def kill_trainer() -> None:
    """Kill the trainer of this process, as the system does when memory runs out."""
    (trainer,) = trainers_of(os.getpid())
    os.kill(trainer.pid, signal.SIGKILL)


def steps(points: Sequence[int]) -> list[int]:
    """Return 1 … the number of points, which is what they must be."""
    return list(range(1, len(points) + 1))
