"""What every keeper of leased work does."""

from datetime import timedelta
from uuid import UUID, uuid4

from maas.adapters.clock.memory import ManualClock
from maas.application.ports.repositories.leases import Leases
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.leases import Lease, WorkItem, WorkStatus, backoff

LONG = timedelta(seconds=30)


def offer(units: UnitOfWorkFactory, clock: ManualClock, **options: int) -> None:
    with units() as work:
        work.leases.offer("train", uuid4(), at=clock.now(), payload={"n": 1}, **options)


def claim(units: UnitOfWorkFactory, clock: ManualClock) -> Lease | None:
    with units() as work:
        return work.leases.claim(["train"], worker="w", at=clock.now(), duration=LONG)


def claimed(units: UnitOfWorkFactory, clock: ManualClock) -> Lease:
    lease = claim(units, clock)
    assert lease is not None
    return lease


def test_work_is_taken_once(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    offer(units, clock)

    first, second = claim(units, clock), claim(units, clock)

    assert first is not None
    assert (first.attempt, first.payload, first.failures) == (1, {"n": 1}, 0)
    assert second is None


def test_work_of_another_kind_is_left_alone(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    with units() as work:
        work.leases.offer("ingest", uuid4(), at=clock.now())

    assert claim(units, clock) is None


def test_work_is_not_taken_before_it_is_due(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    with units() as work:
        work.leases.offer("train", uuid4(), at=clock.now() + timedelta(seconds=5))

    assert claim(units, clock) is None
    clock.advance(timedelta(seconds=6))
    assert claim(units, clock) is not None


def test_an_expired_lease_passes_on_and_its_former_holder_writes_nothing(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    offer(units, clock)
    old = claimed(units, clock)
    clock.advance(LONG + timedelta(seconds=1))

    new = claimed(units, clock)

    assert (new.attempt, new.failures) == (2, 1)
    with units() as work:
        assert not work.leases.holds(old)
        assert not work.leases.renew(old, at=clock.now(), duration=LONG)
        assert not work.leases.finish(old)
        assert work.leases.holds(new)


def test_a_renewed_lease_does_not_pass_on(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    offer(units, clock)
    lease = claimed(units, clock)
    clock.advance(LONG - timedelta(seconds=1))
    with units() as work:
        assert work.leases.renew(lease, at=clock.now(), duration=LONG)
    clock.advance(timedelta(seconds=10))

    assert claim(units, clock) is None


def test_finished_work_is_gone(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    offer(units, clock)
    lease = claimed(units, clock)

    with units() as work:
        assert work.leases.finish(lease)

    with units(read_only=True) as work:
        assert work.leases.of_subject(lease.subject_id) == []


def test_failed_work_comes_again_after_a_pause_until_its_failures_are_used_up(
    units: UnitOfWorkFactory, clock: ManualClock
) -> None:
    offer(units, clock, max_failures=2)
    first = claimed(units, clock)
    with units() as work:
        assert work.leases.fail(first, reason="no luck", at=clock.now()) is False
    assert claim(units, clock) is None
    clock.advance(backoff(1))
    second = claimed(units, clock)

    with units() as work:
        over = work.leases.fail(second, reason="no luck again", at=clock.now())

    assert over is True
    assert only_item(units, second.subject_id).status is WorkStatus.FAILED


def test_work_whose_holders_die_is_exhausted_in_the_end(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    offer(units, clock, max_failures=2)
    for _ in range(2):
        claimed(units, clock)
        clock.advance(LONG + timedelta(seconds=1))

    assert claim(units, clock) is None
    with units() as work:
        (item,) = work.leases.exhausted(at=clock.now())
        work.leases.close_failed(item.id, reason="its workers died")

    with units(read_only=True) as work:
        assert work.leases.exhausted(at=clock.now()) == []
    assert only_item(units, item.subject_id).reason == "its workers died"


def test_work_that_is_given_back_counts_no_failure(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    offer(units, clock)
    with units() as work:
        assert work.leases.give_back(claimed_in(work.leases, clock), at=clock.now())

    assert claimed(units, clock).failures == 0


def test_withdrawn_work_is_lost_to_its_holder(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    offer(units, clock)
    lease = claimed(units, clock)

    with units() as work:
        work.leases.withdraw(lease.subject_id, kinds=["train"])

    with units() as work:
        assert not work.leases.renew(lease, at=clock.now(), duration=LONG)


def claimed_in(leases: Leases, clock: ManualClock) -> Lease:
    lease = leases.claim(["train"], worker="w", at=clock.now(), duration=LONG)
    assert lease is not None
    return lease


def only_item(units: UnitOfWorkFactory, subject_id: UUID) -> WorkItem:
    with units(read_only=True) as work:
        (item,) = work.leases.of_subject(subject_id)
        return item
