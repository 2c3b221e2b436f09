"""What every repository of batches keeps."""

from datetime import timedelta
from uuid import UUID

import pytest

from maas.application.actor import Actor
from maas.application.ports.repositories.batches import BatchFilter
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.errors import AlreadyExists, NotFound
from maas.domain.identifiers import new_id
from maas.domain.identity import Role
from maas.domain.inference.batch import Batch, BatchPart, BatchStatus
from maas.domain.paging import PageRequest
from tests.builders import NOW, a_batch, a_user

ADMIN = Actor(user_id=new_id(), roles=frozenset({Role.USER, Role.ADMIN}))


@pytest.fixture
def owner(units: UnitOfWorkFactory) -> UUID:
    user = a_user()
    with units() as work:
        work.users.add(user)
    return user.id


def kept(units: UnitOfWorkFactory, *batches: Batch) -> None:
    with units() as work:
        for batch in batches:
            work.batches.add(batch)


def part(batch: Batch, number: int) -> BatchPart:
    return BatchPart(batch_id=batch.id, number=number, files_key=f"batch-parts/{new_id()}", completed=2, failed=1)


def test_a_batch_comes_back_as_it_was_changed(units: UnitOfWorkFactory, owner: UUID) -> None:
    batch = a_batch(owner)
    kept(units, batch)
    with units() as work:
        found = work.batches.get(batch.id, visible_to=Actor(user_id=owner), for_update=True)
        found.start(at=NOW)
        found.count(part(batch, 0), at=NOW)
        found.fail("no more", at=NOW + timedelta(seconds=1))

    with units(read_only=True) as work:
        after = work.batches.find(batch.id)

    assert after is not None
    assert vars(after) == vars(found)
    assert [change.after for change in after.changes] == [BatchStatus.QUEUED, BatchStatus.RUNNING, BatchStatus.FAILED]


def test_only_owners_and_admins_see_a_batch(units: UnitOfWorkFactory, owner: UUID) -> None:
    batch = a_batch(owner)
    kept(units, batch)

    with units(read_only=True) as work:
        assert work.batches.get(batch.id, visible_to=ADMIN).id == batch.id
        with pytest.raises(NotFound):
            work.batches.get(batch.id, visible_to=Actor(user_id=new_id()))


def test_pages_are_filtered_and_searched(units: UnitOfWorkFactory, owner: UUID) -> None:
    running = a_batch(owner, name="Nightly 50%", at=NOW + timedelta(seconds=1))
    running.start(at=NOW)
    other = a_batch(owner, deployment_id=running.deployment_id)
    kept(units, running, other, a_batch(owner))
    actor = Actor(user_id=owner)

    def found(only: BatchFilter, **request: str) -> list[UUID]:
        with units(read_only=True) as work:
            return [one.id for one in work.batches.page(PageRequest(**request), visible_to=actor, only=only).items]  # type: ignore[arg-type]

    assert found(BatchFilter(status=BatchStatus.RUNNING)) == [running.id]
    assert found(BatchFilter(deployment_id=running.deployment_id)) == [running.id, other.id]
    assert found(BatchFilter(), search="NIGHTLY 50%") == [running.id]
    assert found(BatchFilter(), search="%") == [running.id]
    assert len(found(BatchFilter(), sort="name")) == 3


def test_parts_come_in_order_and_once(units: UnitOfWorkFactory, owner: UUID) -> None:
    batch = a_batch(owner)
    kept(units, batch)
    parts = [part(batch, number) for number in range(3)]
    with units() as work:
        for one in reversed(parts):
            work.batches.add_part(one)

    with units(read_only=True) as work:
        assert work.batches.parts(batch.id) == parts
        assert work.batches.roots() == {batch.files_key, *(one.files_key for one in parts)}

    def add_again() -> None:
        with units() as work:
            work.batches.add_part(part(batch, 1))

    with pytest.raises(AlreadyExists):
        add_again()
