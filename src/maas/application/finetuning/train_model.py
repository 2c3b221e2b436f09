"""The long work of a job: prepare, train, keep what is told, and end in a final state, whatever dies on the way."""

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

from maas.application.finetuning.admission import FINETUNE_KIND, admit_waiting, job_topic
from maas.application.finetuning.checkpoint_files import CheckpointFiles
from maas.application.finetuning.preparation import Material, MaterialGone, Preparation, material_of
from maas.application.finetuning.publication import Publication
from maas.application.finetuning.run_record import CancelRequested, LeaseLost, RunRecord, sentence_of
from maas.application.ports.clock import Clock
from maas.application.ports.file_store import FileStore
from maas.application.ports.trainer import (
    CheckpointWritten,
    LastReport,
    Report,
    Trainer,
    Training,
    TrainingCancelled,
    TrainingCrashed,
    TrainingFinished,
    TrainingRefused,
    TrainingStarted,
)
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.application.work import Holding, WorkHandler, WorkInterrupted
from maas.domain.errors import Invalid
from maas.domain.finetuning.training import LogLevel
from maas.domain.leases import Lease

log = logging.getLogger(__name__)

MOST_CRASHES = 6
"""How often the trainer may die in a row without having saved a new checkpoint."""
_REPORT_SECONDS = 0.5
_SAVE_SECONDS = 120.0
_SAVE_WHEN_ENDING_SECONDS = 20.0


class TrainModel(WorkHandler):
    """Trains the models of jobs."""

    kinds = (FINETUNE_KIND,)
    is_long = True

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWorkFactory,
        file_store: FileStore,
        preparation: Preparation,
        checkpoint_files: CheckpointFiles,
        publication: Publication,
        trainer: Trainer,
        clock: Clock,
        most_running: int,
        pause_seconds: float = 0.5,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.file_store = file_store
        self.preparation = preparation
        self.checkpoint_files = checkpoint_files
        self.publication = publication
        self.trainer = trainer
        self.clock = clock
        self.most_running = most_running
        self.pause_seconds = pause_seconds

    def run(self, holding: Holding) -> None:
        record = RunRecord(
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            holding=holding,
            most_running=self.most_running,
            pause_seconds=self.pause_seconds,
        )
        try:
            self._run(record)
        except LeaseLost:
            log.info("the work on a job was left to others: %s", holding.lease.subject_id)
        except CancelRequested:
            record.cancel()
        except MaterialGone as gone:
            record.fail(str(gone))

    def give_up(self, lease: Lease, reason: str) -> None:
        with self.unit_of_work() as work:
            job = work.finetuning_jobs.find(lease.subject_id, for_update=True)
            if job is None or job.is_finished or job.run != lease.payload["run"]:
                return
            now = self.clock.now()
            work.publish(job.fail(reason, at=now))
            admit_waiting(work, job.owner_id, limit=self.most_running, at=now)
            work.announce(job_topic(job.id))

    def _run(self, record: RunRecord) -> None:
        """Train until there is an end, going on from the last checkpoint each time the trainer dies."""
        crashes, furthest = 0, -1
        while True:
            with self.file_store.stage() as scratch:
                material = self._begin(record)
                reached = 0 if material.checkpoint is None else material.checkpoint.step
                crashes = crashes + 1 if reached <= furthest else 0
                furthest = max(furthest, reached)
                last = self._train(record, material, scratch.folder)
                if not isinstance(last, TrainingCrashed):
                    self._conclude(record, material, last)
                    return
            record.check()
            if record.holding.is_ending:
                raise WorkInterrupted
            if crashes + 1 >= MOST_CRASHES:
                record.fail(f"{last.reason}, {MOST_CRASHES} times in a row")
                return
            record.say(f"{last.reason}; going on from the last checkpoint", LogLevel.WARNING)

    def _begin(self, record: RunRecord) -> Material:
        with record.writing() as (work, job):
            if job.cancel_requested_at is not None:
                raise CancelRequested
            material = material_of(work, job)
            step = 0 if material.checkpoint is None else material.checkpoint.step
            job.prepare(resume_step=step, at=self.clock.now())
            work.finetuning_jobs.drop_points(job.id, after_step=step)
        record.say(f"preparing run {job.run}" + (f", going on after step {step}" if step else ""))
        return material

    def _train(self, record: RunRecord, material: Material, folder: Path) -> LastReport:
        def check() -> None:
            record.check()
            if record.holding.is_ending:
                raise WorkInterrupted

        request = self.preparation.request(material, folder, check=check)
        with self.trainer.start(request) as training:
            return self._attend(record, training, material)

    def _attend(self, record: RunRecord, training: Training, material: Material) -> LastReport:
        """Hear a trainer to its end, letting it save and stop where that is asked for."""
        patience = _Patience()
        while True:
            reports = training.reports(_REPORT_SECONDS)
            last = self._take(record, reports, material, patience)
            if last is not None:
                return last
            if record.holding.is_lost:
                raise LeaseLost
            record.flush()
            if not (record.cancel_requested or record.holding.is_ending):
                continue
            if not patience.has_started or patience.is_over:
                return TrainingCancelled(step=0)
            patience.begin(_SAVE_WHEN_ENDING_SECONDS if record.holding.is_ending else _SAVE_SECONDS)
            training.cancel()

    def _take(self, record: RunRecord, reports: Sequence[Report], material: Material, patience: "_Patience") -> LastReport | None:
        for report in reports:
            if isinstance(report, LastReport):
                return report
            if isinstance(report, CheckpointWritten):
                self._keep(record, report, material)
            else:
                patience.has_started = patience.has_started or isinstance(report, TrainingStarted)
                record.tell([report])
        return None

    def _keep(self, record: RunRecord, written: CheckpointWritten, material: Material) -> None:
        if not written.step:
            # Before its first step a run has nothing to go on from.
            return
        outdated: list[str] = []

        def store_row(files_key: str) -> None:
            outdated.extend(record.keep_checkpoint(written.step, written.size, files_key))

        self.checkpoint_files.keep(written, record.holding.lease, run=material.job.run, store_row=store_row)
        for files_key in outdated:
            self.checkpoint_files.remove(files_key)

    def _conclude(self, record: RunRecord, material: Material, last: LastReport) -> None:
        if isinstance(last, TrainingRefused):
            record.fail(last.reason)
            return
        record.check()
        if isinstance(last, TrainingCancelled):
            raise WorkInterrupted
        if isinstance(last, TrainingFinished):
            try:
                self.publication.publish(last.path, material, record)
            except Invalid as error:
                record.fail(f"the result cannot be used: {sentence_of(error)}")


class _Patience:
    """How long a trainer that was asked to stop may take to save where it stands."""

    def __init__(self) -> None:
        self.has_started = False
        self._ends_at = math.inf

    def begin(self, seconds: float) -> None:
        """Begin, or become shorter."""
        self._ends_at = min(self._ends_at, time.monotonic() + seconds)

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._ends_at
