"""Replicas come and go with the load, and each decision has its reason."""

from uuid import UUID

from maas.domain.serving.autoscaling import AutoScaling
from maas.domain.serving.hardware import HardwareSpec
from tests.unit.serving.conftest import Stage

RULE = AutoScaling(enabled=True, min_replicas=1, max_replicas=3, target_cpu_utilization=50)


def busy(stage: Stage, deployment_id: UUID, percent: float, *, seconds: int, cores: int = 2) -> None:
    """Let every replica be so busy for so long; those that start become ready, and those that drain end."""
    for _ in range(seconds * 2):
        for replica in stage.running(deployment_id):
            stage.runtime.use(replica.id, cpu_seconds=percent / 100 * cores / 2)
        stage.look()
        stage.let_start()
        stage.let_end()


def test_a_busy_deployment_gets_replicas_as_the_formula_says(stage: Stage) -> None:
    deployment_id = stage.running_deployment(auto_scaling=RULE, hardware_spec=HardwareSpec(cpu_cores=2))

    busy(stage, deployment_id, 95, seconds=14)

    assert len(stage.running(deployment_id)) == 2
    assert stage.get(deployment_id).desired_replicas == 2
    reasons = [line for line in stage.told(deployment_id) if line.startswith("scaling")]
    assert reasons[0] == "scaling up from 1 to 2 replicas: CPU utilization 95% of 1 replicas against a target of 50%"


def test_an_idle_deployment_gives_replicas_back_after_a_quiet_minute_and_not_before(stage: Stage) -> None:
    deployment_id = stage.running_deployment(replicas=3, auto_scaling=RULE, hardware_spec=HardwareSpec(cpu_cores=2))

    busy(stage, deployment_id, 5, seconds=45)
    assert len(stage.running(deployment_id)) == 3
    busy(stage, deployment_id, 5, seconds=50)

    assert len(stage.running(deployment_id)) == 1
    assert stage.get(deployment_id).status.value == "running"
    assert any(line.startswith("scaling down from 3 to 1 replicas") for line in stage.told(deployment_id))


def test_the_bounds_hold(stage: Stage) -> None:
    deployment_id = stage.running_deployment(auto_scaling=RULE, hardware_spec=HardwareSpec(cpu_cores=2))

    busy(stage, deployment_id, 100, seconds=80)

    assert stage.get(deployment_id).desired_replicas == 3


def test_what_is_near_its_target_stays_as_it_is(stage: Stage) -> None:
    deployment_id = stage.running_deployment(replicas=2, auto_scaling=RULE, hardware_spec=HardwareSpec(cpu_cores=2))

    busy(stage, deployment_id, 52, seconds=90)

    assert stage.get(deployment_id).desired_replicas == 2
    assert not any(line.startswith("scaling") for line in stage.told(deployment_id))


def test_on_a_gpu_busy_slots_count(stage: Stage) -> None:
    deployment_id = stage.running_deployment(auto_scaling=RULE)
    [replica] = stage.running(deployment_id)
    stage.runtime.use(replica.id, busy=100.0)

    busy(stage, deployment_id, 0, seconds=0)
    stage.wait(12)

    assert stage.get(deployment_id).desired_replicas == 2


def test_without_autoscaling_load_changes_nothing(stage: Stage) -> None:
    deployment_id = stage.running_deployment(hardware_spec=HardwareSpec(cpu_cores=2))

    busy(stage, deployment_id, 100, seconds=40)

    assert stage.get(deployment_id).desired_replicas == 1
