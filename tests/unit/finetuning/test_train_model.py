"""The long work of a job, with a trainer that follows a script."""

from datetime import timedelta

import pytest

from maas.adapters.model_inspector.memory import MemoryModelInspector
from maas.application.ports.trainer import TrainingRefused
from maas.application.work import WorkInterrupted
from maas.domain.catalog.facts import ModelFormat
from maas.domain.catalog.model import Lineage, ModelVersionReady
from maas.domain.finetuning.job import FinetuningJob, FinetuningSucceeded, JobStatus, folded
from maas.domain.finetuning.parameters import Algorithm, EvaluationStrategy
from maas.domain.paging import Order, PageRequest
from tests.builders import some_facts
from tests.unit.finetuning.conftest import Workshop

ALL = [(step, 1 / step) for step in range(1, 9)]


def statuses(workshop: Workshop, job: FinetuningJob) -> list[str]:
    with workshop.house.database(read_only=True) as work:
        changes = work.finetuning_jobs.changes(job.id)
    assert folded(changes) is workshop.job(job.id).status
    return [change.after.value for change in changes]


def messages(workshop: Workshop, job: FinetuningJob) -> list[str]:
    page = workshop.jobs.logs(workshop.actor, job.id, PageRequest(limit=100, order=Order.ASCENDING))
    return [line.message for line in page.items]


def test_a_job_ends_with_a_model_that_says_where_it_comes_from(workshop: Workshop) -> None:
    job = workshop.create(description="why")

    workshop.run()

    done = workshop.job(job.id)
    assert done.result is not None
    assert (done.status, done.percentage, done.step, done.total_steps, done.device) == (JobStatus.SUCCEEDED, 100.0, 8, 8, "cpu")
    assert statuses(workshop, job) == ["queued", "preparing", "running", "succeeded"]
    with workshop.house.database(read_only=True) as work:
        model = work.models.get(done.result.model_id, visible_to=workshop.actor)
        (version,) = work.model_versions.of([model.id])
    assert model.lineage == Lineage(base_model_id=workshop.base.id, dataset_id=workshop.dataset.id, job_id=job.id)
    assert (model.name, model.type, model.description) == ("my job", workshop.base.type, "why")
    assert (version.version, version.is_ready, version.file_size) == ("1.0.0", True, len(b"weights after 8 steps"))
    assert version.files == [
        {"name": "adapter_model.safetensors", "size": version.file_size, "sha256": version.files[0]["sha256"]}
    ]
    assert workshop.house.files.trees[version.files_root]["files/adapter_model.safetensors"] == b"weights after 8 steps"
    kinds = [type(event) for event in workshop.house.database.events]
    assert kinds.count(FinetuningSucceeded) == kinds.count(ModelVersionReady) == 1


def test_the_trainer_gets_canonical_rows_and_the_files_of_the_base(workshop: Workshop) -> None:
    held_out = workshop.add_dataset(rows=3)
    seen = []
    workshop.script.before_call = lambda step: seen.append(
        (request.train_rows.read_text().count("\n"), request.eval_rows.read_text().count("\n"))  # type: ignore[union-attr]
        if (request := workshop.trainer.requests[-1])
        else None
    )
    workshop.create(config={"evaluation_strategy": EvaluationStrategy.STEPS, "eval_dataset_id": held_out.id})

    workshop.run()

    assert seen[0] == (16, 3)
    assert workshop.trainer.requests[0].model.name == "files"
    assert workshop.trainer.requests[0].adapter is None


def test_the_curve_log_and_checkpoints_are_kept(workshop: Workshop) -> None:
    job = workshop.create()

    workshop.run()

    assert workshop.points(job.id) == ALL
    assert workshop.jobs.metrics(workshop.actor, job.id, after_step=7)[0].tokens == 80
    assert [one.step for one in workshop.jobs.checkpoints(workshop.actor, job.id)] == [2, 4, 6, 8]
    assert "loading the base model" in messages(workshop, job)
    assert workshop.kept_keys(job.id) == set()


def test_files_of_the_newest_two_checkpoints_alone_are_kept_while_a_job_runs(workshop: Workshop) -> None:
    job = workshop.create()
    seen: list[int] = []

    workshop.run(at_step={7: lambda: seen.append(len(workshop.kept_keys(job.id)))})

    assert seen == [2]


