"""What a training run tells while it works, and what is kept of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

LONGEST_LOG_MESSAGE = 2_000


class LogLevel(StrEnum):
    """How much a line of the log matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ResultFormat(StrEnum):
    """How a result's weights are kept: the adapter alone, or a whole model."""

    PEFT = "peft"
    TRANSFORMERS = "transformers"


@dataclass(frozen=True, kw_only=True)
class MetricsPoint:
    """What was seen after `step` steps: a training point has `loss`, an evaluation `eval_loss`, a step may have both.

    `epoch` counts passes over the data, `tokens` those learned from so far.
    """

    step: int
    epoch: float
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    tokens: int | None = None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line of a job's log."""

    level: LogLevel
    message: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that a run needs to go on after `step`; `files_key` is None once its files were cleared away."""

    job_id: UUID
    step: int
    size: int
    files_key: str | None
    created_at: datetime
