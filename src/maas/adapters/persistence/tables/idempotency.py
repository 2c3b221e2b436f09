"""The table of calls that may be repeated."""

from sqlalchemy import Boolean, Column, LargeBinary, Table, Text, Uuid

from maas.adapters.persistence.tables import metadata
from maas.adapters.persistence.types import UtcDateTime

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("holder", Uuid, nullable=False),
    Column("held_until", UtcDateTime, nullable=False),
    Column("fingerprint", Text),
    Column("answer", LargeBinary),
    Column("had_effect", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)
