"""The schema's history leads to the tables of this release, on both databases, and back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from maas.adapters.persistence.engine import open_engine
from maas.adapters.persistence.migrate import current_revision, differences, migrate, newest_revision, roll_back
from maas.adapters.persistence.tables.every import metadata

pytestmark = pytest.mark.integration


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'maas.db'}")
    else:
        engine = open_engine(request.getfixturevalue("postgres_url"))
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    yield engine
    if request.param == "postgres":
        # The contract suite of this process finds its tables again.
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        metadata.create_all(engine)
    engine.dispose()


def test_an_empty_database_is_brought_to_this_release(engine: Engine) -> None:
    migrate(engine)

    assert current_revision(engine) == newest_revision()
    assert differences(engine) == []


def test_a_database_that_is_there_already_is_left_as_it_is(engine: Engine) -> None:
    migrate(engine)
    migrate(engine)

    assert current_revision(engine) == newest_revision()


def test_the_newest_step_can_be_taken_back_and_made_again(engine: Engine) -> None:
    migrate(engine)
    roll_back(engine)
    before = current_revision(engine)

    migrate(engine)

    assert before != newest_revision()
    assert current_revision(engine) == newest_revision()
    assert set(inspect(engine).get_table_names()) >= {table.name for table in metadata.sorted_tables}
