"""What a worker does with its handlers."""

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from maas.adapters.broadcaster.memory import MemoryBroadcaster
from maas.adapters.clock.memory import ManualClock
from maas.adapters.persistence.memory.unit_of_work import MemoryDatabase
from maas.application.work import Holding, WorkHandler, WorkInterrupted
from maas.domain.errors import Conflict
from maas.domain.leases import Lease, WorkItem, WorkStatus, backoff
from maas.entrypoints.worker.loop import Worker, WorkerOptions

SUBJECT = uuid4()
LEASE = timedelta(seconds=30)


class Recording(WorkHandler):
    """Does what the test says, and remembers what it was asked."""

    kinds = ("bake",)

    def __init__(self, do: Callable[[Holding], None] = lambda holding: None) -> None:
        self.do = do
        self.given_up: list[tuple[UUID, str]] = []

    def run(self, holding: Holding) -> None:
        self.do(holding)

    def give_up(self, lease: Lease, reason: str) -> None:
        self.given_up.append((lease.subject_id, reason))


class Bakery:
    def __init__(self, handler: WorkHandler, **reactions: Callable[..., None]) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock)
        self.worker = Worker(
            handlers=[handler],
            reactions=reactions,
            unit_of_work=self.database,
            broadcaster=MemoryBroadcaster(),
            clock=self.clock,
            options=WorkerOptions(lease=LEASE),
            ending=threading.Event(),
        )

    def offer(self, kind: str = "bake", **options: int) -> None:
        with self.database() as work:
            work.leases.offer(kind, SUBJECT, at=self.clock.now(), payload={"flour": 1}, **options)

    def items(self) -> list[WorkItem]:
        with self.database(read_only=True) as work:
            return list(work.leases.of_subject(SUBJECT))


def test_work_that_is_done_is_gone() -> None:
    seen: list[dict[str, object]] = []
    bakery = Bakery(Recording(lambda holding: seen.append(holding.lease.payload)))
    bakery.offer()

    assert bakery.worker.take_one()

    assert seen == [{"flour": 1}]
    assert bakery.items() == []
    assert not bakery.worker.take_one()


def test_an_error_counts_as_a_failure_and_the_work_comes_again() -> None:
    def burn(_: Holding) -> None:
        raise Conflict("the oven is cold")

    bakery = Bakery(Recording(burn))
    bakery.offer(max_failures=3)

    bakery.worker.take_one()

    (item,) = bakery.items()
    assert (item.status, item.failures, item.reason) == (WorkStatus.WAITING, 1, "the oven is cold")


def test_the_subject_is_given_up_once_the_failures_are_used_up() -> None:
    def burn(_: Holding) -> None:
        raise RuntimeError("a secret of the inside")

    handler = Recording(burn)
    bakery = Bakery(handler)
    bakery.offer(max_failures=2)
    bakery.worker.take_one()
    bakery.clock.advance(backoff(1))

    bakery.worker.take_one()

    assert [subject for subject, _ in handler.given_up] == [SUBJECT]
    assert "secret" not in handler.given_up[0][1]


def test_interrupted_work_goes_back_without_a_failure() -> None:
    def stop(_: Holding) -> None:
        raise WorkInterrupted

    bakery = Bakery(Recording(stop))
    bakery.offer()

    bakery.worker.take_one()

    (item,) = bakery.items()
    assert (item.status, item.failures) == (WorkStatus.WAITING, 0)


def test_work_whose_holders_died_too_often_is_given_up() -> None:
    handler = Recording()
    bakery = Bakery(handler)
    bakery.offer(max_failures=1)
    with bakery.database() as work:
        work.leases.claim(["bake"], worker="dead", at=bakery.clock.now(), duration=LEASE)
    bakery.clock.advance(LEASE + timedelta(seconds=1))

    bakery.worker.close_exhausted()

    assert [subject for subject, _ in handler.given_up] == [SUBJECT]
    assert bakery.items()[0].status is WorkStatus.FAILED


def test_a_reaction_gets_the_fields_of_its_event() -> None:
    heard: list[object] = []
    bakery = Bakery(Recording(), ring=lambda payload: heard.append(payload["flour"]))
    bakery.offer("reaction:ring")

    bakery.worker.take_one()

    assert heard == [1]


@pytest.mark.parametrize("long", [True, False])
def test_threads_take_what_is_offered_while_they_wait(long: bool) -> None:
    done = threading.Event()
    handler = Recording(lambda _: done.set())
    handler.is_long = long
    bakery = Bakery(handler)
    ending = bakery.worker._ending
    thread = threading.Thread(target=bakery.worker.run, args=(5.0,))
    thread.start()

    bakery.offer()

    assert done.wait(10)
    ending.set()
    thread.join(10)
    assert not thread.is_alive()
