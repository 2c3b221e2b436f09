"""The controller makes deployments true, whatever engines do."""

from datetime import timedelta

from maas.adapters.replica_runtime.memory import MemoryReplicaRuntime
from maas.application.ports.unit_of_work import UnitOfWork
from maas.domain.serving.deployment import DeploymentStatus
from maas.domain.serving.events import DeploymentDeleted, DeploymentFailed, DeploymentRunning
from maas.domain.serving.log import LineLevel
from tests.unit.serving.conftest import TICK, Stage


def test_a_new_deployment_is_started_and_runs_when_all_of_its_replicas_do(stage: Stage) -> None:
    deployment_id = stage.deploy(replicas=2)

    stage.look()
    assert stage.get(deployment_id).status is DeploymentStatus.LOADING
    assert stage.statuses(deployment_id) == ["pending", "pending"]
    stage.look()
    assert stage.statuses(deployment_id) == ["loading", "loading"]
    first, second = stage.replicas(deployment_id)
    stage.runtime.become_ready(first.id)
    stage.look()
    assert stage.get(deployment_id).status is DeploymentStatus.LOADING
    assert stage.get(deployment_id).may_answer
    stage.runtime.become_ready(second.id)
    stage.look()

    assert stage.get(deployment_id).status is DeploymentStatus.RUNNING
    assert [replica.address for replica in stage.running(deployment_id)] == [f"http://memory/{one.id}" for one in (first, second)]
    assert [type(event) for event in stage.units.events] == [DeploymentRunning]


def test_engines_are_told_what_to_load(stage: Stage) -> None:
    deployment_id = stage.deploy(adapter="fine-tune")

    stage.look()

    [spec] = stage.runtime.started
    deployment = stage.get(deployment_id)
    assert (spec.model, spec.adapter, spec.task) == (deployment.current.model, "fine-tune", "text-generation")
    assert spec.hardware == deployment.hardware_spec


def test_an_idle_look_writes_nothing(stage: Stage) -> None:
    stage.running_deployment(replicas=2)
    stage.look()
    announced = len(stage.units.announced)
    opened: list[bool] = []

    def open_unit(*, read_only: bool = False) -> UnitOfWork:
        opened.append(read_only)
        return stage.units(read_only=read_only)

    stage.controller.unit_of_work = open_unit

    stage.look(20)

    assert opened == [True] * 20
    assert len(stage.units.announced) == announced


def test_the_role_is_renewed_at_half_of_its_term(stage: Stage) -> None:
    taken = []
    for _ in range(24):
        stage.look()
        taken.append(stage.units.leaderships.rows["controller"].until)

    assert len(set(taken)) == 4


def test_a_crashed_replica_is_replaced_while_the_others_answer(stage: Stage) -> None:
    deployment_id = stage.running_deployment(replicas=2)
    lost, kept = stage.replicas(deployment_id)

    stage.runtime.end(lost.id, "the engine was killed by SIGKILL")
    stage.look()
    assert stage.get(deployment_id).status is DeploymentStatus.SCALING
    assert stage.get(deployment_id).reason == "the engine was killed by SIGKILL"
    assert {replica.id: replica.reason for replica in stage.replicas(deployment_id)} == {
        lost.id: "the engine was killed by SIGKILL",
        kept.id: None,
    }
    stage.wait(2)
    stage.let_ready()

    assert stage.get(deployment_id).status is DeploymentStatus.RUNNING
    assert stage.get(deployment_id).reason is None
    assert len(stage.running(deployment_id)) == 2
    assert lost.id not in [replica.id for replica in stage.replicas(deployment_id)]
    assert "a replica ended: the engine was killed by SIGKILL" in stage.told(deployment_id)


