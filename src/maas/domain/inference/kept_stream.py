"""A stream that is kept for a while, so that a client that lost it can take it up again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

KEPT_FOR = timedelta(minutes=10)
LOST_AFTER = timedelta(seconds=15)


@dataclass(frozen=True, kw_only=True)
class KeptChunk:
    """A chunk as it was sent, as JSON. `number` counts from 1 and is its event id."""

    number: int
    content: str


@dataclass(eq=False, kw_only=True)
class KeptStream:
    """A stream and who may take it up. `heard_at` is when the process that writes it last said that it does."""

    id: UUID
    owner_id: UUID
    deployment_id: UUID
    created_at: datetime
    heard_at: datetime
    ended_at: datetime | None = None

    def is_lost(self, *, at: datetime) -> bool:
        """Tell whether the process that wrote it must have died."""
        return self.ended_at is None and at - self.heard_at > LOST_AFTER

    def is_over(self, *, at: datetime) -> bool:
        """Tell whether it is kept no longer."""
        return at - (self.ended_at or self.heard_at) > KEPT_FOR
