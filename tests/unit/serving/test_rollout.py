"""The next step of a rollout leads to what should be, and answers all the while."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from maas.domain.serving.deployment import DeploymentStatus
from maas.domain.serving.replica import Replica
from maas.domain.serving.rollout import SURGE, next_step
from tests.builders import a_replica

DEPLOYMENT = uuid4()
kinds = st.tuples(st.sampled_from([1, 2]), st.sampled_from([DeploymentStatus.LOADING, DeploymentStatus.RUNNING]))


def standing(pairs: list[tuple[int, DeploymentStatus]]) -> list[Replica]:
    return [a_replica(deployment_id=DEPLOYMENT, revision=revision, status=status) for revision, status in pairs]


def running(replicas: list[Replica]) -> int:
    return len([replica for replica in replicas if replica.is_running])


@given(st.lists(kinds, max_size=6), st.integers(1, 4))
def test_no_step_leaves_fewer_answering_than_are_desired_or_were_there(
    pairs: list[tuple[int, DeploymentStatus]], desired: int
) -> None:
    before = standing(pairs)

    step = next_step(before, desired=desired, run=1, revision=2)

    after = [replica for replica in before if replica not in step.leave]
    assert running(after) == min(running(before), desired)
    assert len(set(step.leave)) == len(step.leave)
    assert len(after) + step.start <= max(desired + SURGE, len(after))


@given(st.lists(kinds, max_size=6), st.integers(1, 4))
def test_steps_lead_to_the_desired_number_of_the_new_revision_and_stop_there(
    pairs: list[tuple[int, DeploymentStatus]], desired: int
) -> None:
    replicas = standing(pairs)

    for _ in range(30):
        step = next_step(replicas, desired=desired, run=1, revision=2)
        replicas = [replica for replica in replicas if replica not in step.leave]
        for replica in replicas:
            replica.status = DeploymentStatus.RUNNING
        replicas += standing([(2, DeploymentStatus.LOADING)] * step.start)

    assert [(replica.revision, replica.is_running) for replica in replicas] == [(2, True)] * desired
    assert next_step(replicas, desired=desired, run=1, revision=2) == next_step(replicas, desired=desired, run=1, revision=2)
    assert next_step(replicas, desired=desired, run=1, revision=2).start == 0


def test_replicas_of_an_earlier_run_go() -> None:
    [old] = replicas = standing([(2, DeploymentStatus.LOADING)])
    old.run = 0

    assert next_step(replicas, desired=1, run=1, revision=2).leave == (old,)
