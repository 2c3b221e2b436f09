"""Leased work: long work whose truth is a row, taken by one worker at a time under a fencing number."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

LONGEST_BACKOFF = timedelta(minutes=5)


class WorkStatus(StrEnum):
    """Where a piece of work stands; work that is done is no longer kept."""

    WAITING = "waiting"
    LEASED = "leased"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class WorkItem:
    """Work to be done: `kind` names its handler, `subject_id` the thing it is about.

    `attempt` counts how often it was taken, and fences writes: only the newest attempt may write.
    `failures` counts the attempts that died or failed, and is what `max_failures` bounds.
    """

    id: UUID
    kind: str
    subject_id: UUID
    payload: dict[str, object] = field(default_factory=dict)
    status: WorkStatus = WorkStatus.WAITING
    attempt: int = 0
    failures: int = 0
    max_failures: int = 10
    worker: str | None = None
    due_at: datetime
    lease_until: datetime | None = None
    reason: str | None = None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to do a piece of work until `until`, under the fencing number `attempt`."""

    work_id: UUID
    kind: str
    subject_id: UUID
    payload: dict[str, object]
    attempt: int
    failures: int
    until: datetime


def backoff(failures: int) -> timedelta:
    """Return the pause before the next try: 1, 2, 4 … seconds, five minutes at most."""
    return min(timedelta(seconds=2 ** min(max(failures - 1, 0), 16)), LONGEST_BACKOFF)
