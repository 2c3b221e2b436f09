"""Where fine-tuning jobs are kept, with all that their runs told."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from maas.application.actor import Actor
from maas.domain.finetuning.job import FinetuningJob, JobStatus, StatusChange
from maas.domain.finetuning.parameters import Algorithm
from maas.domain.finetuning.training import Checkpoint, LogLevel, LogLine, MetricsPoint
from maas.domain.paging import Page, PageRequest


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs of those that may be seen."""

    status: JobStatus | None = None
    algorithm: Algorithm | None = None
    base_model_id: UUID | None = None
    dataset_id: UUID | None = None


class FinetuningJobs(ABC):
    """All jobs. A person sees their own, an administrator all."""

    @abstractmethod
    def add(self, job: FinetuningJob) -> None: ...

    @abstractmethod
    def get(self, job_id: UUID, *, visible_to: Actor, for_update: bool = False) -> FinetuningJob:
        """Return a job that `visible_to` may see, or raise NotFound."""

    @abstractmethod
    def find(self, job_id: UUID, *, for_update: bool = False) -> FinetuningJob | None:
        """Find a job whoever may see it."""

    @abstractmethod
    def page(self, request: PageRequest, *, visible_to: Actor, only: JobFilter) -> Page[FinetuningJob]: ...

    @abstractmethod
    def remove(self, job: FinetuningJob) -> None:
        """Remove a job with all that its runs told."""

    @abstractmethod
    def admissible(self, owner_id: UUID, *, limit: int | None) -> Sequence[FinetuningJob]:
        """Return the waiting jobs of an owner that may begin, oldest first, so that at most `limit` are admitted at once.

        Until the unit of work ends nobody else admits jobs of this owner."""

    @abstractmethod
    def changes(self, job_id: UUID) -> Sequence[StatusChange]:
        """Return the log of a job's status, oldest first."""

    @abstractmethod
    def uses_model(self, model_id: UUID, version: str | None = None) -> bool:
        """Tell whether an unfinished job is based on the model (on this version of it, where one is given)."""

    @abstractmethod
    def uses_dataset(self, dataset_id: UUID) -> bool:
        """Tell whether an unfinished job learns from the dataset or is evaluated on it."""

    @abstractmethod
    def add_points(self, job_id: UUID, points: Iterable[MetricsPoint]) -> None:
        """Add points of the curve, each in place of one of the same step."""

    @abstractmethod
    def points(self, job_id: UUID, *, after_step: int = 0) -> Sequence[MetricsPoint]:
        """Return the points after a step, by step."""

    @abstractmethod
    def latest_point(self, job_id: UUID) -> MetricsPoint | None: ...

    @abstractmethod
    def drop_points(self, job_id: UUID, *, after_step: int) -> None: ...

    @abstractmethod
    def add_lines(self, job_id: UUID, lines: Iterable[LogLine]) -> None: ...

    @abstractmethod
    def lines(self, job_id: UUID, request: PageRequest, *, level: LogLevel | None = None) -> Page[LogLine]:
        """Return a page of the log in the order of its writing, or the reverse; `search` looks into the messages."""

    @abstractmethod
    def keep_checkpoint(self, checkpoint: Checkpoint, *, newest: int) -> Sequence[str]:
        """Add a checkpoint in place of one of the same step, and forget the files of all but the `newest` ones.

        Return the keys of the files that are needed no more."""

    @abstractmethod
    def checkpoints(self, job_id: UUID) -> Sequence[Checkpoint]:
        """Return the checkpoints of a job, by step."""

    @abstractmethod
    def forget_checkpoint_files(self, job_id: UUID) -> None:
        """Keep that there were checkpoints, and nothing that a run could go on from."""

    @abstractmethod
    def drop_checkpoints(self, job_id: UUID) -> None: ...
