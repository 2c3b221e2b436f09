"""The controller: it makes deployments what their rows say, one look after another."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from maas.application.ports.hardware_probe import HardwareProbe
from maas.application.ports.replica_runtime import ReplicaRuntime, ReplicaSpec, ReplicaState, Sighting
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.application.serving.leadership import Leadership
from maas.application.serving.loads import Loads
from maas.application.serving.reconciliation import Reconciliation
from maas.domain.identifiers import new_id
from maas.domain.serving.autoscaling import ScalingDecision
from maas.domain.serving.deployment import Deployment, DeploymentStatus
from maas.domain.serving.log import DeploymentLine, LineLevel
from maas.domain.serving.replica import Replica

log = logging.getLogger(__name__)

DEPLOYMENTS_TOPIC = "deployments"
"""Announced whenever a deployment or a replica has changed."""
_SCALED = frozenset({DeploymentStatus.RUNNING, DeploymentStatus.SCALING})


@dataclass(frozen=True, kw_only=True)
class DrainTimes:
    """A replica that is to stop is told so after `notice`, so that who routes has heard of it, and killed after `limit`.

    One that never answered has nothing to end, and is killed at once.
    `at_the_end` is how long engines may go on answering when the controller itself ends.
    """

    notice: timedelta = timedelta(seconds=1.5)
    limit: timedelta = timedelta(seconds=30)
    at_the_end: timedelta = timedelta(seconds=15)


@dataclass(frozen=True)
class _Scene:
    """A deployment with its replicas, as they were read."""

    deployment: Deployment
    replicas: list[Replica]


class DeploymentController:
    """Compares rows with what runs. All that it knows is in the rows: another carries on where this one ends.

    Rows are changed first, and the runtime is made to follow them: what is lost between the two is seen at the next look.
    """

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWorkFactory,
        runtime: ReplicaRuntime,
        hardware: HardwareProbe,
        drain_times: DrainTimes | None = None,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.runtime = runtime
        self.leadership = Leadership(unit_of_work=unit_of_work, holder=runtime.host)
        self._drain_times = drain_times or DrainTimes()
        self._loads = Loads(cpu_cores=hardware.largest().cpu_cores)

    def reconcile(self, at: datetime) -> None:
        """Look once, and do what follows. Where nothing does, nothing is written."""
        sightings = self.runtime.sightings()
        if not self.leadership.hold(at):
            self._stand_aside(sightings)
            return
        scenes = self._read()
        changed = [scene.deployment.id for scene in scenes if self._would_change(scene, sightings, at)]
        for deployment_id in changed:
            self._change_alone(deployment_id, sightings, at)
        self._scale([scene for scene in scenes if scene.deployment.id not in changed], sightings, at)
        self._write_lines(scenes, at)
        self._make_true(self._read() if changed else scenes, sightings, at)

    def close(self) -> None:
        """End all engines, and let another act."""
        self.runtime.close(drain_seconds=self._drain_times.at_the_end.total_seconds())
        self.leadership.give_back()

    def _read(self) -> Sequence[_Scene]:
        with self.unit_of_work(read_only=True) as work:
            deployments = work.deployments.attended()
            replicas = work.replicas.all() if deployments else []
        by_deployment: dict[UUID, list[Replica]] = {deployment.id: [] for deployment in deployments}
        for replica in replicas:
            if replica.deployment_id in by_deployment:
                by_deployment[replica.deployment_id].append(replica)
        return [_Scene(deployment, by_deployment[deployment.id]) for deployment in deployments]

    def _would_change(self, scene: _Scene, sightings: Mapping[UUID, Sighting], at: datetime) -> bool:
        """Tell whether a look changes anything, by trying it on what was only read."""
        before = _states(scene)
        looked = self._look(scene.deployment, list(scene.replicas), sightings, at)
        return before != _states(scene) or bool(looked.added or looked.removed or looked.is_gone)

    def _look(
        self, deployment: Deployment, replicas: list[Replica], sightings: Mapping[UUID, Sighting], at: datetime
    ) -> Reconciliation:
        looked = Reconciliation(deployment=deployment, replicas=replicas, sightings=sightings, host=self.runtime.host, at=at)
        looked.run()
        return looked

    def _change_alone(self, deployment_id: UUID, sightings: Mapping[UUID, Sighting], at: datetime) -> None:
        """Change one deployment; where that fails, the others go on, and this one is tried again at the next look."""
        try:
            self._change(deployment_id, sightings, at)
        except Exception:
            log.exception("deployment %s could not be brought further", deployment_id)

    def _change(self, deployment_id: UUID, sightings: Mapping[UUID, Sighting], at: datetime) -> None:
        with self.unit_of_work() as work:
            deployment = work.deployments.find(deployment_id, for_update=True)
            if deployment is None or not self.leadership.is_held(work, at=at):
                return
            looked = self._look(deployment, list(work.replicas.of(deployment_id)), sightings, at)
            _store(work, looked)
            work.announce(DEPLOYMENTS_TOPIC)
        for line in looked.lines:
            log.info("deployment %s: %s", deployment_id, line.message)

    def _scale(self, scenes: Sequence[_Scene], sightings: Mapping[UUID, Sighting], at: datetime) -> None:
        scaled = [scene for scene in scenes if scene.deployment.auto_scaling.enabled and scene.deployment.status in _SCALED]
        for scene in scaled:
            running = [replica for replica in scene.replicas if replica.is_running]
            decision = self._loads.decide(scene.deployment, running, sightings, at=at)
            if decision is not None:
                self._follow(decision, scene.deployment.id, at)
        self._loads.forget_all_but({scene.deployment.id for scene in scenes})

    def _follow(self, decision: ScalingDecision, deployment_id: UUID, at: datetime) -> None:
        with self.unit_of_work() as work:
            deployment = work.deployments.find(deployment_id, for_update=True)
            if deployment is None or deployment.status not in _SCALED or not self.leadership.is_held(work, at=at):
                return
            deployment.scale(decision.replicas, decision.reason, at=at)
            work.deployment_log.add(DeploymentLine(id=new_id(), deployment_id=deployment_id, message=decision.reason, at=at))
            work.announce(DEPLOYMENTS_TOPIC)

    def _write_lines(self, scenes: Sequence[_Scene], at: datetime) -> None:
        """Keep what engines wrote."""
        lines = self.runtime.take_lines()
        if not lines:
            return
        whose = {replica.id: scene.deployment.id for scene in scenes for replica in scene.replicas}
        with self.unit_of_work() as work:
            kept = {deployment_id for deployment_id in set(whose.values()) if work.deployments.find(deployment_id) is not None}
            work.deployment_log.add(
                *(
                    DeploymentLine(
                        id=new_id(),
                        deployment_id=whose[line.replica_id],
                        replica_id=line.replica_id,
                        level=LineLevel.WARNING,
                        message=line.text,
                        at=at,
                    )
                    for line in lines
                    if whose.get(line.replica_id) in kept
                )
            )

    def _make_true(self, scenes: Sequence[_Scene], sightings: Mapping[UUID, Sighting], at: datetime) -> None:
        wanted: set[UUID] = set()
        for scene in scenes:
            for replica in scene.replicas:
                if replica.host == self.runtime.host and replica.status is not DeploymentStatus.FAILED:
                    wanted.add(replica.id)
                    self._attend(replica, scene.deployment, sightings.get(replica.id), at)
        self._end_all_but(wanted, sightings)

    def _attend(self, replica: Replica, deployment: Deployment, sighting: Sighting | None, at: datetime) -> None:
        if replica.status is DeploymentStatus.PENDING and sighting is None:
            self._start(replica, deployment)
        if replica.stopping_at is None or sighting is None or sighting.state is ReplicaState.ENDED:
            return
        if replica.ready_at is None or at - replica.stopping_at >= self._drain_times.limit:
            self.runtime.stop(replica.id)
        elif at - replica.stopping_at >= self._drain_times.notice:
            self.runtime.drain(replica.id)

    def _start(self, replica: Replica, deployment: Deployment) -> None:
        revision = deployment.revision(replica.revision)
        if revision is None:
            # Overtaken by newer revisions before it began: the next look lets it go.
            return
        self.runtime.start(
            ReplicaSpec(
                replica_id=replica.id,
                task=deployment.task,
                model=revision.model,
                adapter=deployment.adapter,
                hardware=revision.hardware,
            )
        )

    def _stand_aside(self, sightings: Mapping[UUID, Sighting]) -> None:
        """Another acts: it has replaced whatever this process still runs."""
        self._end_all_but(set(), sightings)
        self._loads.forget_all_but(set())

    def _end_all_but(self, wanted: set[UUID], sightings: Mapping[UUID, Sighting]) -> None:
        for replica_id, sighting in sightings.items():
            if replica_id in wanted:
                continue
            if sighting.state is ReplicaState.ENDED:
                self.runtime.forget(replica_id)
            else:
                self.runtime.stop(replica_id)


def _states(scene: _Scene) -> list[dict[str, Any]]:
    """Return all that there is to store of a scene."""
    things: list[Deployment | Replica] = [scene.deployment, *scene.replicas]
    return [{name: value for name, value in vars(thing).items() if name != "changes"} for thing in things]


def _store(work: UnitOfWork, looked: Reconciliation) -> None:
    for replica in looked.added:
        if replica not in looked.removed:
            work.replicas.add(replica)
    for replica in looked.removed:
        if replica not in looked.added:
            work.replicas.remove(replica)
    work.publish(*looked.events)
    if looked.is_gone:
        work.deployments.remove(looked.deployment)
    else:
        work.deployment_log.add(*looked.lines)
