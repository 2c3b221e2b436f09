"""Owners in SQL."""

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import Connection, select

from maas.adapters.persistence.tables.identity import users
from maas.application.ports.repositories.owners import Owner, Owners


class SqlOwners(Owners):
    """Reads what may be known of accounts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, user_ids: Collection[UUID]) -> Mapping[UUID, Owner]:
        if not user_ids:
            return {}
        statement = select(users.c.id, users.c.username, users.c.organization).where(users.c.id.in_(set(user_ids)))
        rows = self._connection.execute(statement)
        return {row.id: Owner(id=row.id, username=row.username, organization=row.organization) for row in rows}
