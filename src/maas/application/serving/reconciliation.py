"""One look at a deployment: what was seen becomes known, and what is known leads to the next step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from maas.application.ports.replica_runtime import ReplicaState, Sighting
from maas.domain.events import Event
from maas.domain.identifiers import new_id
from maas.domain.leases import backoff
from maas.domain.serving.deployment import Deployment, DeploymentStatus, Intent
from maas.domain.serving.log import DeploymentLine, LineLevel
from maas.domain.serving.replica import Replica
from maas.domain.serving.rollout import next_step

MOST_TRIES = 3
"""So many rounds of starts may fail before a model that never ran is given up."""
LONGEST_LOAD = timedelta(minutes=20)
STABLE = timedelta(minutes=1)
"""A deployment that ran whole for so long has no failures to remember."""


@dataclass(kw_only=True)
class Reconciliation:
    """Changes a deployment and its replicas according to what was seen of these. `run` does it once.

    `sightings` are those of the runtime `host`; replicas of another are gone with it.
    `added`, `removed`, `events`, `lines` and `is_gone` are what has to be stored besides.
    """

    deployment: Deployment
    replicas: list[Replica]
    sightings: Mapping[UUID, Sighting]
    host: str
    at: datetime
    added: list[Replica] = field(default_factory=list)
    removed: list[Replica] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    lines: list[DeploymentLine] = field(default_factory=list)
    is_gone: bool = False

    def run(self) -> None:
        for replica in list(self.replicas):
            self._see(replica)
        if self.deployment.intent is Intent.RUN and self.deployment.is_live:
            self._give_up_where_hopeless()
        if self.deployment.intent is Intent.RUN and self.deployment.is_live:
            self._step()
            self._settle()
        else:
            self._leave()

    @property
    def standing(self) -> Sequence[Replica]:
        return [replica for replica in self.replicas if replica.is_standing]

    def tell(self, message: str, *, level: LineLevel = LineLevel.INFO, replica: Replica | None = None) -> None:
        """Write a line into the deployment's log."""
        replica_id = None if replica is None else replica.id
        line = DeploymentLine(
            id=new_id(), deployment_id=self.deployment.id, replica_id=replica_id, level=level, message=message, at=self.at
        )
        self.lines.append(line)

    def _see(self, replica: Replica) -> None:
        sighting = self.sightings.get(replica.id) if replica.host == self.host else None
        if replica.status is DeploymentStatus.STOPPING:
            if sighting is None or sighting.state is ReplicaState.ENDED:
                self._finish(replica)
        elif not replica.is_standing:
            return
        elif replica.host != self.host:
            replica.fail("the process that ran this replica is gone", at=self.at)
            self.tell("a replica is gone with the process that ran it", level=LineLevel.WARNING, replica=replica)
        elif sighting is not None:
            self._follow(replica, sighting)
        elif replica.status is not DeploymentStatus.PENDING:
            self._lose(replica, "the engine is gone")

    def _follow(self, replica: Replica, sighting: Sighting) -> None:
        if sighting.state is ReplicaState.ENDED:
            self._lose(replica, sighting.reason or "the engine ended by itself")
            return
        if replica.status is DeploymentStatus.PENDING:
            replica.load(at=self.at)
        if replica.status is not DeploymentStatus.LOADING:
            return
        if sighting.state is ReplicaState.READY and sighting.address is not None:
            replica.become_ready(sighting.address, at=self.at)
            self.tell("a replica is ready", replica=replica)
        elif replica.started_at is not None and self.at - replica.started_at > LONGEST_LOAD:
            self._lose(replica, "loading the model took too long")

    def _lose(self, replica: Replica, reason: str) -> None:
        """A replica ended that should not have."""
        replica.fail(reason, at=self.at)
        self.deployment.count_failure(reason, backoff(self.deployment.failures + 1), at=self.at)
        what = "a replica could not be started" if replica.ready_at is None else "a replica ended"
        self.tell(f"{what}: {reason}", level=LineLevel.ERROR, replica=replica)

    def _finish(self, replica: Replica) -> None:
        replica.finish(at=self.at)
        self._remove(replica)
        self.tell("a replica has stopped", replica=replica)

    def _remove(self, replica: Replica) -> None:
        self.replicas.remove(replica)
        self.removed.append(replica)

    def _give_up_where_hopeless(self) -> None:
        deployment = self.deployment
        if deployment.failures < MOST_TRIES or any(self._is_fresh(replica) for replica in self.standing if replica.is_running):
            return
        reason = deployment.reason or "no replica could be started"
        if deployment.settled is None:
            self.events.append(deployment.fail(reason, at=self.at))
            self.tell(f"the deployment was given up: {reason}", level=LineLevel.ERROR)
        elif deployment.target.number != deployment.settled.number:
            version = deployment.settled.model.version
            sentence = f"the update could not be started, version {version} goes on as it was: {reason}"
            deployment.give_up_revision(sentence, at=self.at)
            self.tell(sentence, level=LineLevel.ERROR)

    def _is_fresh(self, replica: Replica) -> bool:
        return (replica.run, replica.revision) == (self.deployment.run, self.deployment.target.number)

    def _step(self) -> None:
        deployment = self.deployment
        step = next_step(
            self.standing, desired=deployment.desired_replicas, run=deployment.run, revision=deployment.target.number
        )
        for replica in step.leave:
            self._let_go(replica)
        if deployment.retry_at is None or self.at >= deployment.retry_at:
            for _ in range(step.start):
                self._begin()

    def _begin(self) -> None:
        """Make a replica, in the place of one that failed where there is one."""
        failed = next((replica for replica in self.replicas if replica.status is DeploymentStatus.FAILED), None)
        if failed is not None:
            self._remove(failed)
        replica = Replica.make(
            id=new_id(),
            deployment_id=self.deployment.id,
            run=self.deployment.run,
            revision=self.deployment.target.number,
            host=self.host,
            at=self.at,
        )
        self.replicas.append(replica)
        self.added.append(replica)
        self.tell(f"a replica of version {self.deployment.target.model.version} is being started", replica=replica)
        if self.deployment.status is DeploymentStatus.PENDING:
            self.deployment.load(at=self.at)

    def _let_go(self, replica: Replica) -> None:
        replica.drain(at=self.at)
        self.tell("a replica takes no more requests and will stop", replica=replica)

    def _settle(self) -> None:
        deployment = self.deployment
        fresh = [replica for replica in self.replicas if self._is_fresh(replica) and replica.is_running]
        unfinished = [replica for replica in self.replicas if replica.status is not DeploymentStatus.FAILED]
        if len(fresh) != deployment.desired_replicas or len(unfinished) != len(fresh):
            deployment.unsettle(at=self.at)
            return
        for replica in [replica for replica in self.replicas if replica not in fresh]:
            self._remove(replica)
        self.events.extend(deployment.settle(at=self.at))
        if deployment.failed_at is not None and self.at - deployment.failed_at >= STABLE:
            deployment.recover(at=self.at)

    def _leave(self) -> None:
        for replica in self.standing:
            self._let_go(replica)
        stays_readable = self.deployment.status is DeploymentStatus.FAILED and self.deployment.intent is Intent.RUN
        for replica in list(self.replicas):
            if replica.status is DeploymentStatus.FAILED and not stays_readable:
                self._remove(replica)
        if any(replica.status is not DeploymentStatus.FAILED for replica in self.replicas):
            return
        if self.deployment.status is DeploymentStatus.STOPPING:
            self.deployment.finish_stopping(at=self.at)
            self.tell("the deployment has stopped")
        if self.deployment.intent is Intent.DELETE:
            self.is_gone = True
            self.events.append(self.deployment.gone())
