"""Tables of fine-tuning jobs and of what their runs told."""

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, Table, Text, Uuid

from maas.adapters.persistence.tables import metadata
from maas.adapters.persistence.types import Json, UtcDateTime

finetuning_jobs = Table(
    "finetuning_jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid, ForeignKey("users.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("base_model_id", Uuid, nullable=False, index=True),
    Column("base_version", Text, nullable=False),
    Column("adapter_base_id", Uuid, index=True),
    Column("adapter_base_version", Text),
    Column("dataset_id", Uuid, nullable=False, index=True),
    Column("eval_dataset_id", Uuid, index=True),
    Column("algorithm", Text, nullable=False),
    Column("hyperparameters", Json, nullable=False),
    Column("config", Json, nullable=False),
    Column("status", Text, nullable=False, index=True),
    Column("reason", Text),
    Column("run", Integer, nullable=False),
    Column("admitted", Boolean, nullable=False),
    Column("cancel_requested_at", UtcDateTime),
    Column("step", BigInteger, nullable=False),
    Column("total_steps", BigInteger),
    Column("percentage", Double, nullable=False),
    Column("eta_seconds", Double),
    Column("device", Text),
    Column("precision", Text),
    Column("trainable_parameters", BigInteger),
    Column("result_model_id", Uuid, nullable=False),
    Column("result_name", Text, nullable=False),
    Column("result_version", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
)


def _job_id() -> Column[object]:
    return Column("job_id", Uuid, ForeignKey("finetuning_jobs.id", ondelete="CASCADE"), nullable=False, primary_key=True)


finetuning_status_changes = Table(
    "finetuning_status_changes",
    metadata,
    _job_id(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("before", Text),
    Column("after", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("reason", Text),
    Column("at", UtcDateTime, nullable=False),
)

finetuning_points = Table(
    "finetuning_points",
    metadata,
    _job_id(),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", Double, nullable=False),
    Column("loss", Double),
    Column("eval_loss", Double),
    Column("learning_rate", Double),
    Column("grad_norm", Double),
    Column("tokens_per_second", Double),
    Column("tokens", BigInteger),
    Column("at", UtcDateTime, nullable=False),
)

finetuning_log_lines = Table(
    "finetuning_log_lines",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", Uuid, ForeignKey("finetuning_jobs.id", ondelete="CASCADE"), nullable=False),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

Index("ix_finetuning_log_lines_job_id_id", finetuning_log_lines.c.job_id, finetuning_log_lines.c.id)

finetuning_checkpoints = Table(
    "finetuning_checkpoints",
    metadata,
    _job_id(),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("files_key", Text),
    Column("created_at", UtcDateTime, nullable=False),
)
