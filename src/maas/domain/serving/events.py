"""What happens to deployments, for those who react to it."""

from dataclasses import dataclass
from uuid import UUID

from maas.domain.events import Event


@dataclass(frozen=True, kw_only=True)
class DeploymentRunning(Event):
    """A deployment answers, with all of its replicas."""

    deployment_id: UUID


@dataclass(frozen=True, kw_only=True)
class DeploymentFailed(Event):
    """A deployment was given up."""

    deployment_id: UUID
    reason: str


@dataclass(frozen=True, kw_only=True)
class DeploymentDeleted(Event):
    """A deployment is gone, with all of its replicas."""

    deployment_id: UUID
