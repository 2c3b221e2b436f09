"""A job moves along its declared machine, and nowhere else."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas.domain.errors import Conflict
from maas.domain.finetuning.job import FINISHED, MOVES, FinetuningJob, JobStatus, StatusChange, folded
from maas.domain.finetuning.training import LogLevel, LogLine
from maas.domain.identifiers import new_id
from tests.builders import NOW, a_job

VERBS: dict[str, dict[str, Any]] = {
    "admit": {},
    "prepare": {"resume_step": 0},
    "start": {"total_steps": 10, "trainable_parameters": 1, "device": "cpu", "precision": "fp32"},
    "advance": {"step": 7, "eta_seconds": 1.0},
    "request_cancel": {},
    "cancel": {},
    "succeed": {"version": "1.0.0"},
    "restart": {"resume_step": 0},
    "change": {"changes": {"name": "other"}},
}


def told(job: FinetuningJob, verb: str) -> None:
    """Tell the job something, which it may refuse."""
    with suppress(Conflict):
        getattr(job, verb)(**VERBS[verb], at=NOW)


@given(st.lists(st.sampled_from([*VERBS, "fail"]), max_size=30))
def test_whatever_is_asked_the_log_folds_to_the_status(verbs: list[str]) -> None:
    job = a_job(new_id())

    for verb in verbs:
        before, run = job.status, job.run
        if verb == "fail":
            with suppress(Conflict):
                job.fail("why", at=NOW)
        else:
            told(job, verb)
        assert job.status is before or job.status in MOVES[before]
        assert folded(job.changes) is job.status
        if before in FINISHED and job.status is not before:
            assert (verb, job.run) == ("restart", run + 1)
        assert (job.finished_at is not None) is job.is_finished
        assert (job.reason is not None) is (job.status is JobStatus.FAILED)
        assert not (job.admitted and job.is_finished)


def test_a_success_is_final() -> None:
    job = a_job(new_id())
    for verb in ("prepare", "start", "succeed"):
        told(job, verb)

    for verb in VERBS:
        told(job, verb)
    with pytest.raises(Conflict):
        job.fail("why", at=NOW)

    assert job.status is JobStatus.SUCCEEDED
    assert job.percentage == 100.0


def test_a_log_that_skips_a_step_does_not_fold() -> None:
    def change(before: JobStatus | None, after: JobStatus) -> StatusChange:
        return StatusChange(before=before, after=after, run=1, reason=None, at=NOW)

    with pytest.raises(Conflict):
        folded([change(None, JobStatus.QUEUED), change(JobStatus.QUEUED, JobStatus.SUCCEEDED)])
    with pytest.raises(Conflict):
        folded([change(None, JobStatus.QUEUED), change(JobStatus.PREPARING, JobStatus.RUNNING)])


def test_what_a_database_refuses_is_kept_readable() -> None:
    job = a_job(new_id())
    job.fail("a\x00b\ud800" + "x" * 2000, at=NOW)
    line = LogLine(level=LogLevel.INFO, message="\x00" + "y" * 3000, at=NOW)

    assert job.reason is not None
    assert job.reason.startswith("a\ufffdb\ufffdx")
    assert len(job.reason) == 1000
    assert len(line.message) == 2000