def test_pauses_grow_while_replicas_keep_crashing_and_are_forgotten_after_a_quiet_minute(stage: Stage) -> None:
    deployment_id = stage.running_deployment()
    pauses = []
    for _ in range(7):
        [replica] = stage.running(deployment_id)
        stage.runtime.end(replica.id, "it broke")
        crashed_at = stage.clock.now()
        started = len(stage.runtime.started)
        while len(stage.runtime.started) == started:
            stage.look()
        pauses.append(round((stage.clock.now() - TICK - crashed_at).total_seconds()))
        stage.look()
        stage.let_ready()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert stage.get(deployment_id).status is DeploymentStatus.RUNNING

    stage.wait(61)

    assert stage.get(deployment_id).failures == 0
    assert stage.get(deployment_id).retry_at is None


def test_a_model_that_cannot_be_loaded_is_given_up_after_three_tries(stage: Stage) -> None:
    deployment_id = stage.deploy(replicas=2)
    tries = 0
    while stage.get(deployment_id).is_live:
        stage.look()
        for replica in stage.replicas(deployment_id):
            if replica.status is DeploymentStatus.LOADING:
                stage.runtime.end(replica.id, "the model's config.json cannot be used")
                tries += 1
    stage.look(3)

    deployment = stage.get(deployment_id)
    assert tries == 6
    assert (deployment.status, deployment.desired_replicas) == (DeploymentStatus.FAILED, 0)
    assert deployment.reason == "the model's config.json cannot be used"
    assert stage.statuses(deployment_id) == ["failed", "failed"]
    assert stage.runtime.sightings() == {}
    assert [type(event) for event in stage.units.events] == [DeploymentFailed]


def test_a_failed_deployment_starts_again_on_request_as_a_new_run(stage: Stage) -> None:
    deployment_id = stage.deploy()
    while stage.get(deployment_id).is_live:
        stage.look()
        for replica in stage.replicas(deployment_id):
            if replica.status is DeploymentStatus.LOADING:
                stage.runtime.end(replica.id, "no memory")

    stage.change(deployment_id, "start")
    stage.look(2)
    stage.let_ready()

    deployment = stage.get(deployment_id)
    assert (deployment.status, deployment.run, deployment.reason) == (DeploymentStatus.RUNNING, 2, None)
    with stage.units(read_only=True) as work:
        moves = [(change.run, change.after.value) for change in work.deployments.changes(deployment_id)]
    assert moves == [(1, "pending"), (1, "loading"), (1, "failed"), (2, "pending"), (2, "loading"), (2, "running")]


def test_loading_does_not_go_on_for_ever(stage: Stage) -> None:
    deployment_id = stage.deploy()
    stage.look(2)
    [replica] = stage.replicas(deployment_id)

    stage.clock.advance(timedelta(minutes=21))
    stage.look(2)

    assert stage.get(deployment_id).reason == "loading the model took too long"
    assert replica.id not in stage.runtime.sightings()


def test_an_update_brings_the_new_ones_up_before_the_old_ones_go(stage: Stage) -> None:
    deployment_id = stage.running_deployment(replicas=2)
    old = {replica.id for replica in stage.replicas(deployment_id)}
    fewest, most = 2, 2

    stage.roll_to(deployment_id, "2.0.0")
    for _ in range(60):
        stage.look()
        stage.let_ready()
        stage.let_end()
        fewest = min(fewest, len(stage.running(deployment_id)))
        most = max(most, len([sighting for sighting in stage.runtime.sightings().values() if sighting.state.value != "ended"]))

    deployment = stage.get(deployment_id)
    assert deployment.status is DeploymentStatus.RUNNING
    assert old.isdisjoint(replica.id for replica in stage.replicas(deployment_id))
    assert [replica.revision for replica in stage.running(deployment_id)] == [2, 2]
    assert fewest == 2
    assert most <= 4


