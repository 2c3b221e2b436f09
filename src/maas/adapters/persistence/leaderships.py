"""Roles that one process holds at a time, in SQL."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from maas.adapters.persistence.tables.serving import leaderships
from maas.application.ports.repositories.serving import Leaderships

_ROLE = leaderships.c


class SqlLeaderships(Leaderships):
    """Roles and their holders in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def holder(self, name: str, *, at: datetime) -> tuple[str, datetime] | None:
        row = self._connection.execute(select(leaderships).where(_ROLE.name == name, _ROLE.until > at)).first()
        return None if row is None else (row.holder, row.until)

    def take(self, name: str, *, holder: str, at: datetime, duration: timedelta) -> bool:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        row = dialect.insert(leaderships).values(name=name, holder=holder, until=at + duration)
        result = self._connection.execute(
            row.on_conflict_do_update(
                index_elements=[_ROLE.name],
                set_={"holder": holder, "until": at + duration},
                where=or_(_ROLE.holder == holder, _ROLE.until <= at),
            ).returning(_ROLE.name)
        )
        return result.first() is not None

    def give_back(self, name: str, *, holder: str) -> None:
        self._connection.execute(leaderships.delete().where(_ROLE.name == name, _ROLE.holder == holder))
