"""Tables of deployments, their replicas, and what happened to both."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, Uuid

from maas.adapters.persistence.tables import metadata
from maas.adapters.persistence.types import Json, UtcDateTime

deployments = Table(
    "deployments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text),
    Column("description", Text),
    # No foreign key: a stopped deployment does not keep its model from being deleted.
    Column("model_id", Uuid, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("can_chat", Boolean, nullable=False),
    Column("context_length", BigInteger),
    Column("adapter", Text),
    Column("replicas", Integer, nullable=False),
    Column("desired_replicas", Integer, nullable=False),
    Column("hardware_spec", Json, nullable=False),
    Column("auto_scaling", Json, nullable=False),
    Column("inference_config", Json, nullable=False),
    Column("status", Text, nullable=False, index=True),
    Column("reason", Text),
    Column("intent", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("current", Json, nullable=False),
    Column("settled", Json),
    Column("is_given_up", Boolean, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("failed_at", UtcDateTime),
    Column("retry_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("owner_id", "name_key"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("deployment_id", Uuid, ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("run", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("address", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ready_at", UtcDateTime),
    Column("stopping_at", UtcDateTime),
)

deployment_changes = Table(
    "deployment_changes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("deployment_id", Uuid, ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False),
    # Empty where the deployment itself has moved. Replicas are removed, their changes stay.
    Column("replica_id", Uuid),
    Column("before", Text),
    Column("after", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("reason", Text),
    Column("at", UtcDateTime, nullable=False),
)

deployment_log = Table(
    "deployment_log",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("deployment_id", Uuid, ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False),
    Column("replica_id", Uuid),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

leaderships = Table(
    "leaderships",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", UtcDateTime, nullable=False),
)

Index("ix_deployment_changes_deployment_id_id", deployment_changes.c.deployment_id, deployment_changes.c.id)
Index("ix_deployment_log_deployment_id_id", deployment_log.c.deployment_id, deployment_log.c.id)
