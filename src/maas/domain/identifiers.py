"""Identifiers: UUIDs that sort by the time of their making."""

import re
from uuid import UUID

from uuid_utils.compat import uuid7

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)


def new_id() -> UUID:
    """Return a new UUIDv7 (RFC 9562, 5.7)."""
    return uuid7()


def id_in(text: str) -> UUID | None:
    """Return the id that a text spells in the usual form of five groups, or None."""
    return UUID(text) if _UUID.fullmatch(text) else None