def test_an_adapter_is_trained_on_its_base(workshop: Workshop) -> None:
    adapter, version = workshop.add_model(
        facts={"model_format": ModelFormat.PEFT}, lineage=Lineage(base_model_id=workshop.base.id)
    )
    workshop.create(base_model_id=adapter.id)

    workshop.run()

    (request,) = workshop.trainer.requests
    assert request.adapter is not None
    assert str(request.adapter).endswith(version.files_key)
    assert str(request.model).endswith(workshop.base_version.files_key)


def test_a_trainer_that_dies_goes_on_from_the_last_checkpoint(workshop: Workshop) -> None:
    workshop.script.crash_after = [1, 5, 5, 8]
    job = workshop.create()

    workshop.run()

    assert workshop.job(job.id).status is JobStatus.SUCCEEDED
    assert workshop.points(job.id) == ALL
    resumed = [None if request.resume_from is None else request.resume_from.parent.name for request in workshop.trainer.requests]
    assert [name and name.split("-")[2] for name in resumed] == [None, None, "4", "4", "8"]


def test_points_after_the_checkpoint_are_dropped_when_a_run_goes_on(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.script.crash_after = [5]
    seen: list[list[tuple[int, float | None]]] = []

    def look() -> None:
        seen.append(workshop.points(job.id))

    # The second time that it comes to step 4 it has just gone on from there.
    workshop.script.steps_per_call = 1
    workshop.script.before_call = lambda step: look() if len(workshop.trainer.requests) == 2 and not seen else None
    workshop.run()

    assert seen == [ALL[:4]]
    assert workshop.points(job.id) == ALL


def test_percentage_never_falls_when_a_run_goes_on(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.script.crash_after = [5, 7]
    seen: list[float] = []
    workshop.script.steps_per_call = 1
    workshop.script.before_call = lambda step: seen.append(workshop.job(job.id).percentage)

    workshop.run()

    assert seen == sorted(seen)


def test_a_trainer_that_keeps_dying_fails_the_job_with_its_reason(workshop: Workshop) -> None:
    workshop.script.crash_after = [3] * 20
    job = workshop.create()

    workshop.run()

    failed = workshop.job(job.id)
    assert failed.status is JobStatus.FAILED
    assert failed.reason == "the training process was killed (signal 9), 6 times in a row"
    assert len(workshop.trainer.requests) == 7


def test_what_cannot_be_trained_fails_at_once_with_the_reason(workshop: Workshop) -> None:
    workshop.script.refuse = TrainingRefused(code="FINETUNE_001", field="base_model_id", reason="this is no model")
    job = workshop.create()

    workshop.run()

    assert workshop.job(job.id).reason == "this is no model"
    assert messages(workshop, job)[-1] == "this is no model"
    assert workshop.house.work() == 0


def test_a_base_that_is_gone_fails_the_job(workshop: Workshop) -> None:
    job = workshop.create()
    with workshop.house.database() as work:
        work.model_versions.remove(work.model_versions.get(workshop.base.id, "1.0.0"))

    workshop.run()

    assert workshop.job(job.id).reason == "the base model of this job is gone"


def test_a_result_that_is_no_model_fails_the_job(workshop: Workshop) -> None:
    workshop.house.container.model_inspector.override(MemoryModelInspector(some_facts(), needed=["config.json"]))
    workshop.train_model.publication.inspector = MemoryModelInspector(some_facts(), needed=["config.json"])
    job = workshop.create()

    workshop.run()

    assert "the result cannot be used" in str(workshop.job(job.id).reason)
    assert [key for key in workshop.house.files.trees if key.startswith("models/")] == [workshop.base_version.files_root]


def test_a_running_job_that_is_cancelled_saves_and_goes_on_after_a_restart(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.run(at_step={3: lambda: workshop.jobs.cancel(workshop.actor, job.id)})

    cancelled = workshop.job(job.id)
    assert cancelled.status is JobStatus.CANCELLED
    (*_, saved) = workshop.jobs.checkpoints(workshop.actor, job.id)
    assert (saved.is_kept, saved.step) == (True, cancelled.step)
    assert 3 <= saved.step < 8

    restarted = workshop.jobs.restart(workshop.actor, job.id)
    assert (restarted.status, restarted.run, restarted.step) == (JobStatus.QUEUED, 2, saved.step)
    workshop.run()

    assert workshop.job(job.id).status is JobStatus.SUCCEEDED
    assert workshop.points(job.id) == ALL
    assert workshop.trainer.requests[1].resume_from is not None
    assert statuses(workshop, job)[-5:] == ["cancelled", "queued", "preparing", "running", "succeeded"]


def test_a_job_restarted_from_scratch_forgets_points_and_checkpoints(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.run(at_step={5: lambda: workshop.jobs.cancel(workshop.actor, job.id)})

    restarted = workshop.jobs.restart(workshop.actor, job.id, from_scratch=True)

    assert (restarted.step, restarted.percentage) == (0, 0.0)
    assert workshop.points(job.id) == []
    assert list(workshop.jobs.checkpoints(workshop.actor, job.id)) == []
    workshop.run()
    assert workshop.trainer.requests[1].resume_from is None
    assert workshop.points(job.id) == ALL
    assert workshop.kept_keys(job.id) == set()


def test_files_of_a_run_that_was_given_up_are_cleared_away_after_a_restart_from_scratch(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.run(at_step={5: lambda: workshop.jobs.cancel(workshop.actor, job.id)})
    assert len(workshop.kept_keys(job.id)) == 2
    workshop.jobs.restart(workshop.actor, job.id, from_scratch=True)
    workshop.jobs.cancel(workshop.actor, job.id)

    workshop.run()

    assert workshop.kept_keys(job.id) == set()


def test_what_a_dead_worker_left_behind_is_cleared_away_when_the_run_is_over(workshop: Workshop) -> None:
    job = workshop.create()
    left_behind = f"jobs/{job.id}/1-1-3-abcdefab"
    workshop.leave_behind(left_behind)

    workshop.run(at_step={5: lambda: workshop.jobs.cancel(workshop.actor, job.id)})

    kept = {str(one.files_key) for one in workshop.jobs.checkpoints(workshop.actor, job.id) if one.is_kept}
    assert {f"{key}/files" for key in workshop.kept_keys(job.id)} == kept
    assert len(kept) == 2


def test_what_a_run_is_about_to_keep_is_not_cleared_away(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.jobs.cancel(workshop.actor, job.id)
    workshop.jobs.restart(workshop.actor, job.id)
    in_flight, outdated = f"jobs/{job.id}/2-1-3-abcdefab", f"jobs/{job.id}/1-1-3-abcdefab"
    for key in (in_flight, outdated):
        workshop.leave_behind(key)

    workshop.train_model.checkpoint_files.clear({"job_id": str(job.id)})

    assert workshop.kept_keys(job.id) == {in_flight}


def test_a_cancel_before_learning_begins_ends_the_job_without_a_checkpoint(workshop: Workshop) -> None:
    job = workshop.create()

    workshop.script.loads = True

    workshop.run(at_step={0: lambda: workshop.jobs.cancel(workshop.actor, job.id)})

    assert workshop.job(job.id).status is JobStatus.CANCELLED
    assert list(workshop.jobs.checkpoints(workshop.actor, job.id)) == []


def test_a_cancel_that_comes_with_the_result_still_cancels(workshop: Workshop) -> None:
    job = workshop.create()
    inspector = workshop.train_model.publication.inspector
    inspect = inspector.inspect

    def cancel_first(folder: object) -> object:
        workshop.jobs.cancel(workshop.actor, job.id)
        return inspect(folder)  # type: ignore[arg-type]

    inspector.inspect = cancel_first  # type: ignore[assignment, method-assign]
    workshop.run()

    assert workshop.job(job.id).status is JobStatus.CANCELLED
    with workshop.house.database(read_only=True) as work:
        assert list(work.model_versions.of([job.result_model_id])) == []
    assert [key for key in workshop.house.files.trees if key.startswith("models/")] == [workshop.base_version.files_root]


def test_a_worker_that_is_ending_lets_the_run_save_and_puts_it_down(workshop: Workshop) -> None:
    job = workshop.create()
    hold = workshop.claim()
    workshop.happen({5: lambda: setattr(hold, "ending", True)})

    with pytest.raises(WorkInterrupted):
        workshop.train_model.run(hold)

    assert workshop.job(job.id).status is JobStatus.RUNNING
    (*_, saved) = workshop.jobs.checkpoints(workshop.actor, job.id)
    assert saved.step in (5, 6)
    with workshop.house.database() as work:
        work.leases.give_back(hold.lease, at=workshop.house.clock.now())
    workshop.run()
    assert workshop.job(job.id).status is JobStatus.SUCCEEDED
    assert workshop.points(job.id) == ALL


def test_a_worker_that_lost_its_lease_writes_nothing_any_more(workshop: Workshop) -> None:
    job = workshop.create()
    hold = workshop.claim()

    def pause() -> None:
        # The worker sleeps so long that another one takes over, and ends the job.
        workshop.house.clock.advance(timedelta(minutes=5))
        workshop.script.before_call = lambda step: None
        workshop.house.work()

    workshop.happen({5: pause})
    workshop.train_model.run(hold)

    assert workshop.job(job.id).status is JobStatus.SUCCEEDED
    assert workshop.points(job.id) == ALL
    kinds = [type(event) for event in workshop.house.database.events]
    assert kinds.count(FinetuningSucceeded) == 1
    assert workshop.kept_keys(job.id) == set()
    assert len([key for key in workshop.house.files.trees if key.startswith("models/")]) == 2


def test_a_lease_that_the_worker_knows_to_be_lost_ends_the_training(workshop: Workshop) -> None:
    job = workshop.create()
    hold = workshop.claim()
    workshop.happen({5: lambda: setattr(hold, "lost", True)})

    workshop.train_model.run(hold)

    assert workshop.job(job.id).status is JobStatus.RUNNING
    assert workshop.job(job.id).step < 8


def test_a_dead_worker_costs_no_work_that_was_saved(workshop: Workshop) -> None:
    job = workshop.create()
    hold = workshop.claim()

    class Killed(BaseException):
        """The process is gone, with all that it had in hand."""

    def die() -> None:
        raise Killed

    workshop.happen({5: die})
    with pytest.raises(Killed):
        workshop.train_model.run(hold)
    workshop.house.clock.advance(timedelta(minutes=5))
    workshop.run()

    assert workshop.job(job.id).status is JobStatus.SUCCEEDED
    assert workshop.points(job.id) == ALL
    assert statuses(workshop, job) == ["queued", "preparing", "running", "preparing", "running", "succeeded"]
    assert workshop.trainer.requests[1].resume_from is not None


def test_work_that_is_given_up_fails_the_job_once(workshop: Workshop) -> None:
    job = workshop.create()
    lease = workshop.claim().lease

    workshop.train_model.give_up(lease, "the disk is gone")
    workshop.train_model.give_up(lease, "again")

    assert workshop.job(job.id).reason == "the disk is gone"
    assert statuses(workshop, job) == ["queued", "failed"]


def test_the_work_of_an_earlier_run_does_nothing(workshop: Workshop) -> None:
    job = workshop.create()
    hold = workshop.claim()
    workshop.jobs.cancel(workshop.actor, job.id)
    workshop.jobs.restart(workshop.actor, job.id)

    workshop.train_model.run(hold)
    workshop.train_model.give_up(hold.lease, "late")

    assert workshop.job(job.id).status is JobStatus.QUEUED
    assert workshop.trainer.requests == []


def test_the_next_waiting_job_begins_when_one_ends(workshop: Workshop) -> None:
    jobs = [workshop.create() for _ in range(5)]

    workshop.run()

    assert [workshop.job(job.id).status for job in jobs] == [JobStatus.SUCCEEDED] * 5
    assert [workshop.job(job.id).result_name for job in jobs][:2] == ["my job", "my job (2)"]


def test_full_fine_tuning_makes_a_whole_model(workshop: Workshop) -> None:
    job = workshop.create(algorithm=Algorithm.FULL)

    workshop.run()

    with workshop.house.database(read_only=True) as work:
        (version,) = work.model_versions.of([job.result_model_id])
    assert [file["name"] for file in version.files] == ["model.safetensors"]


def test_evaluations_stand_among_the_points(workshop: Workshop) -> None:
    job = workshop.create(config={"logging_steps": 4, "evaluation_strategy": EvaluationStrategy.STEPS, "eval_steps": 3})

    workshop.run()

    seen = [(point.step, point.loss, point.eval_loss) for point in workshop.jobs.metrics(workshop.actor, job.id)]
    assert seen == [(3, None, 2 / 3), (4, 0.25, None), (6, None, 2 / 6), (8, 0.125, None)]


def test_each_change_is_announced(workshop: Workshop) -> None:
    job = workshop.create()

    workshop.run()

    assert workshop.house.database.announced.count(f"job/{job.id}") >= 4