def test_an_update_that_cannot_be_started_leaves_the_old_version_answering(stage: Stage) -> None:
    deployment_id = stage.running_deployment()
    [old] = stage.running(deployment_id)

    stage.roll_to(deployment_id, "2.0.0")
    for _ in range(40):
        stage.look()
        for replica in stage.replicas(deployment_id):
            if replica.status is DeploymentStatus.LOADING:
                stage.runtime.end(replica.id, "the weights are broken")
    assert [replica.id for replica in stage.running(deployment_id)] == [old.id]
    assert len(stage.runtime.started) == 1 + 3
    deployment = stage.get(deployment_id)
    assert deployment.status is DeploymentStatus.RUNNING
    assert "version 1.0.0 goes on" in (deployment.reason or "")
    assert "the weights are broken" in (deployment.reason or "")
    stage.runtime.end(old.id, "killed")
    stage.wait(2)
    stage.let_ready()

    assert [replica.revision for replica in stage.running(deployment_id)] == [1]
    stage.roll_to(deployment_id, "3.0.0")
    stage.look(2)
    stage.let_ready()
    assert stage.get(deployment_id).reason is None
    assert {replica.revision for replica in stage.running(deployment_id)} == {3}


def test_a_replica_drains_before_it_is_stopped(stage: Stage) -> None:
    deployment_id = stage.running_deployment()
    [replica] = stage.replicas(deployment_id)

    stage.change(deployment_id, "stop")
    stage.look()
    assert stage.statuses(deployment_id) == ["stopping"]
    assert not stage.runtime.is_draining(replica.id)
    stage.wait(2)
    assert stage.runtime.is_draining(replica.id)
    stage.wait(20)
    assert stage.get(deployment_id).status is DeploymentStatus.STOPPING
    assert stage.runtime.sightings()[replica.id].state.value == "ready"
    stage.runtime.end(replica.id)
    stage.look(2)

    assert stage.get(deployment_id).status is DeploymentStatus.STOPPED
    assert stage.replicas(deployment_id) == []
    assert stage.runtime.sightings() == {}


def test_one_that_does_not_end_is_killed(stage: Stage) -> None:
    deployment_id = stage.running_deployment()

    stage.change(deployment_id, "stop")
    stage.wait(33)

    assert stage.get(deployment_id).status is DeploymentStatus.STOPPED
    assert stage.runtime.sightings() == {}


def test_one_that_never_answered_is_killed_at_once(stage: Stage) -> None:
    deployment_id = stage.deploy()
    stage.look(2)

    stage.change(deployment_id, "stop")
    stage.look(2)

    assert stage.get(deployment_id).status is DeploymentStatus.STOPPED


def test_a_stopped_deployment_starts_again(stage: Stage) -> None:
    deployment_id = stage.running_deployment()
    stage.change(deployment_id, "stop")
    stage.wait(33)

    stage.change(deployment_id, "start")
    stage.look(2)
    stage.let_ready()

    assert stage.get(deployment_id).status is DeploymentStatus.RUNNING
    assert len(stage.running(deployment_id)) == 1


def test_a_deleted_deployment_is_gone_with_its_last_replica(stage: Stage) -> None:
    deployment_id = stage.running_deployment(replicas=2)
    first, second = stage.replicas(deployment_id)

    stage.change(deployment_id, "delete")
    stage.wait(2)
    stage.runtime.end(first.id)
    stage.look(2)
    assert stage.get(deployment_id).status is DeploymentStatus.STOPPING
    stage.runtime.end(second.id)
    stage.look(2)

    assert not stage.exists(deployment_id)
    assert stage.runtime.sightings() == {}
    assert isinstance(stage.units.events[-1], DeploymentDeleted)


def test_one_that_is_deleted_before_it_began_is_gone_at_the_next_look(stage: Stage) -> None:
    deployment_id = stage.deploy()

    stage.change(deployment_id, "delete")
    stage.look()

    assert not stage.exists(deployment_id)
    assert stage.runtime.started == []


def test_more_replicas_are_started_and_fewer_drained(stage: Stage) -> None:
    deployment_id = stage.running_deployment()
    [first] = stage.running(deployment_id)

    stage.change(deployment_id, "change", changes={"replicas": 3})
    stage.look()
    assert stage.get(deployment_id).status is DeploymentStatus.SCALING
    stage.look()
    stage.let_ready()
    assert len(stage.running(deployment_id)) == 3
    assert stage.get(deployment_id).status is DeploymentStatus.RUNNING
    stage.change(deployment_id, "change", changes={"replicas": 1})
    stage.look()

    assert [replica.id for replica in stage.running(deployment_id)] == [first.id]
    assert stage.statuses(deployment_id).count("stopping") == 2


