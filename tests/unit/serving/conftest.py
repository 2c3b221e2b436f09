"""A stage on which engines are played, with a controller that looks when it is told to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from maas.adapters.clock.memory import ManualClock
from maas.adapters.hardware_probe.memory import FixedHardwareProbe
from maas.adapters.persistence.memory.unit_of_work import MemoryDatabase
from maas.adapters.replica_runtime.memory import MemoryReplicaRuntime
from maas.application.actor import Actor
from maas.application.ports.replica_runtime import ReplicaState
from maas.application.serving.controller import DeploymentController
from maas.domain.identifiers import new_id
from maas.domain.serving.deployment import Deployment
from maas.domain.serving.replica import Replica
from tests.builders import a_deployment, a_user

TICK = timedelta(milliseconds=500)


@dataclass
class Stage:
    """Deployments in dictionaries, engines that are moved by hand, and a clock that stands still."""

    clock: ManualClock = field(default_factory=ManualClock)
    runtime: MemoryReplicaRuntime = field(default_factory=MemoryReplicaRuntime)

    def __post_init__(self) -> None:
        self.units = MemoryDatabase(self.clock)
        user = a_user()
        self.owner = Actor(user_id=user.id)
        with self.units() as work:
            work.users.add(user)
        self.controller = self.controller_on(self.runtime)

    def controller_on(self, runtime: MemoryReplicaRuntime) -> DeploymentController:
        return DeploymentController(unit_of_work=self.units, runtime=runtime, hardware=FixedHardwareProbe())

    def deploy(self, **values: Any) -> UUID:
        deployment = a_deployment(owner_id=self.owner.user_id, at=self.clock.now(), **values)
        with self.units() as work:
            work.deployments.add(deployment)
        return deployment.id

    def look(self, times: int = 1) -> None:
        """Let the controller look, half a second apart."""
        for _ in range(times):
            self.controller.reconcile(self.clock.now())
            self.clock.advance(TICK)

    def wait(self, seconds: float) -> None:
        self.look(round(seconds / TICK.total_seconds()))

    def get(self, deployment_id: UUID) -> Deployment:
        with self.units(read_only=True) as work:
            return work.deployments.get(deployment_id, visible_to=self.owner)

    def exists(self, deployment_id: UUID) -> bool:
        with self.units(read_only=True) as work:
            return work.deployments.find(deployment_id) is not None

    def replicas(self, deployment_id: UUID) -> Sequence[Replica]:
        with self.units(read_only=True) as work:
            return work.replicas.of(deployment_id)

    def running(self, deployment_id: UUID) -> list[Replica]:
        return [replica for replica in self.replicas(deployment_id) if replica.is_running]

    def statuses(self, deployment_id: UUID) -> list[str]:
        return [replica.status.value for replica in self.replicas(deployment_id)]

    def told(self, deployment_id: UUID) -> list[str]:
        with self.units(read_only=True) as work:
            return [line.message for line in work.deployment_log.page(deployment_id, number=1, limit=100).items]

    def let_start(self) -> None:
        """Have every engine that starts become ready."""
        for replica_id, sighting in self.runtime.sightings().items():
            if sighting.state is ReplicaState.STARTING:
                self.runtime.become_ready(replica_id)

    def let_end(self) -> None:
        """Have every engine that drains end."""
        for replica_id, sighting in self.runtime.sightings().items():
            if sighting.state is ReplicaState.READY and self.runtime.is_draining(replica_id):
                self.runtime.end(replica_id)

    def let_ready(self) -> None:
        """Have every engine that starts become ready, and look."""
        self.let_start()
        self.look()

    def running_deployment(self, **values: Any) -> UUID:
        """Deploy, and bring all replicas up."""
        deployment_id = self.deploy(**values)
        self.look(2)
        self.let_ready()
        assert self.get(deployment_id).status.value == "running"
        return deployment_id

    def change(self, deployment_id: UUID, verb: str, **values: Any) -> None:
        with self.units() as work:
            getattr(work.deployments.get(deployment_id, visible_to=self.owner), verb)(at=self.clock.now(), **values)

    def roll_to(self, deployment_id: UUID, version: str) -> None:
        deployment = self.get(deployment_id)
        model = deployment.current.model
        changed = type(model)(**{**vars(model), "version": version, "files_key": f"models/{new_id()}/files"})
        self.change(deployment_id, "roll", model=changed, hardware=deployment.hardware_spec, can_chat=True, context_length=256)


@pytest.fixture
def stage() -> Stage:
    return Stage()
