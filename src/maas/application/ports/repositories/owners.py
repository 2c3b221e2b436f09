"""Who owns things, as much of it as everybody may know."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The owner of a thing, as it is shown beside the thing."""

    id: UUID
    username: str
    organization: str | None = None


class Owners(ABC):
    """All owners."""

    @abstractmethod
    def of(self, user_ids: Collection[UUID]) -> Mapping[UUID, Owner]: ...
