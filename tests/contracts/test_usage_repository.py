"""What every repository of usage does."""

import threading
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.usage import UsageEntry, summed
from tests.builders import a_usage_entry

ALICE, BOB = UUID(int=1), UUID(int=2)
DEPLOYMENT, OTHER = UUID(int=10), UUID(int=11)
REPLICA, SECOND = UUID(int=20), UUID(int=21)
EVER = {"first": date(2000, 1, 1), "last": date(2100, 1, 1)}


def add(units: UnitOfWorkFactory, *entries: UsageEntry) -> None:
    with units() as work:
        work.usage.add(summed(entries))


def test_days_are_summed_by_person_and_utc_day(units: UnitOfWorkFactory) -> None:
    late = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    early = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
    add(units, a_usage_entry(user_id=ALICE, at=late, kind="call"), a_usage_entry(user_id=ALICE, at=late))
    add(units, a_usage_entry(user_id=ALICE, at=early, kind="call"), a_usage_entry(user_id=BOB, at=early, kind="call"))
    add(units, a_usage_entry(user_id=ALICE, at=late, kind="call"))

    with units(read_only=True) as work:
        first, second = work.usage.days_of(ALICE, **EVER)
        days = {day.day for day in work.usage.days_of(ALICE, first=date(2026, 3, 2), last=date(2026, 3, 2))}

    assert (first.day, first.calls, first.inference_calls) == (date(2026, 3, 1), 2, 1)
    assert (first.prompt_tokens, first.completion_tokens, first.total_tokens) == (10, 20, 30)
    assert (second.day, second.calls, second.total_tokens) == (date(2026, 3, 2), 1, 0)
    assert days == {date(2026, 3, 2)}


def test_a_deployment_is_the_sum_of_its_replicas(units: UnitOfWorkFactory) -> None:
    for replica_id in (REPLICA, SECOND, REPLICA):
        add(units, a_usage_entry(deployment_id=DEPLOYMENT, replica_id=replica_id, latency_seconds=0.5))
    add(units, a_usage_entry(deployment_id=DEPLOYMENT, replica_id=None, failed=True, completion_tokens=0))
    add(units, a_usage_entry(deployment_id=OTHER, replica_id=REPLICA))

    with units(read_only=True) as work:
        usage = work.usage.of_deployment(DEPLOYMENT)

    assert (usage.total.calls, usage.total.failed_calls) == (4, 1)
    assert (usage.total.prompt_tokens, usage.total.completion_tokens) == (40, 60)
    assert usage.total.busy_seconds == pytest.approx(1.5)
    assert {replica_id: part.calls for replica_id, part in usage.replicas.items()} == {REPLICA: 2, SECOND: 1}
    assert usage.total.latencies.quantile(0.5) == pytest.approx(0.5, rel=0.03)
    assert sum(usage.total.first_tokens.counts.values()) == 4


def test_a_deployment_that_answered_nothing_has_no_usage(units: UnitOfWorkFactory) -> None:
    with units(read_only=True) as work:
        usage = work.usage.of_deployment(DEPLOYMENT)

    assert (usage.total.calls, usage.total.latencies.quantile(0.5), usage.replicas) == (0, None, {})


def test_a_journal_moves_only_from_where_it_stands(units: UnitOfWorkFactory) -> None:
    with units() as work:
        moves = [
            work.usage.advance("a", position=0, to=10),
            work.usage.advance("a", position=0, to=10),
            work.usage.advance("a", position=10, to=30),
            work.usage.advance("a", position=10, to=40),
            work.usage.advance("b", position=0, to=5),
            work.usage.advance("c", position=7, to=8),
        ]

    with units(read_only=True) as work:
        assert moves == [True, False, True, False, True, False]
        assert [work.usage.position(name) for name in ("a", "b", "c")] == [30, 5, 0]


def test_a_journal_that_ended_is_known_for_some_time(units: UnitOfWorkFactory) -> None:
    ended_at = datetime(2026, 3, 1, tzinfo=UTC)
    with units() as work:
        for name in ("a", "b", "c"):
            work.usage.advance(name, position=0, to=10)
        work.usage.end("a", at=ended_at)
        work.usage.end("b", at=ended_at + timedelta(hours=1))
        work.usage.end("unknown", at=ended_at)

    with units() as work:
        moved = work.usage.advance("a", position=0, to=10)
        work.usage.forget_ended(before=ended_at + timedelta(minutes=1))
    with units(read_only=True) as work:
        assert not moved
        assert [work.usage.position(name) for name in ("a", "b", "c")] == [0, 10, 10]


def test_nothing_counts_of_what_is_rolled_back(units: UnitOfWorkFactory) -> None:
    def add_and_fail() -> None:
        with units() as work:
            work.usage.advance("a", position=0, to=10)
            work.usage.add(summed([a_usage_entry(user_id=ALICE)]))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        add_and_fail()

    with units(read_only=True) as work:
        assert work.usage.position("a") == 0
        assert list(work.usage.days_of(ALICE, **EVER)) == []


def test_those_who_add_at_once_lose_nothing(units: UnitOfWorkFactory) -> None:
    def work() -> None:
        for _ in range(10):
            add(units, a_usage_entry(user_id=ALICE, kind="call"), a_usage_entry(user_id=BOB, kind="call"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with units(read_only=True) as work_:
        assert [work_.usage.days_of(user_id, **EVER)[0].calls for user_id in (ALICE, BOB)] == [40, 40]
