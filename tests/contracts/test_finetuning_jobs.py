"""What every repository of fine-tuning jobs keeps."""

from datetime import timedelta
from uuid import UUID

import pytest

from maas.application.actor import Actor
from maas.application.ports.repositories.finetuning import JobFilter
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.errors import NotFound, OutOfRange
from maas.domain.finetuning.job import FinetuningJob, JobStatus, folded
from maas.domain.finetuning.parameters import Algorithm, EvaluationStrategy, Hyperparameters, TrainingConfig
from maas.domain.finetuning.training import Checkpoint, LogLevel, LogLine, MetricsPoint
from maas.domain.identifiers import new_id
from maas.domain.identity import Role
from maas.domain.paging import Order, PageRequest
from tests.builders import NOW, a_job, a_user

ADMIN = Actor(user_id=new_id(), roles=frozenset({Role.USER, Role.ADMIN}))


@pytest.fixture
def owner(units: UnitOfWorkFactory) -> UUID:
    user = a_user()
    with units() as work:
        work.users.add(user)
    return user.id


def kept(units: UnitOfWorkFactory, *jobs: FinetuningJob) -> list[UUID]:
    with units() as work:
        for job in jobs:
            work.finetuning_jobs.add(job)
    return [job.id for job in jobs]


def point(step: int, loss: float = 1.0) -> MetricsPoint:
    return MetricsPoint(step=step, epoch=step / 4, loss=loss, learning_rate=1e-4, tokens=step * 10, at=NOW)


def checkpoint(job_id: UUID, step: int, key: str | None = "") -> Checkpoint:
    files_key = f"jobs/{job_id}/{step}" if key == "" else key
    return Checkpoint(job_id=job_id, step=step, size=step * 100, files_key=files_key, created_at=NOW)


def test_a_job_comes_back_as_it_was(units: UnitOfWorkFactory, owner: UUID) -> None:
    job = a_job(
        owner,
        description="why",
        algorithm=Algorithm.DORA,
        hyperparameters=Hyperparameters(learning_rate=3e-4, lora_alpha=32.0, target_modules=("q_proj", "v_proj")),
        config=TrainingConfig(evaluation_strategy=EvaluationStrategy.STEPS, eval_dataset_id=new_id()),
        adapter_base_id=new_id(),
        adapter_base_version="2.0.0",
    )
    kept(units, job)

    with units(read_only=True) as work:
        found = work.finetuning_jobs.find(job.id)

    assert found is not None
    assert vars(found) == {**vars(job), "changes": []}


def test_strangers_do_not_see_a_job_and_administrators_do(units: UnitOfWorkFactory, owner: UUID) -> None:
    (job_id,) = kept(units, a_job(owner))

    with units(read_only=True) as work:
        assert work.finetuning_jobs.get(job_id, visible_to=Actor(user_id=owner)).id == job_id
        assert work.finetuning_jobs.get(job_id, visible_to=ADMIN).id == job_id
        with pytest.raises(NotFound):
            work.finetuning_jobs.get(job_id, visible_to=Actor(user_id=new_id()))
        strangers = work.finetuning_jobs.page(PageRequest(), visible_to=Actor(user_id=new_id()), only=JobFilter())
    assert strangers.total == 0


def test_a_page_is_filtered_searched_and_sorted(units: UnitOfWorkFactory, owner: UUID) -> None:
    base = new_id()
    first, second, third = (
        a_job(owner, name="Alpha", base_model_id=base, at=NOW),
        a_job(owner, name="Beta", description="ALPHABET", at=NOW + timedelta(seconds=1)),
        a_job(owner, name="Gamma", algorithm=Algorithm.FULL, at=NOW + timedelta(seconds=2)),
    )
    second.request_cancel(at=NOW + timedelta(seconds=9))
    kept(units, first, second, third)
    actor = Actor(user_id=owner)

    def names(only: JobFilter | None = None, **request: object) -> list[str]:
        with units(read_only=True) as work:
            page = work.finetuning_jobs.page(PageRequest(**request), visible_to=actor, only=only or JobFilter())  # type: ignore[arg-type]
        return [job.name for job in page.items]

    assert names() == ["Gamma", "Beta", "Alpha"]
    assert names(sort="name", order=Order.ASCENDING, limit=2) == ["Alpha", "Beta"]
    assert names(search="alpha") == ["Beta", "Alpha"]
    assert names(JobFilter(status=JobStatus.CANCELLED)) == ["Beta"]
    assert names(JobFilter(algorithm=Algorithm.FULL)) == ["Gamma"]
    assert names(JobFilter(base_model_id=base)) == ["Alpha"]
    assert names(JobFilter(dataset_id=third.dataset_id)) == ["Gamma"]
    with pytest.raises(OutOfRange):
        names(sort="loss")


