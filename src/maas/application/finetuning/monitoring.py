"""Following a job: where it stands, then each change until its end."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from maas.application.actor import Actor
from maas.application.finetuning.admission import job_topic
from maas.application.ports.broadcaster import Broadcaster, Listener
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.finetuning.job import FINISHED, FinetuningJob, JobStatus
from maas.domain.finetuning.training import MetricsPoint

_SILENCE_SECONDS = 1.0
_LOOK_AGAIN_AFTER_SILENCES = 10


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """Where a job stands at a moment. `percentage` never falls while somebody follows; `metrics` is the newest point."""

    job_id: UUID
    status: JobStatus
    reason: str | None
    step: int
    total_steps: int | None
    percentage: float
    metrics: MetricsPoint | None
    eta_seconds: float | None
    at: datetime

    @property
    def is_last(self) -> bool:
        return self.status in FINISHED


Following = Generator[JobProgress | None, None, None]


class JobMonitor:
    """Tells how jobs proceed, as it happens."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, broadcaster: Broadcaster) -> None:
        self.unit_of_work = unit_of_work
        self.broadcaster = broadcaster

    def follow(self, actor: Actor, job_id: UUID) -> Following:
        """Return the job's state, then each change up to the final state, with None for each second of silence.

        Raises NotFound at once where `actor` may not see the job. Close the iterator where it is not read to its end.
        """
        listener = self.broadcaster.listen(job_topic(job_id))
        try:
            first = self._read(actor, job_id, None)
        except BaseException:
            listener.close()
            raise
        return self._follow(listener, actor, job_id, first[-1])

    def _follow(self, listener: Listener, actor: Actor, job_id: UUID, last: JobProgress) -> Following:
        with listener:
            yield last
            silences = 0
            while not last.is_last:
                if not listener.wait(_SILENCE_SECONDS):
                    yield None
                    silences += 1
                    # The broadcaster may have been out of reach when the change came.
                    if silences % _LOOK_AGAIN_AFTER_SILENCES:
                        continue
                for change in self._read(actor, job_id, last):
                    last = change
                    yield change

    def _read(self, actor: Actor, job_id: UUID, last: JobProgress | None) -> list[JobProgress]:
        """Return what is new since `last`: one entry for each new point, else one where anything changed."""
        with self.unit_of_work(read_only=True) as work:
            job = work.finetuning_jobs.get(job_id, visible_to=actor)
            if last is None:
                return [_progress(job, work.finetuning_jobs.latest_point(job_id), 0.0)]
            # A run that went on from a checkpoint tells its points again from there.
            after = 0 if last.metrics is None else min(last.metrics.step, job.step)
            points = work.finetuning_jobs.points(job_id, after_step=after)
        told: Sequence[MetricsPoint | None] = points or [last.metrics]
        changes = [_progress(job, point, last.percentage) for point in told]
        return [change for change in changes if change != last]


def _progress(job: FinetuningJob, point: MetricsPoint | None, told_percentage: float) -> JobProgress:
    return JobProgress(
        job_id=job.id,
        status=job.status,
        reason=job.reason,
        step=job.step,
        total_steps=job.total_steps,
        percentage=max(job.percentage, told_percentage),
        metrics=point,
        eta_seconds=job.eta_seconds,
        at=job.updated_at,
    )
