"""Tables of the sums of usage, and of how far journals are in them.

People, deployments and replicas are named, not referred to: their usage outlives them.
"""

from sqlalchemy import BigInteger, Column, Date, Float, Integer, Table, Text, Uuid

from maas.adapters.persistence.tables import metadata
from maas.adapters.persistence.types import UtcDateTime

usage_days = Table(
    "usage_days",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("inference_calls", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
)

usage_served = Table(
    "usage_served",
    metadata,
    Column("deployment_id", Uuid, primary_key=True),
    Column("replica_id", Uuid, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("failed_calls", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("busy_seconds", Float, nullable=False),
)

usage_durations = Table(
    "usage_durations",
    metadata,
    Column("deployment_id", Uuid, primary_key=True),
    Column("replica_id", Uuid, primary_key=True),
    Column("measure", Text, primary_key=True),
    Column("bucket", Integer, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

usage_journals = Table(
    "usage_journals",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("ended_at", UtcDateTime, index=True),
)
