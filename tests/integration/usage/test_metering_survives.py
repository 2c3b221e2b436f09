"""Metering survives kill -9: of those who write entries down, and of those who sum them up."""

import multiprocessing
import os
import random
import signal
import time
from datetime import UTC, date, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from maas.adapters.clock.system import SystemClock
from maas.adapters.persistence.engine import open_engine
from maas.adapters.persistence.tables.every import metadata
from maas.adapters.persistence.unit_of_work import SqlUnitsOfWork
from maas.adapters.usage_journal.file import FileUsageJournal
from maas.application.usage import UsageFlush
from maas.domain.usage import UsageEntry

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EVER = {"first": date(2000, 1, 1), "last": date(2100, 1, 1)}
WRITERS, KILLS = 6, 12
_FORK = multiprocessing.get_context("fork")


def write_entries(folder: Path, user_id: UUID, acknowledged: int) -> None:
    """Record calls for ever; each that is safe is acknowledged by a byte."""
    journal = FileUsageJournal(folder, rotated_at_bytes=20_000)
    while True:
        journal.record(UsageEntry(user_id=user_id, at=datetime.now(UTC), kind="call"))
        os.write(acknowledged, b".")
        time.sleep(0.0005)


def sum_up(url: str, folder: Path) -> None:
    flush = flush_of(open_engine(url), folder)
    while True:
        flush.flush()


def flush_of(engine: Engine, folder: Path) -> UsageFlush:
    clock = SystemClock()
    return UsageFlush(unit_of_work=SqlUnitsOfWork(engine, clock), journal=FileUsageJournal(folder), clock=clock)


def start(target: Any, *arguments: object) -> BaseProcess:
    process = _FORK.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'maas.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = open_engine(url)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    engine.dispose()
    return url


def test_each_acknowledged_entry_counts_exactly_once_whoever_is_killed(url: str, tmp_path: Path) -> None:
    folder, chance = tmp_path / "usage", random.Random(11)
    pipes = {UUID(int=number + 1): os.pipe() for number in range(WRITERS)}
    writers = [start(write_entries, folder, user_id, pipe[1]) for user_id, pipe in pipes.items()]
    flushers = [start(sum_up, url, folder) for _ in range(2)]

    for turn in range(KILLS):
        time.sleep(chance.uniform(0.05, 0.3))
        kill(flushers[turn % 2])
        flushers[turn % 2] = start(sum_up, url, folder)
        if turn % 2:
            kill(writers[turn // 2])
    for process in flushers:
        kill(process)
    engine = open_engine(url)
    flush = flush_of(engine, folder)
    while flush.flush():
        pass

    with flush.unit_of_work(read_only=True) as work:
        counted = {user_id: sum(day.calls for day in work.usage.days_of(user_id, **EVER)) for user_id in pipes}
    engine.dispose()
    for user_id, (reading, writing) in pipes.items():
        os.close(writing)
        acknowledged = len(os.read(reading, 1_000_000))
        assert acknowledged > 10
        # The last one may have been safe, and its writer killed before it could say so.
        assert acknowledged <= counted[user_id] <= acknowledged + 1
    assert list(folder.iterdir()) == []