def test_the_log_of_changes_folds_to_the_status(units: UnitOfWorkFactory, owner: UUID) -> None:
    (job_id,) = kept(units, a_job(owner))
    with units() as work:
        job = work.finetuning_jobs.find(job_id, for_update=True)
        assert job is not None
        job.prepare(resume_step=0, at=NOW)
        job.start(total_steps=4, trainable_parameters=1, device="cpu", precision="fp32", at=NOW)
        assert [change.after for change in work.finetuning_jobs.changes(job_id)][-1] is JobStatus.RUNNING
    with units() as work:
        job = work.finetuning_jobs.find(job_id, for_update=True)
        assert job is not None
        job.fail("why", at=NOW)
        job.restart(resume_step=0, at=NOW)

    with units(read_only=True) as work:
        changes = work.finetuning_jobs.changes(job_id)
        stored = work.finetuning_jobs.find(job_id)

    assert [change.after.value for change in changes] == ["queued", "preparing", "running", "failed", "queued"]
    assert [change.run for change in changes] == [1, 1, 1, 1, 2]
    assert changes[3].reason == "why"
    assert stored is not None
    assert folded(changes) is stored.status


def test_a_rolled_back_change_leaves_no_line_in_the_log(units: UnitOfWorkFactory, owner: UUID) -> None:
    (job_id,) = kept(units, a_job(owner))
    with pytest.raises(RuntimeError), units() as work:
        job = work.finetuning_jobs.find(job_id, for_update=True)
        assert job is not None
        job.cancel(at=NOW)
        raise RuntimeError

    with units(read_only=True) as work:
        assert len(work.finetuning_jobs.changes(job_id)) == 1


def test_as_many_waiting_jobs_are_admissible_as_there_is_room(units: UnitOfWorkFactory, owner: UUID) -> None:
    jobs = [a_job(owner) for _ in range(5)]
    jobs[0].admit(at=NOW)
    ids = kept(units, *jobs)

    with units() as work:
        assert [job.id for job in work.finetuning_jobs.admissible(owner, limit=3)] == ids[1:3]
        assert [job.id for job in work.finetuning_jobs.admissible(owner, limit=None)] == ids[1:]
        assert [job.id for job in work.finetuning_jobs.admissible(owner, limit=1)] == []
        assert list(work.finetuning_jobs.admissible(new_id(), limit=3)) == []


def test_what_unfinished_jobs_use_is_known(units: UnitOfWorkFactory, owner: UUID) -> None:
    held_out = new_id()
    job = a_job(
        owner,
        adapter_base_id=new_id(),
        adapter_base_version="3",
        config=TrainingConfig(eval_dataset_id=held_out),
        base_version="2",
    )
    kept(units, job)

    with units() as work:
        jobs = work.finetuning_jobs
        assert jobs.uses_model(job.base_model_id)
        assert jobs.uses_model(job.base_model_id, "2")
        assert not jobs.uses_model(job.base_model_id, "1")
        assert job.adapter_base_id is not None
        assert jobs.uses_model(job.adapter_base_id, "3")
        assert not jobs.uses_model(job.adapter_base_id, "2")
        assert jobs.uses_dataset(job.dataset_id)
        assert jobs.uses_dataset(held_out)
        assert not jobs.uses_dataset(job.base_model_id)
        found = jobs.find(job.id, for_update=True)
        assert found is not None
        found.cancel(at=NOW)
        assert not jobs.uses_model(job.base_model_id)
        assert not jobs.uses_dataset(job.dataset_id)


