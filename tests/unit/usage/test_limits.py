"""How much a person may do."""

import threading
from datetime import timedelta
from uuid import UUID

import pytest

from maas.adapters.clock.memory import ManualClock
from maas.adapters.persistence.memory.unit_of_work import MemoryDatabase
from maas.adapters.rate_limiter.memory import MemoryRateLimiter
from maas.application.actor import Actor
from maas.application.usage import LimitNumbers, Limits
from maas.application.usage.limits import network_of
from maas.domain.errors import Conflict, QuotaExceeded, RateLimited
from maas.domain.identity import Role
from tests.builders import a_dataset, a_model, a_user, a_version

NUMBERS = LimitNumbers(
    calls_per_hour=3,
    files_per_hour=2,
    deployments_per_hour=1,
    address_calls_per_hour=2,
    registrations_per_hour=1,
    storage_bytes=1000,
)
USER = a_user()
ALICE = Actor(user_id=USER.id)
BOB = Actor(user_id=UUID(int=2))
ADMIN = Actor(user_id=UUID(int=3), roles=frozenset({Role.USER, Role.ADMIN}))
ADDRESS = "192.0.2.1"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def database(clock: ManualClock) -> MemoryDatabase:
    database = MemoryDatabase(clock)
    with database() as work:
        work.users.add(USER)
    return database


@pytest.fixture
def limits(database: MemoryDatabase, clock: ManualClock) -> Limits:
    return Limits(unit_of_work=database, limiter=MemoryRateLimiter(clock), clock=clock, numbers=NUMBERS)


def store(database: MemoryDatabase, *sizes: int) -> None:
    """Keep a dataset of each size."""
    with database() as work:
        for size in sizes:
            work.datasets.add(a_dataset(ALICE.user_id, file_size=size))


def test_an_hour_has_as_many_calls_as_the_limit_says(limits: Limits, clock: ManualClock) -> None:
    left = [limits.count_call(ALICE) for _ in range(3)]
    clock.advance(timedelta(minutes=50))

    with pytest.raises(RateLimited) as refused:
        limits.count_call(ALICE)
    assert [allowance.remaining for allowance in left if allowance] == [2, 1, 0]
    assert (refused.value.retry_after_seconds, refused.value.limit) == (600, 3)
    limits.count_call(BOB)


def test_the_hour_begins_with_the_first_call(limits: Limits, clock: ManualClock) -> None:
    clock.advance(timedelta(minutes=59))
    for _ in range(3):
        limits.count_call(ALICE)
    clock.advance(timedelta(minutes=59))
    with pytest.raises(RateLimited):
        limits.count_call(ALICE)
    clock.advance(timedelta(minutes=1))

    assert limits.count_call(ALICE) is not None


def test_administrators_have_no_limits_but_are_counted(limits: Limits) -> None:
    assert [limits.count_call(ADMIN) for _ in range(10)] == [None] * 10
    for _ in range(10):
        with limits.upload_slot(ADMIN, 10**12) as slot, limits.deployment_slot(ADMIN):
            assert slot.left_bytes is None

    quota = limits.quota(ADMIN)
    assert (quota.api_calls_limit, quota.api_calls_used, quota.storage_limit) == (None, 10, None)


def test_administrators_may_have_numbers_of_their_own(database: MemoryDatabase, clock: ManualClock) -> None:
    limiter = MemoryRateLimiter(clock)
    own = LimitNumbers(calls_per_hour=1)
    limits = Limits(unit_of_work=database, limiter=limiter, clock=clock, numbers=NUMBERS, admin_numbers=own)
    limits.count_call(ADMIN)

    with pytest.raises(RateLimited):
        limits.count_call(ADMIN)


def test_an_address_has_its_own_count(limits: Limits) -> None:
    for _ in range(2):
        limits.count_address(ADDRESS)

    with pytest.raises(RateLimited):
        limits.count_address(ADDRESS)
    limits.count_address("192.0.2.2")


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_hosts_with_a_whole_network_are_counted_by_it(address: str, counted: str) -> None:
    assert network_of(address) == counted


def test_what_is_accepted_is_counted(limits: Limits) -> None:
    for _ in range(2):
        with limits.upload_slot(ALICE, 10):
            pass
    with limits.deployment_slot(ALICE), limits.registration_slot(ADDRESS):
        pass

    with pytest.raises(RateLimited), limits.upload_slot(ALICE, 10):
        raise AssertionError("refused before the block")
    with pytest.raises(RateLimited), limits.deployment_slot(ALICE):
        raise AssertionError("refused before the block")
    with pytest.raises(RateLimited), limits.registration_slot(ADDRESS):
        raise AssertionError("refused before the block")
    with pytest.raises(RateLimited):
        limits.check_registrations(ADDRESS)


def test_what_is_refused_is_given_back(limits: Limits) -> None:
    for _ in range(10):
        with pytest.raises(Conflict), limits.upload_slot(ALICE, 10), limits.deployment_slot(ALICE):
            raise Conflict("no")

    limits.check_registrations(ADDRESS)
    with limits.upload_slot(ALICE, 10), limits.deployment_slot(ALICE):
        pass


def test_uploads_at_once_never_pass_the_limit(limits: Limits) -> None:
    inside, leave, refused = threading.Semaphore(0), threading.Event(), []

    def upload() -> None:
        try:
            with limits.upload_slot(ALICE, 10):
                inside.release()
                leave.wait(10)
        except RateLimited as error:
            refused.append(error)

    threads = [threading.Thread(target=upload) for _ in range(5)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        assert inside.acquire(timeout=10)
    leave.set()
    for thread in threads:
        thread.join()

    assert len(refused) == 3


def test_a_declared_length_that_does_not_fit_is_refused_before_anything_is_read(limits: Limits, database: MemoryDatabase) -> None:
    store(database, 600)

    with pytest.raises(QuotaExceeded) as refused, limits.upload_slot(ALICE, 401):
        raise AssertionError("refused before the block")
    with limits.upload_slot(ALICE, 400) as slot:
        left = slot.left_bytes

    assert refused.value.problems[0].field == "storage"
    assert left == 400


def test_nothing_fits_once_the_storage_is_full(limits: Limits, database: MemoryDatabase) -> None:
    store(database, 1000)

    with pytest.raises(QuotaExceeded), limits.upload_slot(ALICE, None):
        raise AssertionError("refused before the block")


def test_what_is_stored_in_the_end_must_fit_as_well(limits: Limits, database: MemoryDatabase) -> None:
    with limits.upload_slot(ALICE, 10) as slot:
        store(database, 700)
        with database() as work:
            slot.check_fits(work, 300)
        with pytest.raises(QuotaExceeded), database() as work:
            slot.check_fits(work, 301)


def test_the_quota_tells_the_hour_and_the_storage(limits: Limits, database: MemoryDatabase) -> None:
    model = a_model(ALICE.user_id)
    store(database, 100)
    with database() as work:
        work.models.add(model)
        work.model_versions.add(a_version(model, file_size=50))
    limits.count_call(ALICE)
    limits.count_call(ALICE)

    quota = limits.quota(ALICE)

    assert (quota.api_calls_limit, quota.api_calls_used) == (3, 2)
    assert (quota.storage_limit, quota.storage_used) == (1000, 150)
