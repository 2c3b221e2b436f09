"""Tables of batches and of their results."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, Table, Text, Uuid

from maas.adapters.persistence.tables import metadata
from maas.adapters.persistence.types import Json, UtcDateTime

batches = Table(
    "batches",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid, ForeignKey("users.id"), nullable=False, index=True),
    # A deployment may go while the results of its batches stay.
    Column("deployment_id", Uuid, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, index=True),
    Column("reason", Text),
    Column("files_key", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("changes", Json, nullable=False),
)

batch_parts = Table(
    "batch_parts",
    metadata,
    Column("batch_id", Uuid, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("files_key", Text, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
)
