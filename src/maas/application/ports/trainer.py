"""The port for training a model: start it, hear from it, stop it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from maas.domain.datasets.rows import DatasetType
from maas.domain.finetuning.parameters import Algorithm, Hyperparameters, TrainingConfig
from maas.domain.finetuning.training import LogLevel, ResultFormat


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What to train: folders with files in Hugging Face layout, rows as canonical JSONL, and where to write.

    `adapter` is given where the base is a fine-tune itself; `resume_from` names the folder of a checkpoint.
    """

    model: Path
    adapter: Path | None
    train_rows: Path
    eval_rows: Path | None
    dataset_type: DatasetType
    output: Path
    checkpoints: Path
    resume_from: Path | None
    algorithm: Algorithm
    hyperparameters: Hyperparameters
    config: TrainingConfig


@dataclass(frozen=True, kw_only=True)
class TrainingStarted:
    """The model is loaded and learning begins after `step`."""

    total_steps: int
    step: int
    trainable_parameters: int
    device: str
    precision: str
    train_rows: int
    eval_rows: int


@dataclass(frozen=True, kw_only=True)
class TrainingProgressed:
    """`step` steps are done."""

    step: int
    eta_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class MetricsTold:
    """A point of the curve, as MetricsPoint has it but for its time."""

    step: int
    epoch: float
    loss: float | None
    eval_loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    tokens_per_second: float | None
    tokens: int | None


@dataclass(frozen=True, kw_only=True)
class LineLogged:
    """A line for the job's log."""

    level: LogLevel
    message: str


@dataclass(frozen=True, kw_only=True)
class CheckpointWritten:
    """The folder `path` holds all that is needed to go on after `step`."""

    step: int
    path: Path
    size: int


@dataclass(frozen=True, kw_only=True)
class TrainingFinished:
    """The folder `path` holds the result. The last report."""

    path: Path
    format: ResultFormat


@dataclass(frozen=True, kw_only=True)
class TrainingCancelled:
    """The run has saved a checkpoint of `step` and stopped. The last report."""

    step: int


@dataclass(frozen=True, kw_only=True)
class TrainingRefused:
    """The run cannot succeed however often it is tried; `field` names the part of the request at fault. The last report."""

    code: str
    field: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class TrainingCrashed:
    """The run ended without a word, and may be tried again. The last report."""

    reason: str


LastReport = TrainingFinished | TrainingCancelled | TrainingRefused | TrainingCrashed
Report = TrainingStarted | TrainingProgressed | MetricsTold | LineLogged | CheckpointWritten | LastReport


class Training(ABC):
    """A run under way. Leaving its `with` block ends it, whatever it was doing."""

    @abstractmethod
    def reports(self, timeout_seconds: float) -> Sequence[Report]:
        """Return what was told since the last call, waiting up to the timeout for the first; the last report comes once."""

    @abstractmethod
    def cancel(self) -> None:
        """Ask the run to save where it stands and to stop; may be called again."""

    @abstractmethod
    def close(self) -> None:
        """End the run at once, without saving; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Trainer(ABC):
    """Trains models."""

    @abstractmethod
    def start(self, request: TrainingRequest) -> Training:
        """Start a run."""

    @abstractmethod
    def obstacle(self, algorithm: Algorithm) -> str | None:
        """Return an English sentence that says why `algorithm` cannot be had here, or None."""
