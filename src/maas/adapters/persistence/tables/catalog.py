"""Tables of models, their versions and likes."""

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Table, Text, UniqueConstraint, Uuid

from maas.adapters.persistence.tables import metadata
from maas.adapters.persistence.types import Json, UtcDateTime

models = Table(
    "models",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("type", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("visibility", Text, nullable=False, index=True),
    Column("license", Text),
    Column("tags", Json, nullable=False),
    Column("usage_examples", Json, nullable=False),
    Column("lineage", Json),
    Column("reserved_by", Uuid),
    Column("download_count", BigInteger, nullable=False),
    Column("like_count", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("owner_id", "name"),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("model_id", Uuid, ForeignKey("models.id"), nullable=False),
    Column("owner_id", Uuid, ForeignKey("users.id"), nullable=False, index=True),
    Column("version", Text, nullable=False),
    Column("description", Text),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("files_root", Text, nullable=False),
    Column("archive_name", Text),
    Column("file_size", BigInteger, nullable=False),
    Column("charged_bytes", BigInteger, nullable=False),
    Column("sha256", Text),
    Column("files", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("source", Json),
    Column("percentage", Float),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("model_id", "version"),
)

model_likes = Table(
    "model_likes",
    metadata,
    Column("model_id", Uuid, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("liked_at", UtcDateTime, nullable=False),
)
