"""What events have in common."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a thing of `owner_id`. Subclasses add fields of str, int, float, bool, UUID or datetime."""

    owner_id: UUID
