"""A workshop: the platform in memory, with a base model, a dataset and a trainer that follows a script."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from maas.adapters.model_inspector.memory import MemoryModelInspector
from maas.adapters.trainer.scripted import Script, ScriptedTrainer
from maas.application.actor import Actor
from maas.application.finetuning.admission import FINETUNE_KIND
from maas.application.finetuning.jobs import FinetuningJobs
from maas.application.finetuning.train_model import TrainModel
from maas.application.work import Holding
from maas.domain.catalog.model import Model, ModelVersion
from maas.domain.datasets.dataset import Dataset
from maas.domain.datasets.rows import DatasetType
from maas.domain.finetuning.job import FinetuningJob
from maas.domain.leases import Lease
from tests.builders import a_dataset, a_model, a_version, some_facts
from tests.house import House

ROWS: Mapping[DatasetType, Mapping[str, Any]] = {
    DatasetType.CONVERSATION: {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]},
    DatasetType.PREFERENCE: {"prompt": "?", "chosen": "!", "rejected": "?!"},
}


class Hold(Holding):
    """A lease in the hands of a test."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.lost = False
        self.ending = False

    @property
    def is_lost(self) -> bool:
        return self.lost

    @property
    def is_ending(self) -> bool:
        return self.ending


@dataclass
class Workshop:
    """What tests of fine-tuning need."""

    house: House
    trainer: ScriptedTrainer
    headers: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.actor: Actor = self.house.actor(self.headers)
        self.base, self.base_version = self.add_model()
        self.dataset = self.add_dataset()

    @property
    def script(self) -> Script:
        return self.trainer.script

    @property
    def jobs(self) -> FinetuningJobs:
        jobs: FinetuningJobs = self.house.container.finetuning_jobs()
        return jobs

    @property
    def train_model(self) -> TrainModel:
        handler: TrainModel = self.house.container.train_model()
        handler.pause_seconds = 0.0
        return handler

    def add_model(
        self, *, facts: Mapping[str, Any] | None = None, version: Mapping[str, Any] | None = None, **changes: Any
    ) -> tuple[Model, ModelVersion]:
        model = a_model(changes.pop("owner_id", self.actor.user_id), **changes)
        made = a_version(model, metadata=some_facts(**(facts or {})).to_json(), **(version or {}))
        with self.house.database() as work:
            work.models.add(model)
            work.model_versions.add(made)
        self.house.files.trees[made.files_root] = {"files/config.json": b"{}"}
        return model, made

    def add_dataset(self, *, rows: int = 16, **changes: Any) -> Dataset:
        dataset = a_dataset(changes.pop("owner_id", self.actor.user_id), rows=rows, **changes)
        with self.house.database() as work:
            work.datasets.add(dataset)
        line = json.dumps(ROWS[dataset.type]) + "\n"
        self.house.files.trees[dataset.files_key] = {"data.jsonl": (line * rows).encode()}
        return dataset

    def create(self, actor: Actor | None = None, /, **changes: Any) -> FinetuningJob:
        """Make a job of eight steps, with a point and a checkpoint every two."""
        values: dict[str, Any] = {
            "name": "my job",
            "base_model_id": self.base.id,
            "dataset_id": self.dataset.id,
            "hyperparameters": {"batch_size": 4, "num_epochs": 2},
            "config": {"logging_steps": 1, "save_steps": 2},
        }
        return self.jobs.create(actor or self.actor, **{**values, **changes})

    def job(self, job_id: UUID) -> FinetuningJob:
        with self.house.database(read_only=True) as work:
            job = work.finetuning_jobs.find(job_id)
        assert job is not None
        return job

    def claim(self) -> Hold:
        """Take the next job, as a worker does."""
        self.house.clock.advance(timedelta(seconds=1))
        with self.house.database() as work:
            lease = work.leases.claim([FINETUNE_KIND], worker="test", at=self.house.clock.now(), duration=timedelta(seconds=30))
        assert lease is not None
        return Hold(lease)

    def run(self, *, at_step: Mapping[int, Callable[[], object]] | None = None) -> None:
        """Do all work that is due; `at_step` says what happens when a run has come so far."""
        self.train_model.pause_seconds = 0.0
        if at_step is not None:
            self.happen(at_step)
        self.house.work()

    def happen(self, at_step: Mapping[int, Callable[[], object]]) -> None:
        events = dict(at_step)
        self.script.steps_per_call = 1

        def before_call(step: int) -> None:
            if step in events:
                events.pop(step)()

        self.script.before_call = before_call

    def leave_behind(self, key: str) -> None:
        """Put files into the store that no row names."""
        with self.house.files.stage() as staging:
            (staging.folder / "position.json").write_text("{}")
            staging.commit(key)

    def points(self, job_id: UUID) -> list[tuple[int, float | None]]:
        return [(point.step, point.loss) for point in self.jobs.metrics(self.actor, job_id)]

    def kept_keys(self, job_id: UUID) -> set[str]:
        return {key for key in self.house.files.trees if key.startswith(f"jobs/{job_id}/")}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    trainer = ScriptedTrainer()
    inspector = MemoryModelInspector(some_facts())
    house = House(tmp_path, overrides={"trainer": trainer, "model_inspector": inspector})
    return Workshop(house, trainer, house.sign_up("alice"))