def test_replicas_of_a_controller_that_died_are_replaced_by_the_next(stage: Stage) -> None:
    deployment_id = stage.running_deployment(replicas=2)
    old = {replica.id for replica in stage.replicas(deployment_id)}
    stage.runtime = MemoryReplicaRuntime("the next")
    stage.controller = stage.controller_on(stage.runtime)

    stage.look()
    assert stage.runtime.started == []
    stage.clock.advance(timedelta(seconds=6))
    stage.look(2)
    stage.let_ready()

    assert stage.get(deployment_id).status is DeploymentStatus.RUNNING
    assert stage.get(deployment_id).failures == 0
    assert len(stage.running(deployment_id)) == 2
    assert old.isdisjoint(replica.id for replica in stage.replicas(deployment_id))


def test_a_controller_that_ends_well_is_followed_at_once(stage: Stage) -> None:
    deployment_id = stage.running_deployment()
    stage.controller.close()
    stage.runtime = MemoryReplicaRuntime("the next")
    stage.controller = stage.controller_on(stage.runtime)

    stage.look(2)
    stage.let_ready()

    assert stage.get(deployment_id).status is DeploymentStatus.RUNNING
    assert [replica.host for replica in stage.replicas(deployment_id)] == ["the next"]


def test_stopping_goes_on_where_the_controller_died(stage: Stage) -> None:
    deployment_id = stage.running_deployment()
    stage.change(deployment_id, "delete")
    stage.look()
    stage.runtime = MemoryReplicaRuntime("the next")
    stage.controller = stage.controller_on(stage.runtime)
    stage.clock.advance(timedelta(seconds=6))

    stage.look()

    assert not stage.exists(deployment_id)


def test_of_two_controllers_one_acts(stage: Stage) -> None:
    other_runtime = MemoryReplicaRuntime("other")
    other = stage.controller_on(other_runtime)
    stage.deploy()

    for _ in range(20):
        stage.look()
        other.reconcile(stage.clock.now())

    assert len(stage.runtime.started) == 1
    assert other_runtime.started == []


def test_one_that_lost_the_role_ends_its_engines_and_writes_nothing(stage: Stage) -> None:
    deployment_id = stage.running_deployment()
    [lost] = stage.running(deployment_id)
    other_runtime = MemoryReplicaRuntime("other", obliging=True)
    other = stage.controller_on(other_runtime)
    stage.clock.advance(timedelta(seconds=6))
    for _ in range(3):
        other.reconcile(stage.clock.now())
    [replica] = stage.running(deployment_id)

    stage.look()
    stage.look()

    assert replica.id != lost.id
    assert [one.id for one in stage.running(deployment_id)] == [replica.id]
    assert stage.runtime.sightings() == {}


def test_what_engines_write_is_kept(stage: Stage) -> None:
    deployment_id = stage.running_deployment()
    [replica] = stage.replicas(deployment_id)

    stage.runtime.write(replica.id, "something is odd")
    stage.look()

    with stage.units(read_only=True) as work:
        lines = work.deployment_log.page(deployment_id, number=1, limit=100, level=LineLevel.WARNING).items
    assert [(line.message, line.replica_id) for line in lines] == [("something is odd", replica.id)]


def test_changes_are_announced(stage: Stage) -> None:
    stage.running_deployment()

    assert set(stage.units.announced) == {"deployments"}


def test_the_moves_of_a_replica_follow_its_machine(stage: Stage) -> None:
    deployment_id = stage.running_deployment()
    [replica] = stage.replicas(deployment_id)
    stage.change(deployment_id, "stop")
    stage.wait(33)

    with stage.units(read_only=True) as work:
        moves = [change.after.value for change in work.deployments.changes(deployment_id, replica_id=replica.id)]

    assert moves == ["pending", "loading", "running", "stopping", "stopped"]
