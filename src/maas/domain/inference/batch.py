"""Many requests at once: what is asked, what became of each, and how a batch that goes on by itself may change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from maas.domain.errors import Conflict, MaasError, OutOfRange
from maas.domain.events import Event
from maas.domain.inference.answers import EmbeddedTexts, WrittenText
from maas.domain.inference.conversation import Message
from maas.domain.naming import checked_name
from maas.domain.usage import UsageEntry

MOST_IN_PLACE = 100
MOST_IN_ALL = 50_000
LONGEST_ITEM_ID = 200
LONGEST_REASON = 1_000


class ItemType(StrEnum):
    """What a request of a batch asks for."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"


@dataclass(frozen=True, kw_only=True)
class BatchItem:
    """One request. `error` is there where its form was wrong, so that it fails alone."""

    id: str
    type: ItemType = ItemType.CHAT
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    texts: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    error: MaasError | None = None


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What became of a request: an answer, or an error. `used` is what is still to be counted for it."""

    id: str
    answer: WrittenText | EmbeddedTexts | None = None
    error: MaasError | None = None
    used: UsageEntry | None = None


class BatchStatus(StrEnum):
    """Where a batch stands. One with failed items succeeds all the same."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = frozenset({BatchStatus.SUCCEEDED, BatchStatus.FAILED, BatchStatus.CANCELLED})
MOVES: Mapping[BatchStatus, frozenset[BatchStatus]] = {
    BatchStatus.QUEUED: frozenset({BatchStatus.RUNNING, BatchStatus.FAILED, BatchStatus.CANCELLED}),
    BatchStatus.RUNNING: FINISHED,
    **{status: frozenset() for status in FINISHED},
}


@dataclass(frozen=True, kw_only=True)
class BatchChange:
    """One move; `before` is None at the making. The changes, in order, fold to the status."""

    before: BatchStatus | None
    after: BatchStatus
    reason: str | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class BatchPart:
    """Results of requests that follow each other, in a file of their own. `number` counts from 0."""

    batch_id: UUID
    number: int
    files_key: str
    completed: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class BatchSucceeded(Event):
    """Every request of a batch was answered or has failed."""

    batch_id: UUID


@dataclass(frozen=True, kw_only=True)
class BatchFailed(Event):
    """A batch was given up."""

    batch_id: UUID
    reason: str


@dataclass(frozen=True, kw_only=True)
class BatchCancelled(Event):
    """A batch was ended by its owner."""

    batch_id: UUID


@dataclass(eq=False, kw_only=True)
class Batch:
    """Requests that are answered by and by. `completed` were answered, `failed` were not; both lie in `parts` files."""

    id: UUID
    owner_id: UUID
    deployment_id: UUID
    name: str
    status: BatchStatus = BatchStatus.QUEUED
    reason: str | None = None
    files_key: str
    total: int
    completed: int = 0
    failed: int = 0
    parts: int = 0
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    changes: list[BatchChange] = field(default_factory=list)

    @classmethod
    def make(cls, *, id: UUID, at: datetime, **values: Any) -> "Batch":  # noqa: A002 - the field's name
        """Make a queued batch."""
        batch = cls(id=id, created_at=at, updated_at=at, **values)
        checked_name(batch.name)
        batch.changes.append(BatchChange(before=None, after=BatchStatus.QUEUED, reason=None, at=at))
        return batch

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED

    @property
    def position(self) -> int:
        """How many requests are done, from the first on."""
        return self.completed + self.failed

    def start(self, *, at: datetime) -> None:
        """A worker has taken it; one that takes over from another that died changes nothing."""
        if self.status is not BatchStatus.RUNNING:
            self._move(BatchStatus.RUNNING, at=at)
            self.started_at = at

    def count(self, part: BatchPart, *, at: datetime) -> None:
        """The next requests are done."""
        self.completed += part.completed
        self.failed += part.failed
        self.parts += 1
        self.updated_at = at

    def succeed(self, *, at: datetime) -> BatchSucceeded:
        self._finish(BatchStatus.SUCCEEDED, reason=None, at=at)
        return BatchSucceeded(owner_id=self.owner_id, batch_id=self.id)

    def fail(self, reason: str, *, at: datetime) -> BatchFailed:
        self._finish(BatchStatus.FAILED, reason=reason[:LONGEST_REASON], at=at)
        return BatchFailed(owner_id=self.owner_id, batch_id=self.id, reason=reason[:LONGEST_REASON])

    def cancel(self, *, at: datetime) -> BatchCancelled:
        if self.is_finished:
            raise Conflict("a {status} batch cannot be cancelled", status=self.status.value)
        self._finish(BatchStatus.CANCELLED, reason=None, at=at)
        return BatchCancelled(owner_id=self.owner_id, batch_id=self.id)

    def _finish(self, status: BatchStatus, *, reason: str | None, at: datetime) -> None:
        self._move(status, at=at, reason=reason)
        self.reason = reason
        self.finished_at = at

    def _move(self, after: BatchStatus, *, at: datetime, reason: str | None = None) -> None:
        if after not in MOVES[self.status]:
            raise Conflict("a batch cannot go from {before} to {after}", before=self.status.value, after=after.value)
        self.changes.append(BatchChange(before=self.status, after=after, reason=reason, at=at))
        self.status = after
        self.updated_at = at


def checked_items(items: Sequence[BatchItem], *, most: int) -> tuple[BatchItem, ...]:
    """Return the requests, or raise OutOfRange: 1 to `most`, with ids that differ."""
    if not 1 <= len(items) <= most:
        raise OutOfRange("from 1 to {most} requests", field="requests", most=most)
    if len({item.id for item in items}) < len(items):
        raise OutOfRange("two requests have the same id", field="requests")
    return tuple(items)
