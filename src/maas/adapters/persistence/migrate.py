"""Bringing a database to the schema of this release, and back."""

import logging
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from maas.adapters.persistence.tables.every import metadata

_LOCK = 7_024_611
# What alembic tells of its plug-ins and contexts is of no use to operators.
logging.getLogger("alembic").setLevel(logging.WARNING)


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade to `revision`. Several processes may call it at once: one migrates, the others wait."""
    with engine.begin() as connection:
        _lock(connection)
        command.upgrade(_config(connection), revision)


def roll_back(engine: Engine, revision: str = "-1") -> None:
    """Downgrade, by default one step."""
    with engine.begin() as connection:
        _lock(connection)
        command.downgrade(_config(connection), revision)


def current_revision(engine: Engine) -> str | None:
    """Return the revision that the database is at; None where it is empty."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str | None:
    """Return the revision of this release."""
    return ScriptDirectory.from_config(_config(None)).get_current_head()


def differences(engine: Engine) -> list[str]:
    """Return how the database's schema differs from the tables of this release."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [str(difference) for difference in compare_metadata(context, metadata)]


def write_revision(engine: Engine, message: str) -> None:
    """Write a new step from what the tables have and the database lacks; for developers."""
    with engine.begin() as connection:
        command.revision(_config(connection), message=message, autogenerate=True)


def _lock(connection: Connection) -> None:
    """Keep others out until the transaction ends; on SQLite its BEGIN IMMEDIATE does."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config
