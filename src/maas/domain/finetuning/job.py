"""A fine-tuning job: what is to be trained, how far it is, and how it may change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from maas.domain.errors import Conflict
from maas.domain.events import Event
from maas.domain.finetuning.parameters import Algorithm, Hyperparameters, TrainingConfig
from maas.domain.finetuning.training import storable_text
from maas.domain.naming import checked_description, checked_name

LONGEST_REASON = 1_000


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
WORKING = frozenset({JobStatus.PREPARING, JobStatus.RUNNING})
_RESTARTABLE = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.PREPARING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.PREPARING: frozenset({JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED}),
    # A worker that takes over from one that died prepares again.
    JobStatus.RUNNING: frozenset({JobStatus.PREPARING, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    # Only a restart leaves these, and opens a new run.
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}


@dataclass(frozen=True, kw_only=True)
class FinetuningSucceeded(Event):
    """A job's result is a model version now."""

    job_id: UUID
    model_id: UUID


@dataclass(frozen=True, kw_only=True)
class FinetuningFailed(Event):
    """A job has ended without a result."""

    job_id: UUID
    reason: str


@dataclass(frozen=True, kw_only=True)
class FinetuningCancelled(Event):
    """A job was stopped on request."""

    job_id: UUID


@dataclass(frozen=True, kw_only=True)
class FinetuningRestarted(Event):
    """A job goes on in a new run; files of earlier runs that it does not need may go."""

    job_id: UUID
    run: int


@dataclass(frozen=True, kw_only=True)
class FinetuningDeleted(Event):
    """A job is gone, and its checkpoints may go too."""

    job_id: UUID


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """One move of a job; `before` is None at its making. The changes, in order, fold to the job's status."""

    before: JobStatus | None
    after: JobStatus
    run: int
    reason: str | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """The model version that a job made."""

    model_id: UUID
    version: str


