"""What a run under a lease tells, stored in transactions that only the holder of the lease can make."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from maas.application.finetuning.admission import admit_waiting, job_topic
from maas.application.ports.clock import Clock
from maas.application.ports.trainer import LineLogged, MetricsTold, Report, TrainingProgressed, TrainingStarted
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.application.work import Holding
from maas.domain.errors import MaasError
from maas.domain.events import Event
from maas.domain.finetuning.job import FinetuningJob
from maas.domain.finetuning.training import Checkpoint, LogLevel, LogLine, MetricsPoint

KEPT_CHECKPOINTS = 2
_LOOK_SECONDS = 1.0

Change = Callable[[UnitOfWork, FinetuningJob, datetime], None]


class LeaseLost(Exception):
    """Somebody else works on the job by now, or its run is over: nothing of what is told here counts."""


class CancelRequested(Exception):
    """The job is to be stopped."""


class RunRecord:
    """The part of a job's story that one holder of its lease writes.

    What is told is gathered, and stored by `flush` at most every `pause_seconds`, or along with whatever ends or changes
    the run. Every transaction checks the lease first.
    """

    def __init__(
        self, *, unit_of_work: UnitOfWorkFactory, clock: Clock, holding: Holding, most_running: int, pause_seconds: float
    ) -> None:
        self.unit_of_work = unit_of_work
        self.clock = clock
        self.holding = holding
        self.most_running = most_running
        self.pause_seconds = pause_seconds
        self.cancel_requested = False
        self._told: list[tuple[Report, datetime]] = []
        self._stored_at = self._looked_at = time.monotonic()

    @contextmanager
    def writing(self) -> Iterator[tuple[UnitOfWork, FinetuningJob]]:
        """Open a transaction that holds the lease, with the job; all that was told before is stored in it."""
        lease = self.holding.lease
        with self.unit_of_work() as work:
            job = work.finetuning_jobs.find(lease.subject_id, for_update=True)
            if job is None or job.is_finished or job.run != lease.payload["run"] or not work.leases.holds(lease):
                raise LeaseLost
            self._apply(work, job)
            yield work, job
            work.announce(job_topic(job.id))
        self._told.clear()
        self.cancel_requested = job.cancel_requested_at is not None
        self._stored_at = self._looked_at = time.monotonic()

    def tell(self, reports: Sequence[Report]) -> None:
        """Gather what a trainer told."""
        now = self.clock.now()
        self._told.extend((report, now) for report in reports)

    def say(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        """Gather a line for the job's log."""
        self.tell([LineLogged(level=level, message=message)])

    def flush(self) -> None:
        """Store what was told where it is time to, and look whether the job is to be stopped."""
        now = time.monotonic()
        if self._told and now - self._stored_at >= self.pause_seconds:
            with self.writing():
                pass
        elif now - self._looked_at >= min(_LOOK_SECONDS, self.pause_seconds):
            self._look()

    def check(self) -> None:
        """Raise where the work is to be put down: LeaseLost, CancelRequested."""
        if self.holding.is_lost:
            raise LeaseLost
        self.flush()
        if self.cancel_requested:
            raise CancelRequested

    def _look(self) -> None:
        with self.unit_of_work(read_only=True) as work:
            job = work.finetuning_jobs.find(self.holding.lease.subject_id)
        if job is None or job.is_finished:
            raise LeaseLost
        self.cancel_requested = job.cancel_requested_at is not None
        self._looked_at = time.monotonic()

    def keep_checkpoint(self, step: int, size: int, files_key: str) -> Sequence[str]:
        """Let a checkpoint count; return the keys of files that are needed no more."""
        self.say(f"checkpoint of step {step} is saved")
        with self.writing() as (work, job):
            checkpoint = Checkpoint(job_id=job.id, step=step, size=size, files_key=files_key, created_at=self.clock.now())
            return work.finetuning_jobs.keep_checkpoint(checkpoint, newest=KEPT_CHECKPOINTS)

    def cancel(self) -> None:
        """End the job as its owner asked."""
        self.say("the job was cancelled")
        self.end(lambda job, now: [job.cancel(at=now)])

    def fail(self, reason: str) -> None:
        """End the job without a result."""
        self.say(reason, LogLevel.ERROR)
        self.end(lambda job, now: [job.fail(reason, at=now)])

    def end(
        self, finish: Callable[[FinetuningJob, datetime], Sequence[Event]], also: Callable[[UnitOfWork], None] | None = None
    ) -> None:
        """Bring the job to its final state, with the work's end and the next job's beginning in the same transaction."""
        with self.writing() as (work, job):
            now = self.clock.now()
            work.publish(*finish(job, now))
            if also is not None:
                also(work)
            work.leases.finish(self.holding.lease)
            admit_waiting(work, job.owner_id, limit=self.most_running, at=now)

    def _apply(self, work: UnitOfWork, job: FinetuningJob) -> None:
        points: dict[int, MetricsPoint] = {}
        lines: list[LogLine] = []
        for report, at in self._told:
            if isinstance(report, TrainingStarted):
                _start(job, report, at)
            elif isinstance(report, TrainingProgressed):
                job.advance(step=report.step, eta_seconds=report.eta_seconds, at=at)
            elif isinstance(report, MetricsTold):
                points[report.step] = MetricsPoint(**vars(report), at=at)
                job.advance(step=max(job.step, report.step), eta_seconds=job.eta_seconds, at=at)
            elif isinstance(report, LineLogged):
                lines.append(LogLine(level=report.level, message=report.message, at=at))
        work.finetuning_jobs.add_points(job.id, points.values())
        work.finetuning_jobs.add_lines(job.id, lines)


def _start(job: FinetuningJob, started: TrainingStarted, at: datetime) -> None:
    job.start(
        total_steps=started.total_steps,
        trainable_parameters=started.trainable_parameters,
        device=started.device,
        precision=started.precision,
        at=at,
    )
    job.advance(step=started.step, eta_seconds=None, at=at)


def sentence_of(error: MaasError) -> str:
    """Return what an error says, with the part that it is about."""
    return f"{error.problems[0].field}: {error}" if error.problems else str(error)
