"""Fine-tuning jobs in SQL."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, or_, select, true
from sqlalchemy.sql.elements import ColumnElement

from maas.adapters.persistence.aggregates import AggregateMapping, AggregateStore
from maas.adapters.persistence.finetuning_runs import SqlRunRecords
from maas.adapters.persistence.tables.finetuning import finetuning_jobs, finetuning_status_changes
from maas.adapters.persistence.tables.identity import users
from maas.application.actor import Actor
from maas.application.ports.repositories.finetuning import FinetuningJobs, JobFilter
from maas.domain.finetuning.job import FINISHED, FinetuningJob, JobStatus, StatusChange
from maas.domain.finetuning.parameters import Algorithm, EvaluationStrategy, Hyperparameters, TrainingConfig
from maas.domain.paging import Page, PageRequest

_JOB = finetuning_jobs.c
_CHANGE = finetuning_status_changes.c
_UNFINISHED = _JOB.status.not_in([status.value for status in FINISHED])


def _value(member: Any) -> Any:
    return member.value


def _dump_config(config: TrainingConfig) -> dict[str, Any]:
    values = asdict(config)
    values["evaluation_strategy"] = config.evaluation_strategy.value
    values["eval_dataset_id"] = None if config.eval_dataset_id is None else str(config.eval_dataset_id)
    return values


def _load_config(row: dict[str, Any]) -> TrainingConfig:
    held_out = row["eval_dataset_id"]
    strategy = EvaluationStrategy(row["evaluation_strategy"])
    return TrainingConfig(
        **{**row, "evaluation_strategy": strategy, "eval_dataset_id": None if held_out is None else UUID(held_out)}
    )


def _dump_hyperparameters(values: Hyperparameters) -> dict[str, Any]:
    return {**asdict(values), "target_modules": None if values.target_modules is None else list(values.target_modules)}


def _load_hyperparameters(row: dict[str, Any]) -> Hyperparameters:
    modules = row["target_modules"]
    return Hyperparameters(**{**row, "target_modules": None if modules is None else tuple(modules)})


_JOBS = AggregateMapping(
    finetuning_jobs,
    FinetuningJob,
    dump={"status": _value, "algorithm": _value, "config": _dump_config, "hyperparameters": _dump_hyperparameters},
    load={"status": JobStatus, "algorithm": Algorithm, "config": _load_config, "hyperparameters": _load_hyperparameters},
)


class SqlFinetuningJobs(SqlRunRecords, FinetuningJobs):
    """Jobs in SQL, with the log of their status."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.store = _JobStore(connection, _JOBS)

    def add(self, job: FinetuningJob) -> None:
        self.store.add(job)

    def get(self, job_id: UUID, *, visible_to: Actor, for_update: bool = False) -> FinetuningJob:
        if for_update:
            self._lock(select(_JOB.owner_id).where(_JOB.id == job_id).scalar_subquery())
        return self.store.get(_JOB.id == job_id, _owned_by(visible_to), for_update=for_update)

    def find(self, job_id: UUID, *, for_update: bool = False) -> FinetuningJob | None:
        if for_update:
            self._lock(select(_JOB.owner_id).where(_JOB.id == job_id).scalar_subquery())
        return self.store.find(_JOB.id == job_id, for_update=for_update)

    def page(self, request: PageRequest, *, visible_to: Actor, only: JobFilter) -> Page[FinetuningJob]:
        wanted = [_JOB[name] == value for name, value in vars(only).items() if value is not None]
        return self.store.page(request, _owned_by(visible_to), *wanted, search_in=("name", "description"))

    def remove(self, job: FinetuningJob) -> None:
        self.store.remove(job)

    def admissible(self, owner_id: UUID, *, limit: int | None) -> Sequence[FinetuningJob]:
        self.store.flush()
        self._lock(owner_id)
        admitted = select(func.count()).where(_JOB.owner_id == owner_id, _JOB.admitted)
        room = None if limit is None else max(0, limit - self._connection.execute(admitted).scalar_one())
        waiting = (_JOB.owner_id == owner_id, _JOB.status == JobStatus.QUEUED.value, ~_JOB.admitted)
        return self.store.all(select(finetuning_jobs).where(*waiting).order_by(_JOB.id).limit(room).with_for_update())

    def _lock(self, owner_id: object) -> None:
        """Let the jobs of one owner be changed one after another: admission counts them, and no two wait for each other.

        The lock holds up neither those who read the account nor those who refer to it.
        """
        owner = select(users.c.id).where(users.c.id == owner_id)
        self._connection.execute(owner.with_for_update(key_share=True))

    def changes(self, job_id: UUID) -> Sequence[StatusChange]:
        self.store.flush()
        rows = self._connection.execute(
            select(finetuning_status_changes).where(_CHANGE.job_id == job_id).order_by(_CHANGE.number)
        )
        return [
            StatusChange(
                before=None if row.before is None else JobStatus(row.before),
                after=JobStatus(row.after),
                run=row.run,
                reason=row.reason,
                at=row.at,
            )
            for row in rows
        ]

    def uses_model(self, model_id: UUID, version: str | None = None) -> bool:
        as_base = [_JOB.base_model_id == model_id]
        as_adapted = [_JOB.adapter_base_id == model_id]
        if version is not None:
            as_base.append(_JOB.base_version == version)
            as_adapted.append(_JOB.adapter_base_version == version)
        return self._is_any((*as_base,), (*as_adapted,))

    def uses_dataset(self, dataset_id: UUID) -> bool:
        return self._is_any((_JOB.dataset_id == dataset_id,), (_JOB.eval_dataset_id == dataset_id,))

    def _is_any(self, *cases: tuple[ColumnElement[bool], ...]) -> bool:
        self.store.flush()
        condition = or_(*[_all(case) for case in cases])
        return self._connection.execute(select(_JOB.id).where(_UNFINISHED, condition).limit(1)).first() is not None


class _JobStore(AggregateStore[FinetuningJob]):
    """Stores jobs, and appends their changes of status to the log."""

    def flush(self) -> None:
        super().flush()
        for job, _ in self._tracked.values():
            if job.changes:
                self._append(job)

    def _append(self, job: FinetuningJob) -> None:
        newest = select(func.coalesce(func.max(_CHANGE.number), 0)).where(_CHANGE.job_id == job.id)
        first = self._connection.execute(newest).scalar_one() + 1
        rows = [
            {
                "job_id": job.id,
                "number": number,
                "before": None if change.before is None else change.before.value,
                "after": change.after.value,
                "run": change.run,
                "reason": change.reason,
                "at": change.at,
            }
            for number, change in enumerate(job.changes, start=first)
        ]
        self._connection.execute(finetuning_status_changes.insert(), rows)
        job.changes.clear()


def _owned_by(actor: Actor) -> ColumnElement[bool]:
    return true() if actor.is_admin else _JOB.owner_id == actor.user_id


def _all(conditions: tuple[ColumnElement[bool], ...]) -> ColumnElement[bool]:
    condition = conditions[0]
    for other in conditions[1:]:
        condition = condition & other
    return condition
