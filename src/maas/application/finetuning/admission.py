"""Which of a person's waiting jobs may begin."""

from datetime import datetime
from uuid import UUID

from maas.application.ports.unit_of_work import UnitOfWork

FINETUNE_KIND = "finetune"
MOST_FAILURES = 20
"""How many workers may die over one run, or fail at it, before the job does."""


def job_topic(job_id: UUID) -> str:
    """Return the topic that is announced on each change of a job."""
    return f"job/{job_id}"


def admit_waiting(work: UnitOfWork, owner_id: UUID, *, limit: int | None, at: datetime) -> None:
    """Offer the waiting jobs of an owner to the workers, as far as `limit` allows."""
    for job in work.finetuning_jobs.admissible(owner_id, limit=limit):
        job.admit(at=at)
        work.leases.offer(FINETUNE_KIND, job.id, at=at, payload={"run": job.run}, max_failures=MOST_FAILURES)
        work.announce(job_topic(job.id))
