"""Owners in a dictionary."""

from collections.abc import Collection, Mapping
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryTable
from maas.application.ports.repositories.owners import Owner, Owners
from maas.domain.identity import User


class MemoryOwners(Owners):
    """Reads what may be known of accounts."""

    def __init__(self, table: MemoryTable[User]) -> None:
        self._table = table

    def of(self, user_ids: Collection[UUID]) -> Mapping[UUID, Owner]:
        found = (self._table.rows[user_id] for user_id in set(user_ids) if user_id in self._table.rows)
        return {user.id: Owner(id=user.id, username=user.username, organization=user.organization) for user in found}
