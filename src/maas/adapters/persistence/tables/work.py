"""Tables of events, of leased work and of topics that are listened to."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, Uuid

from maas.adapters.persistence.tables import metadata
from maas.adapters.persistence.types import Json, UtcDateTime

events = Table(
    "events",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner_id", Uuid, nullable=False, index=True),
    Column("payload", Json, nullable=False),
    Column("occurred_at", UtcDateTime, nullable=False, index=True),
)

work_items = Table(
    "work_items",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject_id", Uuid, nullable=False, index=True),
    Column("payload", Json, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("max_failures", Integer, nullable=False),
    Column("worker", Text),
    Column("due_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
)

Index("ix_work_items_status_due_at", work_items.c.status, work_items.c.due_at)

topics = Table(
    "topics",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("announced_at", UtcDateTime, nullable=False, index=True),
)
