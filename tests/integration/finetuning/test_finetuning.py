"""Real jobs: tiny models are trained, and whatever dies on the way costs time alone."""

import json
import os
import signal

import psutil
import pytest

from maas.domain.catalog.facts import ModelFormat
from maas.domain.catalog.model import Model
from maas.domain.datasets.dataset import Dataset
from maas.domain.datasets.rows import DatasetType
from maas.domain.finetuning.job import FinetuningJob, JobStatus, folded
from maas.domain.finetuning.parameters import Algorithm
from tests.integration.finetuning.works import Works, kill_trainer, steps, trainers_of

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHORT = {"learning_rate": 1e-2, "batch_size": 8, "num_epochs": 4}
TOTAL_STEPS = 480


def assert_unbroken(works: Works, job: FinetuningJob, unbroken: FinetuningJob) -> None:
    """The job has succeeded, no step was counted twice, and its curve is that of an unbroken run, bit for bit."""
    done = works.job(job.id)
    curve = works.curve(job.id)
    assert (done.status, done.step, done.percentage) == (JobStatus.SUCCEEDED, TOTAL_STEPS, 100.0)
    assert list(curve) == steps(list(curve))
    assert curve == works.curve(unbroken.id)
    with works.container.unit_of_work()(read_only=True) as work:
        assert folded(work.finetuning_jobs.changes(job.id)) is JobStatus.SUCCEEDED
        assert len(work.model_versions.of([done.result_model_id])) == 1


def test_a_job_learns_and_makes_a_model(works: Works, base: Model, dataset: Dataset, unbroken: FinetuningJob) -> None:
    version, folder = works.result(unbroken.id)
    curve = works.curve(unbroken.id)
    losses = [point[1] for point in curve.values() if point[1] is not None]

    assert (unbroken.status, unbroken.step, unbroken.device) == (JobStatus.SUCCEEDED, TOTAL_STEPS, "cpu")
    assert list(curve) == list(range(1, TOTAL_STEPS + 1))
    assert losses[-1] < losses[0]
    assert version.is_ready
    assert version.metadata["model_format"] == ModelFormat.PEFT.value
    assert version.metadata["has_chat_template"]
    assert {file["name"] for file in version.files} >= {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] is None
    assert list(works.container.file_store().keys(f"jobs/{unbroken.id}")) == []


def test_a_killed_trainer_costs_no_step(works: Works, base: Model, dataset: Dataset, unbroken: FinetuningJob) -> None:
    job = works.create(base.id, dataset)

    with works.working():
        works.follow(job.id, until=lambda progress: progress.step >= 60)
        kill_trainer()
        heard = works.follow(job.id, until=lambda progress: False)

    assert_unbroken(works, job, unbroken)
    percentages = [progress.percentage for progress in heard]
    assert percentages == sorted(percentages)
    assert heard[-1].status is JobStatus.SUCCEEDED
    with works.container.unit_of_work()(read_only=True) as work:
        changes = [change.after.value for change in work.finetuning_jobs.changes(job.id)]
    assert changes == ["queued", "preparing", "running", "preparing", "running", "succeeded"]


def test_a_killed_worker_costs_no_step_and_leaves_no_orphan(
    works: Works, base: Model, dataset: Dataset, unbroken: FinetuningJob
) -> None:
    job = works.create(base.id, dataset)

    with works.worker_process() as worker:
        works.follow(job.id, until=lambda progress: progress.step >= 60)
        orphans = trainers_of(worker.pid)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    gone, _ = psutil.wait_procs(orphans, timeout=20)
    assert len(gone) == len(orphans) == 1
    assert works.job(job.id).status is JobStatus.RUNNING

    with works.worker_process():
        works.follow(job.id, until=lambda progress: False)

    assert_unbroken(works, job, unbroken)


def test_a_worker_that_is_told_to_end_saves_first(works: Works, base: Model, dataset: Dataset, unbroken: FinetuningJob) -> None:
    job = works.create(base.id, dataset, config={"logging_steps": 1, "save_steps": 1000})

    with works.worker_process() as worker:
        works.follow(job.id, until=lambda progress: progress.step >= 30)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    (saved,) = works.jobs.checkpoints(works.actor, job.id)
    assert saved.step >= 30
    works.work()

    assert_unbroken(works, job, unbroken)


def test_a_cancelled_job_keeps_a_checkpoint_and_goes_on_from_it(
    works: Works, base: Model, dataset: Dataset, unbroken: FinetuningJob
) -> None:
    job = works.create(base.id, dataset)
    with works.working():
        works.follow(job.id, until=lambda progress: progress.step >= 30)
        works.jobs.cancel(works.actor, job.id)
        heard = works.follow(job.id, until=lambda progress: False)
    (*_, saved) = works.jobs.checkpoints(works.actor, job.id)

    assert heard[-1].status is JobStatus.CANCELLED
    assert saved.is_kept
    assert works.job(job.id).step == saved.step
    assert works.job(job.id).result is None

    restarted = works.jobs.restart(works.actor, job.id)
    assert (restarted.run, restarted.step) == (2, saved.step)
    works.work()

    assert_unbroken(works, job, unbroken)


def test_a_job_begins_again_from_scratch(works: Works, base: Model, dataset: Dataset) -> None:
    job = works.create(base.id, dataset, hyperparameters={**SHORT, "num_epochs": 400})
    with works.working():
        works.follow(job.id, until=lambda progress: progress.step >= 60)
        works.jobs.cancel(works.actor, job.id)
    before = works.curve(job.id)

    works.jobs.restart(works.actor, job.id, from_scratch=True)
    assert works.curve(job.id) == {}
    with works.working():
        works.follow(job.id, until=lambda progress: progress.step >= 30)
        works.jobs.cancel(works.actor, job.id)
    after = works.curve(job.id)

    common = sorted(set(before) & set(after))
    assert len(common) >= 30
    assert [after[step] for step in common] == [before[step] for step in common]


def test_a_result_is_fine_tuned_again_into_a_whole_model(works: Works, dataset: Dataset, unbroken: FinetuningJob) -> None:
    assert unbroken.result is not None
    job = works.create(unbroken.result.model_id, dataset, hyperparameters=SHORT)

    works.work()

    version, _ = works.result(job.id)
    assert works.job(job.id).adapter_base_id == unbroken.base_model_id
    assert version.metadata["model_format"] == ModelFormat.TRANSFORMERS.value
    first, of_the_base = works.curve(job.id)[1][1], works.curve(unbroken.id)[1][1]
    assert first is not None
    assert of_the_base is not None
    assert first < of_the_base


def test_preferences_are_learned(works: Works, base: Model) -> None:
    job = works.create(base.id, works.add_dataset(DatasetType.PREFERENCE), hyperparameters=SHORT, algorithm=Algorithm.FULL)

    works.work()

    losses = [point[1] for point in works.curve(job.id).values()]
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert losses[-1] is not None
    assert losses[-1] < 0.69
    assert works.result(job.id)[0].metadata["model_format"] == ModelFormat.TRANSFORMERS.value


def test_no_trainer_is_left(works: Works) -> None:
    assert trainers_of(os.getpid()) == []
