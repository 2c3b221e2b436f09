"""Tables of streams that can be taken up again."""

from sqlalchemy import Column, ForeignKey, Integer, Table, Text, Uuid

from maas.adapters.persistence.tables import metadata
from maas.adapters.persistence.types import UtcDateTime

kept_streams = Table(
    "kept_streams",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("deployment_id", Uuid, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("heard_at", UtcDateTime, nullable=False, index=True),
    Column("ended_at", UtcDateTime),
)

kept_stream_chunks = Table(
    "kept_stream_chunks",
    metadata,
    Column("stream_id", Uuid, ForeignKey("kept_streams.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),
)
