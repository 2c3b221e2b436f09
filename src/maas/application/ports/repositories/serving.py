"""Where deployments, their replicas and what is told of them are kept."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from maas.application.actor import Actor
from maas.domain.paging import Page, PageRequest
from maas.domain.serving.deployment import Deployment, DeploymentStatus, StatusChange
from maas.domain.serving.log import DeploymentLine, LineLevel
from maas.domain.serving.replica import Replica

LOG_PAGE = 100
"""The most lines of a log at once."""


@dataclass(frozen=True, kw_only=True)
class DeploymentFilter:
    """Which deployments of those that may be seen."""

    status: DeploymentStatus | None = None
    model_id: UUID | None = None


class Deployments(ABC):
    """All deployments. They are private to their owners; admins see all."""

    @abstractmethod
    def add(self, deployment: Deployment) -> None: ...

    @abstractmethod
    def get(self, deployment_id: UUID, *, visible_to: Actor, for_update: bool = False) -> Deployment:
        """Return a deployment that `visible_to` may see, or raise NotFound."""

    @abstractmethod
    def find(self, deployment_id: UUID, *, for_update: bool = False) -> Deployment | None:
        """Find a deployment whoever may see it."""

    @abstractmethod
    def find_by_name(self, name: str, *, owner_id: UUID) -> Deployment | None:
        """Find the deployment of a name; one that is being deleted has given its name away."""

    @abstractmethod
    def page(self, request: PageRequest, *, visible_to: Actor, only: DeploymentFilter) -> Page[Deployment]: ...

    @abstractmethod
    def remove(self, deployment: Deployment) -> None:
        """Remove a deployment with its log and its changes. Its replicas must be gone."""

    @abstractmethod
    def count_live(self, owner_id: UUID) -> int:
        """Count the deployments of an owner that have neither stopped nor failed."""

    @abstractmethod
    def attended(self) -> Sequence[Deployment]:
        """Return those that a controller looks after, oldest first.

        These are all but the stopped and failed ones of which no replica is left and that are not to be deleted."""

    @abstractmethod
    def uses_model(self, model_id: UUID, version: str | None = None) -> bool:
        """Tell whether a deployment that is neither stopped nor failed is of this model (of this version), or of an adapter to it."""

    @abstractmethod
    def changes(self, deployment_id: UUID, *, replica_id: UUID | None = None) -> Sequence[StatusChange]:
        """Return the moves of a deployment, or of a replica of it, oldest first."""


class Replicas(ABC):
    """All replicas of all deployments, those included that failed and are not replaced yet."""

    @abstractmethod
    def add(self, replica: Replica) -> None: ...

    @abstractmethod
    def of(self, deployment_id: UUID) -> Sequence[Replica]:
        """Return the replicas of a deployment, oldest first."""

    @abstractmethod
    def all(self) -> Sequence[Replica]:
        """Return the replicas of all deployments, oldest first."""

    @abstractmethod
    def remove(self, replica: Replica) -> None:
        """Remove a replica; its changes stay with the deployment."""


class DeploymentLog(ABC):
    """What is told of deployments. Of each the newest lines are kept."""

    @abstractmethod
    def add(self, *lines: DeploymentLine) -> None: ...

    @abstractmethod
    def page(self, deployment_id: UUID, *, number: int, limit: int, level: LineLevel | None = None) -> Page[DeploymentLine]:
        """Return a page of the lines, oldest first."""


class Leaderships(ABC):
    """Who acts where only one may: a row a role, held for a time."""

    @abstractmethod
    def holder(self, name: str, *, at: datetime) -> tuple[str, datetime] | None:
        """Return who holds the role at this time, and until when."""

    @abstractmethod
    def take(self, name: str, *, holder: str, at: datetime, duration: timedelta) -> bool:
        """Hold the role, or hold it longer; False where another holds it."""

    @abstractmethod
    def give_back(self, name: str, *, holder: str) -> None:
        """Let another have the role; does nothing where another has it."""
