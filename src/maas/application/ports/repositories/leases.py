"""Where leased work is kept: the truth about what is to be done and who does it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from maas.domain.leases import Lease, WorkItem


class Leases(ABC):
    """All work that is to be done, is being done, or failed for good."""

    @abstractmethod
    def offer(
        self,
        kind: str,
        subject_id: UUID,
        *,
        at: datetime,
        payload: dict[str, object] | None = None,
        max_failures: int = 10,
    ) -> UUID:
        """Put work up; `at` is the earliest time to begin. Return its id."""

    @abstractmethod
    def is_due(self, kinds: Collection[str], *, at: datetime) -> bool:
        """Tell whether `claim` may find something, without a lock."""

    @abstractmethod
    def claim(self, kinds: Collection[str], *, worker: str, at: datetime, duration: timedelta) -> Lease | None:
        """Take the oldest due work of these kinds, or None. Expired leases are taken again, counting one failure."""

    @abstractmethod
    def renew(self, lease: Lease, *, at: datetime, duration: timedelta) -> bool:
        """Extend the lease; False where somebody else holds the work by now, or it was withdrawn."""

    @abstractmethod
    def holds(self, lease: Lease) -> bool:
        """Tell whether `lease` is still the newest attempt, and lock it until the unit of work ends."""

    @abstractmethod
    def finish(self, lease: Lease) -> bool:
        """End the work; False where the lease was lost."""

    @abstractmethod
    def give_back(self, lease: Lease, *, at: datetime) -> bool:
        """Offer the work again from `at`, without counting a failure; False where the lease was lost."""

    @abstractmethod
    def fail(self, lease: Lease, *, reason: str, at: datetime) -> bool:
        """Count a failure: offer the work again after a pause.

        Return True once the failures are used up and the work has failed for good."""

    @abstractmethod
    def withdraw(self, subject_id: UUID, *, kinds: Collection[str]) -> None:
        """Remove the work about `subject_id`, whoever holds it: their next write finds the lease lost."""

    @abstractmethod
    def exhausted(self, *, at: datetime) -> Sequence[WorkItem]:
        """Return expired work that has used up its failures, so that its subject can be failed with a reason."""

    @abstractmethod
    def close_failed(self, work_id: UUID, *, reason: str) -> None:
        """Mark exhausted work as failed for good."""

    @abstractmethod
    def of_subject(self, subject_id: UUID) -> Sequence[WorkItem]:
        """Return the work about a thing, oldest first."""