def test_points_are_kept_by_step_replaced_and_dropped(units: UnitOfWorkFactory, owner: UUID) -> None:
    (job_id,) = kept(units, a_job(owner))
    with units() as work:
        work.finetuning_jobs.add_points(job_id, [point(1), point(2), point(3)])
    with units() as work:
        work.finetuning_jobs.add_points(job_id, [point(3, loss=0.25), point(4)])
        work.finetuning_jobs.drop_points(job_id, after_step=3)

    with units(read_only=True) as work:
        assert list(work.finetuning_jobs.points(job_id)) == [point(1), point(2), point(3, loss=0.25)]
        assert list(work.finetuning_jobs.points(job_id, after_step=2)) == [point(3, loss=0.25)]
        assert work.finetuning_jobs.latest_point(job_id) == point(3, loss=0.25)
        assert work.finetuning_jobs.latest_point(new_id()) is None


def test_log_lines_are_paged_in_the_order_of_writing(units: UnitOfWorkFactory, owner: UUID) -> None:
    (job_id,) = kept(units, a_job(owner))
    lines = [LogLine(level=LogLevel.INFO, message=f"line {number}", at=NOW) for number in range(5)]
    warning = LogLine(level=LogLevel.WARNING, message="Beware: 100%", at=NOW)
    with units() as work:
        work.finetuning_jobs.add_lines(job_id, [*lines, warning])

    def page(level: LogLevel | None = None, **request: object) -> list[LogLine]:
        with units(read_only=True) as work:
            found = work.finetuning_jobs.lines(job_id, PageRequest(**request), level=level)  # type: ignore[arg-type]
        return list(found.items)

    assert page(order=Order.ASCENDING, limit=2, number=2) == lines[2:4]
    assert page(limit=1) == [warning]
    assert page(LogLevel.WARNING) == [warning]
    assert page(search="beware: 100%") == [warning]
    with pytest.raises(OutOfRange):
        page(sort="name")


def test_the_files_of_the_newest_checkpoints_are_kept(units: UnitOfWorkFactory, owner: UUID) -> None:
    (job_id,) = kept(units, a_job(owner))
    no_longer_needed: list[list[str]] = []
    with units() as work:
        no_longer_needed.extend(
            list(work.finetuning_jobs.keep_checkpoint(checkpoint(job_id, step), newest=2)) for step in (5, 10, 15)
        )
        again = work.finetuning_jobs.keep_checkpoint(checkpoint(job_id, 15, "jobs/x/again"), newest=2)

    with units(read_only=True) as work:
        known = work.finetuning_jobs.checkpoints(job_id)
    assert no_longer_needed == [[], [], [f"jobs/{job_id}/5"]]
    assert list(again) == [f"jobs/{job_id}/15"]
    assert [(one.step, one.files_key) for one in known] == [(5, None), (10, f"jobs/{job_id}/10"), (15, "jobs/x/again")]


def test_checkpoints_are_forgotten_and_dropped(units: UnitOfWorkFactory, owner: UUID) -> None:
    (job_id,) = kept(units, a_job(owner))
    with units() as work:
        work.finetuning_jobs.keep_checkpoint(checkpoint(job_id, 5), newest=2)
        work.finetuning_jobs.forget_checkpoint_files(job_id)
        assert [one.is_kept for one in work.finetuning_jobs.checkpoints(job_id)] == [False]
        work.finetuning_jobs.drop_checkpoints(job_id)
        assert list(work.finetuning_jobs.checkpoints(job_id)) == []


def test_a_removed_job_takes_all_that_it_told_along(units: UnitOfWorkFactory, owner: UUID) -> None:
    (job_id,) = kept(units, a_job(owner))
    with units() as work:
        work.finetuning_jobs.add_points(job_id, [point(1)])
        work.finetuning_jobs.add_lines(job_id, [LogLine(level=LogLevel.INFO, message="one", at=NOW)])
        work.finetuning_jobs.keep_checkpoint(checkpoint(job_id, 1), newest=2)
    with units() as work:
        found = work.finetuning_jobs.find(job_id, for_update=True)
        assert found is not None
        work.finetuning_jobs.remove(found)

    with units(read_only=True) as work:
        assert work.finetuning_jobs.find(job_id) is None
        assert list(work.finetuning_jobs.changes(job_id)) == []
        assert list(work.finetuning_jobs.points(job_id)) == []
        assert work.finetuning_jobs.lines(job_id, PageRequest()).total == 0
        assert list(work.finetuning_jobs.checkpoints(job_id)) == []
