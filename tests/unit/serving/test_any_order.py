"""Whatever happens in whatever order, moves follow the machine, and in the end all is as it was asked for."""

from datetime import timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from maas.adapters.replica_runtime.memory import MemoryReplicaRuntime
from maas.application.ports.replica_runtime import ReplicaState
from maas.domain.errors import Conflict
from maas.domain.serving.deployment import MOVES, DeploymentStatus, Intent
from maas.domain.serving.replica import REPLICA_MOVES
from tests.unit.serving.conftest import Stage

which = st.integers(0, 7)
MOST_AT_ONCE = 12


class Life(RuleBasedStateMachine):
    """The life of one deployment, with an owner who changes their mind and engines that break."""

    @initialize(replicas=st.integers(1, 3))
    def begin(self, replicas: int) -> None:
        self.stage = Stage()
        self.deployment_id: UUID = self.stage.deploy(replicas=replicas)
        self.version = 1
        self.controllers = 1

    @property
    def is_there(self) -> bool:
        return self.stage.exists(self.deployment_id)

    @rule(seconds=st.integers(0, 3))
    def look(self, seconds: int) -> None:
        self.stage.look()
        self.stage.clock.advance(timedelta(seconds=seconds))

    @rule(number=which)
    def one_becomes_ready(self, number: int) -> None:
        starting = [one for one, seen in self.stage.runtime.sightings().items() if seen.state is ReplicaState.STARTING]
        if starting:
            self.stage.runtime.become_ready(starting[number % len(starting)])

    @rule(number=which)
    def one_crashes(self, number: int) -> None:
        engines = [one for one, seen in self.stage.runtime.sightings().items() if seen.state is not ReplicaState.ENDED]
        if engines:
            self.stage.runtime.end(engines[number % len(engines)], "it broke")

    @rule()
    def those_that_drain_end(self) -> None:
        self.stage.let_end()

    @rule(verb=st.sampled_from(["stop", "start", "delete"]))
    def its_owner_changes_their_mind(self, verb: str) -> None:
        if self.is_there:
            try:
                self.stage.change(self.deployment_id, verb)
            except Conflict:
                assert verb != "delete"

    @rule(replicas=st.integers(1, 4))
    def its_owner_wants_another_number(self, replicas: int) -> None:
        if self.is_there:
            self.stage.change(self.deployment_id, "change", changes={"replicas": replicas})

    @rule()
    def its_owner_wants_another_version(self) -> None:
        if self.is_there:
            self.version += 1
            self.stage.roll_to(self.deployment_id, f"{self.version}.0.0")

    @rule()
    def the_controller_dies(self) -> None:
        self.controllers += 1
        self.stage.runtime = MemoryReplicaRuntime(f"host {self.controllers}")
        self.stage.controller = self.stage.controller_on(self.stage.runtime)
        self.stage.clock.advance(timedelta(seconds=7))

    @invariant()
    def moves_follow_the_machine_and_fold_to_the_row(self) -> None:
        if not self.is_there:
            return
        with self.stage.units(read_only=True) as work:
            changes = work.deployments.changes(self.deployment_id)
            of_replicas = [
                (replica, work.deployments.changes(self.deployment_id, replica_id=replica.id))
                for replica in work.replicas.of(self.deployment_id)
            ]
        assert changes[-1].after is self.stage.get(self.deployment_id).status
        assert all(after.before is before.after for before, after in pairwise(changes))
        assert all(change.after in MOVES[change.before] for change in changes if change.before is not None)
        for replica, moves in of_replicas:
            assert moves[-1].after is replica.status
            assert all(move.after in REPLICA_MOVES[move.before] for move in moves if move.before is not None)

    @invariant()
    def there_are_never_too_many(self) -> None:
        assert len(self.stage.replicas(self.deployment_id)) <= MOST_AT_ONCE

    def teardown(self) -> None:
        """Nothing breaks any more: everything comes to its end."""
        if not hasattr(self, "stage"):
            return
        for _ in range(200):
            self.stage.look()
            self.stage.let_start()
            self.stage.let_end()
        if not self.is_there:
            assert self.stage.runtime.sightings() == {}
            return
        deployment = self.stage.get(self.deployment_id)
        assert deployment.intent is not Intent.DELETE
        if deployment.intent is Intent.RUN and deployment.status is not DeploymentStatus.FAILED:
            assert deployment.status is DeploymentStatus.RUNNING
            assert [replica.revision for replica in self.stage.replicas(self.deployment_id)] == (
                [deployment.target.number] * deployment.replicas
            )
        else:
            assert deployment.status in (DeploymentStatus.STOPPED, DeploymentStatus.FAILED)
            assert self.stage.running(self.deployment_id) == []
        assert len(self.stage.runtime.sightings()) == len(self.stage.running(self.deployment_id))


Life.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyOrder = Life.TestCase
