"""What a training run tells while it works, and what is kept of it."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

LONGEST_LOG_MESSAGE = 2_000
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", storable_text(self.message, LONGEST_LOG_MESSAGE))


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that a run needs to go on after `step`; `files_key` is None once its files were cleared away."""

    job_id: UUID
    step: int
    size: int
    files_key: str | None
    created_at: datetime

    @property
    def is_kept(self) -> bool:
        return self.files_key is not None


def storable_text(text: str, longest: int) -> str:
    """Return `text` without characters that a database refuses, cut at `longest`."""
    return _UNSTORABLE.sub("\ufffd", text)[:longest]
