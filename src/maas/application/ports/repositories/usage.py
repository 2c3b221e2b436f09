"""Where the sums of usage are kept."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from maas.domain.usage import DeploymentUsage, UsageSums, UserDay


class Usage(ABC):
    """Sums of what was used, and how far each journal is in them."""

    @abstractmethod
    def add(self, sums: UsageSums) -> None:
        """Add to what is kept."""

    @abstractmethod
    def position(self, journal: str) -> int:
        """Return how far a journal is in the sums; 0 where it is unknown."""

    @abstractmethod
    def advance(self, journal: str, *, position: int, to: int) -> bool:
        """Note that a journal is in the sums as far as `to`; False, and nothing noted, where it does not stand at `position`."""

    @abstractmethod
    def end(self, journal: str, *, at: datetime) -> None:
        """Note that a journal no longer exists. How far it was is still known: another may be about to count what it has read."""

    @abstractmethod
    def forget_ended(self, *, before: datetime) -> None:
        """Drop the notes of journals that ended before a time."""

    @abstractmethod
    def days_of(self, user_id: UUID, *, first: date, last: date) -> Sequence[UserDay]:
        """Return what a person used on the days from `first` to `last`, in order; days without use are left out."""

    @abstractmethod
    def of_deployment(self, deployment_id: UUID) -> DeploymentUsage:
        """Return what a deployment answered since it was made."""
