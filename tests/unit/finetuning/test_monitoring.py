"""Following a job."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from maas.application.actor import Actor
from maas.application.finetuning.monitoring import JobMonitor, JobProgress
from maas.domain.errors import NotFound
from maas.domain.finetuning.job import FinetuningJob, JobStatus
from maas.domain.identifiers import new_id
from maas.entrypoints.websocket import capabilities, finetuning
from tests.unit.finetuning.conftest import Workshop


def monitor(workshop: Workshop) -> JobMonitor:
    made: JobMonitor = workshop.house.container.job_monitor()
    return made


def next_change(following: Iterator[JobProgress | None]) -> JobProgress:
    return next(progress for progress in following if progress is not None)


def test_the_state_comes_first_then_each_change_to_the_end(workshop: Workshop) -> None:
    job = workshop.create()
    told: list[JobProgress] = []
    with closing(monitor(workshop).follow(workshop.actor, job.id)) as following:
        told.append(next_change(following))

        def hear() -> None:
            workshop.house.clock.advance(timedelta(seconds=1))
            told.append(next_change(following))

        workshop.run(at_step=dict.fromkeys(range(2, 9), hear))
        told.extend(progress for progress in following if progress is not None)

    assert (told[0].status, told[0].percentage, told[0].metrics) == (JobStatus.QUEUED, 0.0, None)
    assert (told[-1].status, told[-1].percentage, told[-1].is_last) == (JobStatus.SUCCEEDED, 100.0, True)
    assert [progress.percentage for progress in told] == sorted(progress.percentage for progress in told)
    points = [progress.metrics.step for progress in told if progress.metrics is not None]
    assert sorted(set(points)) == list(range(1, 9))
    assert points == sorted(points)


def test_percentage_does_not_fall_when_a_run_goes_on_from_a_checkpoint(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.script.crash_after = [5, 7]
    told: list[JobProgress] = []
    following = monitor(workshop).follow(workshop.actor, job.id)
    workshop.script.steps_per_call = 1

    def hear(step: int) -> None:
        workshop.house.clock.advance(timedelta(seconds=1))
        told.append(next_change(following))

    workshop.script.before_call = hear
    workshop.run()
    told.extend(progress for progress in following if progress is not None)

    assert [progress.percentage for progress in told] == sorted(progress.percentage for progress in told)
    assert JobStatus.PREPARING in {progress.status for progress in told[5:]}
    assert told[-1].status is JobStatus.SUCCEEDED


def test_a_finished_job_is_told_once(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.run()

    (only,) = monitor(workshop).follow(workshop.actor, job.id)

    assert only is not None
    assert only.status is JobStatus.SUCCEEDED
    assert only.metrics is not None
    assert only.metrics.step == 8


def test_strangers_are_refused_before_anything_is_sent(workshop: Workshop) -> None:
    job = workshop.create()

    for actor, job_id in ((Actor(user_id=new_id()), job.id), (workshop.actor, new_id())):
        with pytest.raises(NotFound):
            monitor(workshop).follow(actor, job_id)


def test_a_job_that_is_deleted_ends_the_following(workshop: Workshop) -> None:
    job = workshop.create()
    following = monitor(workshop).follow(workshop.actor, job.id)
    next(following)
    workshop.jobs.cancel(workshop.actor, job.id)
    workshop.jobs.delete(workshop.actor, job.id)

    with pytest.raises(NotFound):
        next(following)


@dataclass
class Listening:
    """A client of the monitor that keeps what it is sent."""

    actor: Actor
    leave_after: int = 1_000
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return len(self.messages) < self.leave_after

    def send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)


def monitored(workshop: Workshop, job: FinetuningJob | UUID, **options: Any) -> list[dict[str, Any]]:
    workshop.house.container.wire(modules=capabilities.MODULES)
    client = Listening(workshop.actor, **options)
    finetuning.monitor(client, job if isinstance(job, UUID) else job.id)  # type: ignore[arg-type]
    return client.messages


def test_the_socket_sends_a_snapshot_then_progress_in_the_documented_shape(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.run()

    (snapshot,) = monitored(workshop, job)

    assert {"type", "job_id", "status", "percentage", "metrics", "eta_seconds", "at"} <= set(snapshot)
    assert (snapshot["type"], snapshot["job_id"], snapshot["status"]) == ("snapshot", str(job.id), "succeeded")
    assert (snapshot["metrics"]["step"], snapshot["metrics"]["loss"]) == (8, 0.125)
    assert snapshot["at"].endswith("Z")


def test_the_socket_ends_when_its_client_has_left(workshop: Workshop) -> None:
    job = workshop.create()

    assert len(monitored(workshop, job, leave_after=1)) == 1


def test_the_socket_lies_below_both_prefixes(workshop: Workshop) -> None:
    rules = [rule.rule for rule in workshop.house.app.url_map.iter_rules() if rule.websocket]

    for prefix in ("/v1", "/api/v1"):
        assert f"{prefix}/finetune/jobs/<uuid:job_id>/monitor" in rules
