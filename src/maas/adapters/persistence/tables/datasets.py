"""The table of datasets."""

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text, UniqueConstraint, Uuid

from maas.adapters.persistence.tables import metadata
from maas.adapters.persistence.types import Json, UtcDateTime

datasets = Table(
    "datasets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("type", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("visibility", Text, nullable=False, index=True),
    Column("tags", Json, nullable=False),
    Column("status", Text, nullable=False),
    Column("files_key", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("file_size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("tokens_estimate", BigInteger, nullable=False),
    Column("columns", Json, nullable=False),
    Column("preview", Json, nullable=False),
    Column("statistics", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("owner_id", "name"),
)
