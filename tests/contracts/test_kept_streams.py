"""What every repository of kept streams keeps."""

from datetime import timedelta
from uuid import UUID

import pytest

from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.errors import NotFound
from maas.domain.identifiers import new_id
from maas.domain.inference.kept_stream import KEPT_FOR, LOST_AFTER, KeptChunk, KeptStream
from tests.builders import NOW, a_user

SECOND = timedelta(seconds=1)


@pytest.fixture
def owner(units: UnitOfWorkFactory) -> UUID:
    user = a_user()
    with units() as work:
        work.users.add(user)
    return user.id


def a_stream(units: UnitOfWorkFactory, owner: UUID) -> KeptStream:
    stream = KeptStream(id=new_id(), owner_id=owner, deployment_id=new_id(), created_at=NOW, heard_at=NOW)
    with units() as work:
        work.kept_streams.add(stream)
    return stream


def chunks(first: int, last: int) -> list[KeptChunk]:
    return [KeptChunk(number=number, content=f'{{"n":{number}}}') for number in range(first, last + 1)]


def test_chunks_come_back_in_order_from_after_a_number(units: UnitOfWorkFactory, owner: UUID) -> None:
    stream, other = a_stream(units, owner), a_stream(units, owner)
    with units() as work:
        work.kept_streams.append(stream.id, chunks(1, 2), at=NOW + SECOND, ended=False)
        work.kept_streams.append(stream.id, [], at=NOW + SECOND, ended=False)
        work.kept_streams.append(other.id, chunks(1, 5), at=NOW, ended=False)
    with units() as work:
        work.kept_streams.append(stream.id, chunks(3, 12), at=NOW + 2 * SECOND, ended=True)

    with units(read_only=True) as work:
        assert work.kept_streams.chunks(stream.id, after=0) == chunks(1, 12)
        assert work.kept_streams.chunks(stream.id, after=10) == chunks(11, 12)
        after = work.kept_streams.get(stream.id, owner_id=owner)
    assert (after.heard_at, after.ended_at) == (NOW + 2 * SECOND, NOW + 2 * SECOND)


def test_a_stream_is_its_owners_alone(units: UnitOfWorkFactory, owner: UUID) -> None:
    stream = a_stream(units, owner)

    with units(read_only=True) as work, pytest.raises(NotFound):
        work.kept_streams.get(stream.id, owner_id=new_id())


def test_old_streams_go_with_their_chunks(units: UnitOfWorkFactory, owner: UUID) -> None:
    old, young = a_stream(units, owner), a_stream(units, owner)
    with units() as work:
        work.kept_streams.append(old.id, chunks(1, 2), at=NOW, ended=True)
        work.kept_streams.append(young.id, chunks(1, 2), at=NOW + SECOND, ended=False)

    with units() as work:
        assert work.kept_streams.remove_before(NOW + SECOND) == 1

    with units(read_only=True) as work:
        assert work.kept_streams.chunks(old.id, after=0) == []
        assert len(work.kept_streams.chunks(young.id, after=0)) == 2


def test_a_stream_is_lost_where_nobody_writes_it_and_over_after_ten_minutes() -> None:
    stream = KeptStream(id=new_id(), owner_id=new_id(), deployment_id=new_id(), created_at=NOW, heard_at=NOW)

    assert not stream.is_lost(at=NOW + LOST_AFTER)
    assert stream.is_lost(at=NOW + LOST_AFTER + SECOND)
    assert stream.is_over(at=NOW + KEPT_FOR + SECOND)
    stream.ended_at = NOW + SECOND
    assert not stream.is_lost(at=NOW + 2 * LOST_AFTER)
    assert not stream.is_over(at=NOW + KEPT_FOR + SECOND)
