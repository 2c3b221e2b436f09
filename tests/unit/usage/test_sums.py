"""Summing up usage."""

import random
from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import pytest

from maas.adapters.clock.memory import ManualClock
from maas.adapters.persistence.memory.unit_of_work import MemoryDatabase
from maas.adapters.usage_journal.memory import MemoryUsageJournal
from maas.application.usage import UsageFlush
from maas.domain.usage import Durations, Served, UsageEntry, deployment_usage, summed
from tests.builders import a_usage_entry


@pytest.mark.parametrize("spread", [0.01, 1.0, 2.0])
@pytest.mark.parametrize("part", [0.5, 0.95, 0.99])
def test_a_quantile_is_right_within_two_per_cent(spread: float, part: float) -> None:
    randomness = random.Random(7)
    seconds = [randomness.lognormvariate(-1, spread) for _ in range(2000)]
    durations = Durations()
    for duration in seconds:
        durations.count(duration)

    exact = sorted(seconds)[int(part * len(seconds)) - 1]
    assert durations.quantile(part) == pytest.approx(exact, rel=0.021)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9, 1e9, float("nan"), float("inf")])
def test_durations_beyond_the_buckets_count_in_the_outermost(seconds: float) -> None:
    durations = Durations()
    durations.count(seconds)

    found = durations.quantile(0.99)
    assert found is not None
    assert 1e-4 <= found < 10_000


def test_nothing_has_no_quantile() -> None:
    assert Durations().quantile(0.5) is None
    assert Served().tokens_per_second is None


def test_a_day_is_one_of_utc() -> None:
    shanghai = timezone(timedelta(hours=8))
    entry = a_usage_entry(at=datetime(2026, 3, 2, 7, 59, tzinfo=shanghai))

    assert entry.day == date(2026, 3, 1)


def test_failed_answers_have_no_latency_but_their_tokens_count() -> None:
    good = a_usage_entry(latency_seconds=1.0, completion_tokens=30)
    broken = a_usage_entry(latency_seconds=2.0, completion_tokens=60, failed=True)
    refused = a_usage_entry(latency_seconds=9.0, completion_tokens=0, prompt_tokens=0, failed=True, replica_id=None)

    usage = deployment_usage({key[1]: part for key, part in summed([good, broken, refused]).served.items()})

    assert (usage.total.calls, usage.total.failed_calls) == (3, 2)
    assert usage.total.tokens_per_second == pytest.approx(30)
    assert usage.total.latencies.quantile(0.99) == pytest.approx(1.0, rel=0.02)
    assert [part.calls for part in usage.replicas.values()] == [2]


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase(ManualClock())


def calls_of(database: MemoryDatabase, user_id: UUID) -> int:
    with database(read_only=True) as work:
        return sum(day.calls for day in work.usage.days_of(user_id, first=date(2000, 1, 1), last=date(2100, 1, 1)))


def a_call(user_id: UUID) -> UsageEntry:
    return UsageEntry(user_id=user_id, at=datetime(2026, 1, 1, tzinfo=UTC), kind="call")


def test_each_entry_is_summed_up_once(database: MemoryDatabase) -> None:
    journal, alice = MemoryUsageJournal(), UUID(int=1)
    flush = UsageFlush(unit_of_work=database, journal=journal, clock=ManualClock())
    journal.record(a_call(alice))
    journal.record(a_call(alice))

    counted = [flush.flush(), flush.flush()]
    journal.record(a_call(alice))
    counted.append(flush.flush())

    assert counted == [2, 0, 1]
    assert calls_of(database, alice) == 3


def test_two_who_sum_up_the_same_journal_count_it_once(database: MemoryDatabase) -> None:
    journal, alice = MemoryUsageJournal(), UUID(int=1)
    first, second = (UsageFlush(unit_of_work=database, journal=journal, clock=ManualClock()) for _ in range(2))
    for flush in (first, second, second, first, first, second):
        journal.record(a_call(alice))
        flush.flush()
    first.flush()
    second.flush()

    assert calls_of(database, alice) == 6


def test_what_could_not_be_summed_up_is_not_lost(database: MemoryDatabase) -> None:
    journal, alice = MemoryUsageJournal(), UUID(int=1)
    journal.record(a_call(alice))

    def broken(*, read_only: bool = False) -> None:
        raise ConnectionError("the database is away")

    flush = UsageFlush(unit_of_work=broken, journal=journal, clock=ManualClock())  # type: ignore[arg-type]
    with pytest.raises(ConnectionError):
        flush.flush()
    flush.unit_of_work = database
    flush.flush()

    assert calls_of(database, alice) == 1
