"""Units of work over each kind of database, empty for every test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from maas.adapters.clock.memory import ManualClock
from maas.adapters.persistence.engine import open_engine
from maas.adapters.persistence.memory.unit_of_work import MemoryDatabase
from maas.adapters.persistence.tables.every import metadata
from maas.adapters.persistence.unit_of_work import SqlUnitsOfWork
from maas.application.ports.unit_of_work import UnitOfWorkFactory


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    engine = open_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_engine(postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_url)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def units(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> Iterator[UnitOfWorkFactory]:
    """Open units of work on an empty database; `clock` is theirs."""
    if request.param == "memory":
        yield MemoryDatabase(clock)
    elif request.param == "sqlite":
        path = tmp_path / "maas.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        engine = open_engine(f"sqlite:///{path}")
        yield SqlUnitsOfWork(engine, clock)
        engine.dispose()
    else:
        engine = request.getfixturevalue("postgres_engine")
        with engine.begin() as connection:
            names = ", ".join(table.name for table in metadata.sorted_tables)
            connection.execute(text(f"TRUNCATE {names} CASCADE"))
        yield SqlUnitsOfWork(engine, clock)
