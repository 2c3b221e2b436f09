"""Fine-tuning jobs: making, listing, showing, stopping, starting again, removing."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from maas.application.actor import Actor
from maas.application.finetuning.admission import FINETUNE_KIND, admit_waiting, job_topic
from maas.application.finetuning.fitting import Base, check_algorithm, check_still_fits, fitting_base, fitting_dataset
from maas.application.ports.clock import Clock
from maas.application.ports.repositories.finetuning import JobFilter
from maas.application.ports.trainer import Trainer
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.domain.catalog.model import Lineage, Model
from maas.domain.errors import AlreadyExists, Invalid, JobImpossible, Problem
from maas.domain.finetuning.job import FinetuningJob
from maas.domain.finetuning.parameters import Algorithm, Hyperparameters, TrainingConfig
from maas.domain.finetuning.training import Checkpoint, LogLevel, LogLine, MetricsPoint
from maas.domain.identifiers import new_id
from maas.domain.naming import LONGEST_NAME, checked_description, checked_name
from maas.domain.paging import Page, PageRequest

_MOST_NAME_TRIES = 10


class FinetuningJobs:
    """What people do with jobs. `most_running` bounds how many of a person's are worked on at once; the others wait."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, trainer: Trainer, clock: Clock, most_running: int) -> None:
        self.unit_of_work = unit_of_work
        self.trainer = trainer
        self.clock = clock
        self.most_running = most_running

    def create(
        self,
        actor: Actor,
        *,
        name: str,
        base_model_id: UUID,
        dataset_id: UUID,
        algorithm: Algorithm = Algorithm.LORA,
        base_model_version: str | None = None,
        description: str | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> FinetuningJob:
        """Make a job and reserve the name of its result.

        Raises Invalid for values out of range, NotFound for ids that `actor` may not know of, JobImpossible where model,
        data and parameters do not fit together.
        """
        values = {"learning_rate": algorithm.default_learning_rate, **(hyperparameters or {})}
        name, description, learning, beside = _all_checked(
            lambda: checked_name(name),
            lambda: checked_description(description),
            lambda: Hyperparameters(**values),
            lambda: TrainingConfig(**(config or {})),
        )
        order = _Order(
            name=name,
            description=description,
            base_model_id=base_model_id,
            base_model_version=base_model_version,
            dataset_id=dataset_id,
            algorithm=algorithm,
            hyperparameters=learning,
            config=beside,
            obstacle=self.trainer.obstacle(algorithm),
        )
        for _ in range(_MOST_NAME_TRIES - 1):
            # Somebody may take the name of the result at the same moment: there is always another.
            with suppress(AlreadyExists):
                return self._create(actor, order)
        return self._create(actor, order)

    def _create(self, actor: Actor, order: "_Order") -> FinetuningJob:
        now = self.clock.now()
        with self.unit_of_work() as work:
            base = fitting_base(work, actor, order.base_model_id, order.base_model_version)
            fitting_dataset(work, actor, order.dataset_id, order.config)
            if order.obstacle is not None:
                raise JobImpossible(order.obstacle, field="algorithm")
            check_algorithm(order.algorithm, base)
            job = order.job(actor.user_id, base, result_name=_free_name(work, actor.user_id, order.name), at=now)
            work.models.add(_reserved_model(job, base))
            work.finetuning_jobs.add(job)
            self._admit(work, actor, job, at=now)
            return job

    def page(self, actor: Actor, page: PageRequest, **only: Any) -> Page[FinetuningJob]:
        """Return a page of the jobs that `actor` may see; `only` are fields of JobFilter."""
        with self.unit_of_work(read_only=True) as work:
            return work.finetuning_jobs.page(page, visible_to=actor, only=JobFilter(**only))

    def get(self, actor: Actor, job_id: UUID) -> FinetuningJob:
        with self.unit_of_work(read_only=True) as work:
            return work.finetuning_jobs.get(job_id, visible_to=actor)

    def change(self, actor: Actor, job_id: UUID, changes: Mapping[str, Any]) -> FinetuningJob:
        """Set the given ones of name and description."""
        with self.unit_of_work() as work:
            job = work.finetuning_jobs.get(job_id, visible_to=actor, for_update=True)
            job.change(changes, at=self.clock.now())
            return job

    def metrics(self, actor: Actor, job_id: UUID, *, after_step: int = 0) -> Sequence[MetricsPoint]:
        """Return the points of the curve after a step, by step."""
        with self.unit_of_work(read_only=True) as work:
            work.finetuning_jobs.get(job_id, visible_to=actor)
            return work.finetuning_jobs.points(job_id, after_step=after_step)

    def logs(self, actor: Actor, job_id: UUID, page: PageRequest, *, level: LogLevel | None = None) -> Page[LogLine]:
        with self.unit_of_work(read_only=True) as work:
            work.finetuning_jobs.get(job_id, visible_to=actor)
            return work.finetuning_jobs.lines(job_id, page, level=level)

    def checkpoints(self, actor: Actor, job_id: UUID) -> Sequence[Checkpoint]:
        """Return the checkpoints of the job, by step; a run goes on from the newest that is kept."""
        with self.unit_of_work(read_only=True) as work:
            work.finetuning_jobs.get(job_id, visible_to=actor)
            return work.finetuning_jobs.checkpoints(job_id)

    def cancel(self, actor: Actor, job_id: UUID) -> FinetuningJob:
        """Stop a job: at once where it waits, else as soon as its run has saved where it stands."""
        now = self.clock.now()
        with self.unit_of_work() as work:
            job = work.finetuning_jobs.get(job_id, visible_to=actor, for_update=True)
            work.publish(*job.request_cancel(at=now))
            if job.is_finished:
                work.leases.withdraw(job.id, kinds=[FINETUNE_KIND])
                self._admit(work, actor, job, at=now)
            work.announce(job_topic(job.id))
            return job

    def restart(self, actor: Actor, job_id: UUID, *, from_scratch: bool = False) -> FinetuningJob:
        """Open the next run of a failed or cancelled job, from its last checkpoint or from the beginning."""
        now = self.clock.now()
        with self.unit_of_work() as work:
            job = work.finetuning_jobs.get(job_id, visible_to=actor, for_update=True)
            kept = [one for one in work.finetuning_jobs.checkpoints(job.id) if one.is_kept and not from_scratch]
            step = kept[-1].step if kept else 0
            restarted = job.restart(resume_step=step, at=now)
            check_still_fits(work, job)
            work.publish(restarted)
            work.finetuning_jobs.drop_points(job.id, after_step=step)
            if from_scratch:
                work.finetuning_jobs.drop_checkpoints(job.id)
            self._admit(work, actor, job, at=now)
            work.announce(job_topic(job.id))
            return job

    def delete(self, actor: Actor, job_id: UUID) -> None:
        """Remove a finished job with its curve, log and checkpoints; the model that it made stays."""
        with self.unit_of_work() as work:
            job = work.finetuning_jobs.get(job_id, visible_to=actor, for_update=True)
            work.publish(job.delete())
            reserved = None if job.result is not None else work.models.find(job.result_model_id, for_update=True)
            if reserved is not None:
                work.models.remove(reserved)
            work.finetuning_jobs.remove(job)
            work.announce(job_topic(job.id))

    def _admit(self, work: UnitOfWork, actor: Actor, job: FinetuningJob, *, at: datetime) -> None:
        is_unlimited = actor.is_admin and actor.user_id == job.owner_id
        admit_waiting(work, job.owner_id, limit=None if is_unlimited else self.most_running, at=at)


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What was asked for, its form checked; `obstacle` says why the algorithm cannot be had."""

    name: str
    description: str | None
    base_model_id: UUID
    base_model_version: str | None
    dataset_id: UUID
    algorithm: Algorithm
    hyperparameters: Hyperparameters
    config: TrainingConfig
    obstacle: str | None

    def job(self, owner_id: UUID, base: Base, *, result_name: str, at: datetime) -> FinetuningJob:
        return FinetuningJob.make(
            id=new_id(),
            owner_id=owner_id,
            name=self.name,
            description=self.description,
            base_model_id=base.model.id,
            base_version=base.version.version,
            adapter_base_id=None if base.adapted is None else base.adapted.model_id,
            adapter_base_version=None if base.adapted is None else base.adapted.version,
            dataset_id=self.dataset_id,
            algorithm=self.algorithm,
            hyperparameters=self.hyperparameters,
            config=self.config,
            result_model_id=new_id(),
            result_name=result_name,
            at=at,
        )


def _all_checked(*checks: Callable[[], Any]) -> list[Any]:
    """Return what all checks return, or raise one Invalid with the problems of all."""
    results: list[Any] = []
    problems: list[Problem] = []
    for check in checks:
        try:
            results.append(check())
        except Invalid as error:
            problems.extend(error.problems)
    if problems:
        raise Invalid("the input is not valid", problems=problems)
    return results


def _free_name(work: UnitOfWork, owner_id: UUID, wanted: str) -> str:
    """Return `wanted`, or the first of `wanted (2)`, `wanted (3)` … that no model of the owner has."""
    name, number = wanted, 1
    while work.models.find_by_name(name, owner_id=owner_id) is not None:
        number += 1
        ending = f" ({number})"
        name = wanted[: LONGEST_NAME - len(ending)] + ending
    return name


def _reserved_model(job: FinetuningJob, base: Base) -> Model:
    """Return the model that the job will make: it has a name, and nobody sees it yet."""
    return Model(
        id=job.result_model_id,
        owner_id=job.owner_id,
        name=job.result_name,
        description=job.description,
        type=base.model.type,
        category=base.model.category,
        license=base.model.license,
        lineage=Lineage(base_model_id=job.base_model_id, dataset_id=job.dataset_id, job_id=job.id),
        reserved_by=job.id,
        created_at=job.created_at,
        updated_at=job.created_at,
    )
