"""What every keeper of deployments, replicas, their log and the controller's role does."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from maas.adapters.clock.memory import ManualClock
from maas.application.actor import Actor
from maas.application.ports.repositories.serving import DeploymentFilter
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.errors import AlreadyExists, NotFound
from maas.domain.identifiers import new_id
from maas.domain.identity import Role
from maas.domain.paging import Order, PageRequest
from maas.domain.serving.autoscaling import AutoScaling
from maas.domain.serving.deployment import Deployment, DeploymentStatus
from maas.domain.serving.hardware import HardwareSpec
from maas.domain.serving.log import MOST_LINES, DeploymentLine, LineLevel
from maas.domain.serving.replica import Replica
from tests.builders import a_deployment, a_replica, a_served_model, a_user

LONG = timedelta(seconds=10)


@pytest.fixture
def owner(units: UnitOfWorkFactory) -> Actor:
    user = a_user()
    with units() as work:
        work.users.add(user)
    return Actor(user_id=user.id)


def keep(units: UnitOfWorkFactory, owner: Actor, **values: object) -> Deployment:
    deployment = a_deployment(owner_id=owner.user_id, **values)
    with units() as work:
        work.deployments.add(deployment)
    return deployment


def keep_replica(units: UnitOfWorkFactory, deployment: Deployment, **values: object) -> Replica:
    replica = a_replica(deployment_id=deployment.id, **values)
    with units() as work:
        work.replicas.add(replica)
    return replica


def test_a_deployment_is_read_back_whole(units: UnitOfWorkFactory, owner: Actor) -> None:
    kept = keep(
        units,
        owner,
        description="for tests",
        model=a_served_model(base_model_id=uuid4(), base_version="2", base_files_key="models/b/files"),
        hardware_spec=HardwareSpec(cpu_cores=2, memory="1GB"),
        auto_scaling=AutoScaling(enabled=True, max_replicas=3),
        inference_config={"temperature": 0.5, "stop": ["\n"]},
        adapter="a",
    )

    with units(read_only=True) as work:
        found = work.deployments.get(kept.id, visible_to=owner)

    assert {**vars(found), "changes": []} == {**vars(kept), "changes": []}


def test_only_its_owner_and_admins_see_a_deployment(units: UnitOfWorkFactory, owner: Actor) -> None:
    kept = keep(units, owner)
    admin = Actor(user_id=uuid4(), roles=frozenset({Role.ADMIN}))

    with units(read_only=True) as work:
        assert work.deployments.get(kept.id, visible_to=admin).id == kept.id
        assert work.deployments.page(PageRequest(), visible_to=admin, only=DeploymentFilter()).total == 1
        assert work.deployments.page(PageRequest(), visible_to=Actor(user_id=uuid4()), only=DeploymentFilter()).total == 0
        with pytest.raises(NotFound):
            work.deployments.get(kept.id, visible_to=Actor(user_id=uuid4()))


def test_a_name_is_taken_once_until_its_deployment_is_being_deleted(
    units: UnitOfWorkFactory, owner: Actor, clock: ManualClock
) -> None:
    kept = keep(units, owner, name="chat")
    with pytest.raises(AlreadyExists):
        keep(units, owner, name="chat")

    with units() as work:
        work.deployments.get(kept.id, visible_to=owner, for_update=True).delete(at=clock.now())
    second = keep(units, owner, name="chat")

    with units(read_only=True) as work:
        found = work.deployments.find_by_name("chat", owner_id=owner.user_id)
        assert found is not None
        assert found.id == second.id
        assert work.deployments.find_by_name("chat", owner_id=uuid4()) is None


def test_a_list_is_filtered_searched_and_sorted(units: UnitOfWorkFactory, owner: Actor) -> None:
    first = keep(units, owner, name="Alpha")
    keep(units, owner, name="beta", description="has alpha in it")
    keep(units, owner, name="gamma")

    with units(read_only=True) as work:
        asked = PageRequest(search="ALPHA", sort="name", order=Order.ASCENDING)
        found = work.deployments.page(asked, visible_to=owner, only=DeploymentFilter())
        of_model = work.deployments.page(PageRequest(), visible_to=owner, only=DeploymentFilter(model_id=first.model_id))
        running = work.deployments.page(PageRequest(), visible_to=owner, only=DeploymentFilter(status=DeploymentStatus.RUNNING))

    assert [deployment.name for deployment in found.items] == ["Alpha", "beta"]
    assert [deployment.name for deployment in of_model.items] == ["Alpha"]
    assert running.total == 0


def test_moves_are_kept_in_order_and_fold_to_the_row(units: UnitOfWorkFactory, owner: Actor, clock: ManualClock) -> None:
    kept = keep(units, owner)
    with units() as work:
        deployment = work.deployments.get(kept.id, visible_to=owner, for_update=True)
        deployment.load(at=clock.now())
        deployment.settle(at=clock.now())
    with units() as work:
        work.deployments.get(kept.id, visible_to=owner, for_update=True).stop(at=clock.now())

    with units(read_only=True) as work:
        changes = work.deployments.changes(kept.id)
        row = work.deployments.get(kept.id, visible_to=owner)

    assert [change.after.value for change in changes] == ["pending", "loading", "running", "stopping"]
    assert [change.before for change in changes] == [None, *(change.after for change in changes[:-1])]
    assert row.status is changes[-1].after
    assert row.changes == []


def test_the_moves_of_a_replica_outlive_it(units: UnitOfWorkFactory, owner: Actor, clock: ManualClock) -> None:
    deployment = keep(units, owner)
    replica = keep_replica(units, deployment)
    with units() as work:
        [found] = work.replicas.of(deployment.id)
        found.fail("it broke", at=clock.now())
        work.replicas.remove(found)

    with units(read_only=True) as work:
        changes = work.deployments.changes(deployment.id, replica_id=replica.id)
        assert [(change.after.value, change.reason) for change in changes] == [("pending", None), ("failed", "it broke")]
        assert work.replicas.of(deployment.id) == []


def test_those_are_attended_that_live_or_have_replicas(units: UnitOfWorkFactory, owner: Actor, clock: ManualClock) -> None:
    live, left, done = (keep(units, owner, name=name) for name in ("live", "left", "done"))
    keep_replica(units, left)
    with units() as work:
        for deployment in (left, done):
            work.deployments.get(deployment.id, visible_to=owner).fail("no", at=clock.now())

    with units(read_only=True) as work:
        assert [deployment.id for deployment in work.deployments.attended()] == [live.id, left.id]
        assert work.deployments.count_live(owner.user_id) == 1
        assert [replica.deployment_id for replica in work.replicas.all()] == [left.id]


def test_a_model_is_used_by_live_deployments_of_it_and_of_its_adapters(
    units: UnitOfWorkFactory, owner: Actor, clock: ManualClock
) -> None:
    base = uuid4()
    kept = keep(units, owner, model=a_served_model(version="1", base_model_id=base, base_version="7"))

    def used(model_id: UUID, version: str | None = None) -> bool:
        with units(read_only=True) as work:
            return work.deployments.uses_model(model_id, version)

    assert used(kept.model_id)
    assert used(kept.model_id, "1")
    assert not used(kept.model_id, "2")
    assert used(base)
    assert used(base, "7")
    assert not used(uuid4())
    with units() as work:
        work.deployments.get(kept.id, visible_to=owner).fail("no", at=clock.now())
    assert not used(kept.model_id)


def test_a_removed_deployment_takes_its_log_and_its_moves_along(
    units: UnitOfWorkFactory, owner: Actor, clock: ManualClock
) -> None:
    kept = keep(units, owner)
    with units() as work:
        work.deployment_log.add(DeploymentLine(id=new_id(), deployment_id=kept.id, message="hello", at=clock.now()))
    with units() as work:
        work.deployments.remove(work.deployments.get(kept.id, visible_to=owner, for_update=True))

    with units(read_only=True) as work:
        assert work.deployments.find(kept.id) is None
        assert work.deployments.changes(kept.id) == []
        assert work.deployment_log.page(kept.id, number=1, limit=10).total == 0


def test_lines_come_oldest_first_in_pages_and_by_level(units: UnitOfWorkFactory, owner: Actor, clock: ManualClock) -> None:
    kept = keep(units, owner)
    levels = [LineLevel.INFO, LineLevel.ERROR, LineLevel.INFO]
    with units() as work:
        work.deployment_log.add(
            *(
                DeploymentLine(id=new_id(), deployment_id=kept.id, level=level, message=f"line {number}", at=clock.now())
                for number, level in enumerate(levels)
            )
        )

    with units(read_only=True) as work:
        second = work.deployment_log.page(kept.id, number=2, limit=2)
        errors = work.deployment_log.page(kept.id, number=1, limit=2, level=LineLevel.ERROR)

    assert ([line.message for line in second.items], second.total) == (["line 2"], 3)
    assert [line.message for line in errors.items] == ["line 1"]


def test_the_oldest_lines_make_room(units: UnitOfWorkFactory, owner: Actor, clock: ManualClock) -> None:
    kept = keep(units, owner)
    lines = [
        DeploymentLine(id=new_id(), deployment_id=kept.id, message=str(number), at=clock.now())
        for number in range(MOST_LINES + 3)
    ]

    with units() as work:
        work.deployment_log.add(*lines)

    with units(read_only=True) as work:
        page = work.deployment_log.page(kept.id, number=1, limit=1)
        assert (page.total, page.items[0].message) == (MOST_LINES, "3")


def test_one_holds_a_role_until_its_time_is_over(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    def take(holder: str) -> bool:
        with units() as work:
            return work.leaderships.take("controller", holder=holder, at=clock.now(), duration=LONG)

    assert take("a")
    assert not take("b")
    clock.advance(LONG / 2)
    assert take("a")
    clock.advance(LONG / 2)
    assert not take("b")
    clock.advance(LONG / 2)
    assert take("b")
    with units(read_only=True) as work:
        assert work.leaderships.holder("controller", at=clock.now()) == ("b", clock.now() + LONG)


def test_a_role_that_is_given_back_is_free_at_once(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    with units() as work:
        work.leaderships.take("controller", holder="a", at=clock.now(), duration=LONG)
        work.leaderships.give_back("controller", holder="b")
        assert work.leaderships.holder("controller", at=clock.now()) is not None
        work.leaderships.give_back("controller", holder="a")

    with units() as work:
        assert work.leaderships.holder("controller", at=clock.now()) is None
        assert work.leaderships.take("controller", holder="b", at=clock.now(), duration=LONG)