@dataclass(eq=False, kw_only=True)
class FinetuningJob:
    """A model to be made from a base and a dataset.

    `run` counts from 1; a restart opens the next. `admitted` says that the job may be worked on: the others of its owner wait.
    Where the base is an adapter, `adapter_base_id` and `adapter_base_version` say what it adapts.
    `result_model_id` is the model whose name, `result_name`, was reserved when the job was made. `percentage` (0 to 100) never
    falls within a run. `changes` are moves that are not stored yet.
    """

    id: UUID
    owner_id: UUID
    name: str
    description: str | None = None
    base_model_id: UUID
    base_version: str
    adapter_base_id: UUID | None = None
    adapter_base_version: str | None = None
    dataset_id: UUID
    algorithm: Algorithm
    hyperparameters: Hyperparameters
    config: TrainingConfig
    status: JobStatus = JobStatus.QUEUED
    reason: str | None = None
    run: int = 1
    admitted: bool = False
    cancel_requested_at: datetime | None = None
    step: int = 0
    total_steps: int | None = None
    percentage: float = 0.0
    eta_seconds: float | None = None
    device: str | None = None
    precision: str | None = None
    trainable_parameters: int | None = None
    result_model_id: UUID
    result_name: str
    result_version: str | None = None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    changes: list[StatusChange] = field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        checked_name(self.name)
        checked_description(self.description)

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED

    @property
    def eval_dataset_id(self) -> UUID | None:
        return self.config.eval_dataset_id

    @property
    def result(self) -> JobResult | None:
        if self.result_version is None:
            return None
        return JobResult(model_id=self.result_model_id, version=self.result_version)

    @classmethod
    def make(cls, *, at: datetime, **values: object) -> "FinetuningJob":
        """Make a queued job."""
        job = cls(created_at=at, updated_at=at, **values)  # type: ignore[arg-type]
        job.changes.append(StatusChange(before=None, after=JobStatus.QUEUED, run=1, reason=None, at=at))
        return job

    def change(self, changes: Mapping[str, Any], *, at: datetime) -> None:
        """Set the given ones of name and description; None clears."""
        if "name" in changes:
            self.name = checked_name(changes["name"])
        if "description" in changes:
            self.description = checked_description(changes["description"])
        self.updated_at = at

    def admit(self, *, at: datetime) -> None:
        """Let the job be worked on."""
        if self.status is not JobStatus.QUEUED:
            raise Conflict("a {status} job cannot begin", status=self.status.value)
        self.admitted = True
        self.updated_at = at

    def prepare(self, *, resume_step: int, at: datetime) -> None:
        """Begin, or take over from a worker that died: what came after the last checkpoint is done again."""
        if self.status is not JobStatus.PREPARING:
            self._move(JobStatus.PREPARING, at=at)
        self.started_at = self.started_at or at
        self.step = resume_step
        self.eta_seconds = None
        self.updated_at = at

    def start(self, *, total_steps: int, trainable_parameters: int, device: str, precision: str, at: datetime) -> None:
        """Learning has begun."""
        self._move(JobStatus.RUNNING, at=at)
        self.total_steps = total_steps
        self.trainable_parameters = trainable_parameters
        self.device = device
        self.precision = precision

    def advance(self, *, step: int, eta_seconds: float | None, at: datetime) -> None:
        """Note how far the run is."""
        self.step = step
        self.eta_seconds = eta_seconds
        self.updated_at = at
        if self.total_steps:
            self.percentage = max(self.percentage, round(100 * min(step / self.total_steps, 1.0), 2))

    def request_cancel(self, *, at: datetime) -> list[Event]:
        """Ask for an end: at once where nobody works on it, else when the run has saved where it stands."""
        if self.is_finished:
            raise Conflict("a {status} job cannot be cancelled", status=self.status.value)
        if self.status is JobStatus.QUEUED:
            return [self.cancel(at=at)]
        if self.cancel_requested_at is None:
            self.cancel_requested_at = self.updated_at = at
        return []

    def cancel(self, *, at: datetime) -> FinetuningCancelled:
        self._finish(JobStatus.CANCELLED, reason=None, at=at)
        return FinetuningCancelled(owner_id=self.owner_id, job_id=self.id)

    def succeed(self, *, version: str, at: datetime) -> FinetuningSucceeded:
        self._finish(JobStatus.SUCCEEDED, reason=None, at=at)
        self.result_version = version
        self.percentage = 100.0
        self.step = self.total_steps or self.step
        return FinetuningSucceeded(owner_id=self.owner_id, job_id=self.id, model_id=self.result_model_id)

    def fail(self, reason: str, *, at: datetime) -> FinetuningFailed:
        kept = storable_text(reason, LONGEST_REASON)
        self._finish(JobStatus.FAILED, reason=kept, at=at)
        return FinetuningFailed(owner_id=self.owner_id, job_id=self.id, reason=kept)

    def restart(self, *, resume_step: int, at: datetime) -> FinetuningRestarted:
        """Open the next run of a failed or cancelled job, from a checkpoint or (0) from the beginning."""
        if self.status not in _RESTARTABLE:
            raise Conflict("a {status} job cannot be restarted", status=self.status.value)
        self.run += 1
        self._move(JobStatus.QUEUED, at=at)
        self.reason = self.finished_at = self.cancel_requested_at = self.eta_seconds = None
        self.admitted = False
        self.step = resume_step
        self.percentage = round(100 * resume_step / self.total_steps, 2) if self.total_steps else 0.0
        return FinetuningRestarted(owner_id=self.owner_id, job_id=self.id, run=self.run)

    def delete(self) -> FinetuningDeleted:
        if not self.is_finished:
            raise Conflict("a {status} job cannot be deleted; cancel it first", status=self.status.value)
        return FinetuningDeleted(owner_id=self.owner_id, job_id=self.id)

    def _finish(self, status: JobStatus, *, reason: str | None, at: datetime) -> None:
        self._move(status, reason=reason, at=at)
        self.reason = reason
        self.admitted = False
        self.eta_seconds = None
        self.finished_at = at

    def _move(self, after: JobStatus, *, at: datetime, reason: str | None = None) -> None:
        if after not in MOVES[self.status]:
            raise Conflict("a job cannot go from {before} to {after}", before=self.status.value, after=after.value)
        self.changes.append(StatusChange(before=self.status, after=after, run=self.run, reason=reason, at=at))
        self.status = after
        self.updated_at = at


def folded(changes: Iterable[StatusChange]) -> JobStatus | None:
    """Return the status that a log of changes, in order, leads to; raise Conflict where one does not follow from the last."""
    status: JobStatus | None = None
    for change in changes:
        possible = frozenset({JobStatus.QUEUED}) if status is None else MOVES[status]
        if change.before is not status or change.after not in possible:
            raise Conflict("a job cannot go from {before} to {after}", before=str(status), after=change.after.value)
        status = change.after
    return status
