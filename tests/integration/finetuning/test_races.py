"""Many at once: jobs that are made, cancelled, worked on and ended at the same moment."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from maas.adapters.clock.system import SystemClock
from maas.adapters.dataset_reader.memory import MemoryDatasetReader
from maas.adapters.file_store.folder import FolderFileStore
from maas.adapters.model_inspector.memory import MemoryModelInspector
from maas.adapters.persistence.engine import open_engine
from maas.adapters.persistence.tables.every import metadata
from maas.adapters.persistence.unit_of_work import SqlUnitsOfWork
from maas.adapters.trainer.scripted import Script, ScriptedTrainer
from maas.application.actor import Actor
from maas.application.finetuning.checkpoint_files import CheckpointFiles
from maas.application.finetuning.jobs import FinetuningJobs
from maas.application.finetuning.preparation import Preparation
from maas.application.finetuning.publication import Publication
from maas.application.finetuning.train_model import TrainModel
from maas.application.ports.repositories.finetuning import JobFilter
from maas.domain.errors import Conflict
from maas.domain.finetuning.job import FinetuningJob, JobStatus, folded
from maas.domain.paging import PageRequest
from maas.entrypoints.worker.loop import Worker, WorkerOptions
from tests.builders import a_dataset, a_model, a_user, a_version, some_facts

pytestmark = pytest.mark.integration

MOST_RUNNING = 3
ROW = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}


class Yard:
    """Use cases and workers on one database."""

    def __init__(self, units: SqlUnitsOfWork, folder: Path) -> None:
        self.units = units
        clock, files = SystemClock(), FolderFileStore(folder, sync=False)
        trainer = ScriptedTrainer(Script(steps_per_call=1))
        self.jobs = FinetuningJobs(unit_of_work=units, trainer=trainer, clock=clock, most_running=MOST_RUNNING)
        checkpoint_files = CheckpointFiles(unit_of_work=units, file_store=files)
        inspector = MemoryModelInspector(some_facts())
        self.train_model = TrainModel(
            unit_of_work=units,
            file_store=files,
            preparation=Preparation(file_store=files, dataset_reader=MemoryDatasetReader({b"rows": [ROW] * 8})),
            checkpoint_files=checkpoint_files,
            publication=Publication(unit_of_work=units, file_store=files, inspector=inspector, clock=clock),
            trainer=trainer,
            clock=clock,
            most_running=MOST_RUNNING,
            pause_seconds=0.0,
        )
        self.checkpoint_files = checkpoint_files
        self.clock = clock
        user = a_user()
        self.actor = Actor(user_id=user.id)
        self.base, self.dataset = a_model(user.id), a_dataset(user.id)
        version = a_version(self.base)
        with units() as work:
            work.users.add(user)
            work.models.add(self.base)
            work.model_versions.add(version)
            work.datasets.add(self.dataset)
        for key, name, content in (
            (version.files_root, "files/config.json", json.dumps({}).encode()),
            (self.dataset.files_key, "data.jsonl", b"rows"),
        ):
            with files.stage() as staging:
                path = staging.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                staging.commit(key)

    def create(self) -> UUID:
        job = self.jobs.create(
            self.actor,
            name="job",
            base_model_id=self.base.id,
            dataset_id=self.dataset.id,
            hyperparameters={"batch_size": 4},
            config={"save_steps": 2, "logging_steps": 1},
        )
        return job.id

    def all(self) -> list[FinetuningJob]:
        with self.units(read_only=True) as work:
            return list(work.finetuning_jobs.page(PageRequest(limit=100), visible_to=self.actor, only=JobFilter()).items)

    def worker(self) -> Worker:
        return Worker(
            handlers=[self.train_model],
            reactions={"remove_checkpoint_files": self.checkpoint_files.clear},
            unit_of_work=self.units,
            broadcaster=None,  # type: ignore[arg-type] # nobody waits
            clock=self.clock,
            options=WorkerOptions(lease=timedelta(minutes=10)),
            ending=threading.Event(),
        )


@pytest.fixture(params=["sqlite", "postgres"])
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    is_sqlite = request.param == "sqlite"
    engine = open_engine(f"sqlite:///{tmp_path / 'maas.db'}" if is_sqlite else request.getfixturevalue("postgres_url"))
    metadata.drop_all(engine)
    metadata.create_all(engine)
    yield Yard(SqlUnitsOfWork(engine, SystemClock()), tmp_path / "files")
    metadata.drop_all(engine)
    engine.dispose()


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Make calls at the same moment; return their results, and raise what one of them raised."""
    barrier = threading.Barrier(len(calls))

    def call(one: Callable[[], object]) -> object:
        barrier.wait()
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call, one) for one in calls]]


def test_jobs_made_at_once_get_names_of_their_own_and_no_more_begin_than_may(yard: Yard) -> None:
    ids = at_once(*[yard.create] * 8)

    jobs = yard.all()
    assert {job.id for job in jobs} == set(ids)
    assert sum(job.admitted for job in jobs) == MOST_RUNNING
    assert len({job.result_name for job in jobs}) == 8


def test_making_cancelling_and_working_at_once_leave_every_job_with_an_end(yard: Yard) -> None:
    ids = [yard.create() for _ in range(9)]
    most_admitted: list[int] = []

    def cancel(job_id: UUID) -> None:
        try:
            yard.jobs.cancel(yard.actor, job_id)
        except Conflict:
            # It had ended before.
            assert yard.jobs.get(yard.actor, job_id).is_finished

    def work() -> None:
        worker = yard.worker()
        while any(not job.is_finished for job in yard.all()):
            worker.take_one()
            most_admitted.append(sum(job.admitted for job in yard.all()))

    at_once(work, work, *[lambda job_id=job_id: cancel(job_id) for job_id in ids[::2]], yard.create, yard.create)  # type: ignore[misc]

    jobs = yard.all()
    assert {job.status for job in jobs} <= {JobStatus.SUCCEEDED, JobStatus.CANCELLED}
    assert len(jobs) == 11
    assert max(most_admitted) <= MOST_RUNNING
    with yard.units(read_only=True) as work_unit:
        for job in jobs:
            assert folded(work_unit.finetuning_jobs.changes(job.id)) is job.status
            assert len(work_unit.model_versions.of([job.result_model_id])) == (job.status is JobStatus.SUCCEEDED)
