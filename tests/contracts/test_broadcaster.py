"""What every broadcaster does."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from maas.adapters.broadcaster.memory import MemoryBroadcaster
from maas.adapters.broadcaster.sql import SqlBroadcaster
from maas.adapters.clock.memory import ManualClock
from maas.adapters.persistence.engine import open_engine
from maas.adapters.persistence.memory.unit_of_work import MemoryDatabase
from maas.adapters.persistence.tables.work import topics
from maas.adapters.persistence.unit_of_work import SqlUnitsOfWork
from maas.application.ports.broadcaster import Broadcaster
from maas.application.ports.unit_of_work import UnitOfWorkFactory

Parts = tuple[Broadcaster, UnitOfWorkFactory]


@pytest.fixture(params=["memory", "sqlite"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Parts]:
    if request.param == "memory":
        broadcaster, database = MemoryBroadcaster(), MemoryDatabase(ManualClock())
        database.hearers.append(broadcaster.announce)
        yield broadcaster, database
        return
    # Two engines, as in two processes: SQLite tells a connection of the commits of others alone.
    hearing, writing = (open_engine(f"sqlite:///{tmp_path / 'maas.db'}") for _ in range(2))
    topics.create(writing)
    yield SqlBroadcaster(hearing), SqlUnitsOfWork(writing, ManualClock())
    writing.dispose()


def announce(units: UnitOfWorkFactory, topic: str) -> None:
    with units() as work:
        work.announce(topic)


def test_hears_what_is_announced_after_it_began_to_listen(parts: Parts) -> None:
    broadcaster, units = parts
    with broadcaster.listen("job/1") as listener:
        announce(units, "job/1")

        assert listener.wait(5)


def test_hears_each_later_announcement_again(parts: Parts) -> None:
    broadcaster, units = parts
    with broadcaster.listen("job/1") as listener:
        for _ in range(3):
            announce(units, "job/1")

            assert listener.wait(5)


def test_hears_nothing_of_other_topics(parts: Parts) -> None:
    broadcaster, units = parts
    with broadcaster.listen("job/1") as listener, broadcaster.listen("job/2") as other:
        announce(units, "job/2")

        assert other.wait(5)
        assert not listener.wait(0.2)


def test_hears_nothing_of_what_was_rolled_back(parts: Parts) -> None:
    broadcaster, units = parts

    def announce_and_fail() -> None:
        with units() as work:
            work.announce("job/1")
            raise RuntimeError("on purpose")

    with broadcaster.listen("job/1") as listener:
        with pytest.raises(RuntimeError):
            announce_and_fail()

        assert not listener.wait(0.2)


def test_every_listener_of_a_topic_hears(parts: Parts) -> None:
    broadcaster, units = parts
    listeners = [broadcaster.listen("job/1") for _ in range(20)]

    announce(units, "job/1")

    assert all(listener.wait(5) for listener in listeners)
    for listener in listeners:
        listener.close()


def test_may_be_listened_to_again_after_all_have_left(parts: Parts) -> None:
    broadcaster, units = parts
    with broadcaster.listen("job/1") as first:
        assert not first.wait(0.12)
    announce(units, "job/1")

    with broadcaster.listen("job/1") as listener:
        assert not listener.wait(0.2), "what was announced before is no news"
        announce(units, "job/1")
        assert listener.wait(5)


def test_closing_twice_does_no_harm(parts: Parts) -> None:
    broadcaster, _ = parts
    listener = broadcaster.listen("job/1")

    listener.close()
    listener.close()


def test_misses_nothing_between_reading_and_waiting(parts: Parts) -> None:
    """One announces as fast as it can while another listens, reads and waits: the last state is always read."""
    broadcaster, units = parts
    written = 0
    done = threading.Event()

    def write() -> None:
        nonlocal written
        for _ in range(50):
            with units() as work:
                work.announce("counter")
                written += 1
        done.set()

    with broadcaster.listen("counter") as listener:
        writer = threading.Thread(target=write)
        writer.start()
        read = -1
        while read < 50:
            assert listener.wait(5), f"nothing heard after {read}"
            read = written
        writer.join()

    assert done.is_set()


def test_a_row_that_was_swept_and_begins_anew_is_heard(tmp_path: Path) -> None:
    clock = ManualClock()
    engine = open_engine(f"sqlite:///{tmp_path / 'maas.db'}")
    topics.create(engine)
    units = SqlUnitsOfWork(engine, clock)
    announce(units, "job/1")

    with SqlBroadcaster(engine).listen("job/1") as listener:
        with engine.begin() as connection:
            connection.execute(topics.delete())
            row = {"topic": "job/1", "version": 1, "announced_at": clock.now() + timedelta(seconds=1)}
            connection.execute(topics.insert().values(row))

        assert listener.wait(5)
