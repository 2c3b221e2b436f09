"""A replica: one engine process of a deployment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from maas.domain.errors import Conflict
from maas.domain.serving.deployment import LONGEST_REASON, DeploymentStatus, StatusChange

_LEAVING = {DeploymentStatus.STOPPING, DeploymentStatus.STOPPED, DeploymentStatus.FAILED}
REPLICA_MOVES: Mapping[DeploymentStatus, frozenset[DeploymentStatus]] = {
    DeploymentStatus.PENDING: frozenset({DeploymentStatus.LOADING, *_LEAVING}),
    DeploymentStatus.LOADING: frozenset({DeploymentStatus.RUNNING, *_LEAVING}),
    DeploymentStatus.RUNNING: frozenset(_LEAVING),
    DeploymentStatus.STOPPING: frozenset({DeploymentStatus.STOPPED}),
    # A replica that has ended stays so: another takes its place.
    DeploymentStatus.STOPPED: frozenset(),
    DeploymentStatus.FAILED: frozenset(),
}
STANDING = frozenset({DeploymentStatus.PENDING, DeploymentStatus.LOADING, DeploymentStatus.RUNNING})


@dataclass(eq=False, kw_only=True)
class Replica:
    """One engine of a deployment, started by the process `host`; where that is gone, so is the replica.

    `address` ("http://127.0.0.1:PORT") is there while it runs or drains. `started_at` is when its process began, `ready_at` when
    it first answered, `stopping_at` when it was told to take no more.
    """

    id: UUID
    deployment_id: UUID
    run: int
    revision: int
    host: str
    status: DeploymentStatus = DeploymentStatus.PENDING
    reason: str | None = None
    address: str | None = None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ready_at: datetime | None = None
    stopping_at: datetime | None = None
    changes: list[StatusChange] = field(default_factory=list, compare=False)

    @classmethod
    def make(cls, *, id: UUID, deployment_id: UUID, run: int, revision: int, host: str, at: datetime) -> "Replica":  # noqa: A002 - the field's name
        """Make a replica that is to be started."""
        replica = cls(id=id, deployment_id=deployment_id, run=run, revision=revision, host=host, created_at=at, updated_at=at)
        replica.changes.append(StatusChange(before=None, after=DeploymentStatus.PENDING, run=run, reason=None, at=at))
        return replica

    @property
    def is_standing(self) -> bool:
        return self.status in STANDING

    @property
    def is_running(self) -> bool:
        return self.status is DeploymentStatus.RUNNING

    def load(self, *, at: datetime) -> None:
        """Its process has begun."""
        self._move(DeploymentStatus.LOADING, at=at)
        self.started_at = at

    def become_ready(self, address: str, *, at: datetime) -> None:
        """It answers."""
        self._move(DeploymentStatus.RUNNING, at=at)
        self.address = address
        self.ready_at = at

    def drain(self, *, at: datetime) -> None:
        """Take no new requests, end those that are there, then stop."""
        self._move(DeploymentStatus.STOPPING, at=at)
        self.stopping_at = at

    def finish(self, *, at: datetime) -> None:
        """It has stopped, as it should."""
        self._move(DeploymentStatus.STOPPED, at=at)
        self.address = None

    def fail(self, reason: str, *, at: datetime) -> None:
        """It ended by itself."""
        self._move(DeploymentStatus.FAILED, at=at, reason=reason[:LONGEST_REASON])
        self.reason = reason[:LONGEST_REASON]
        self.address = None

    def _move(self, after: DeploymentStatus, *, at: datetime, reason: str | None = None) -> None:
        if after not in REPLICA_MOVES[self.status]:
            raise Conflict("a replica cannot go from {before} to {after}", before=self.status.value, after=after.value)
        self.changes.append(StatusChange(before=self.status, after=after, run=self.run, reason=reason, at=at))
        self.status = after
        self.updated_at = at
