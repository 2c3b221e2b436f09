"""The lines that a training child says, as reports."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from maas.application.ports.trainer import (
    CheckpointWritten,
    LineLogged,
    MetricsTold,
    Report,
    TrainingCancelled,
    TrainingFinished,
    TrainingProgressed,
    TrainingRefused,
    TrainingStarted,
)
from maas.domain.finetuning.training import LogLevel, ResultFormat

log = logging.getLogger(__name__)


def read_report(line: bytes) -> Report | None:
    """Return what a line says, None where it is for the operator alone; raise ValueError or KeyError for what is no report."""
    told = json.loads(line)
    kind = told.pop("type")
    if kind == "confinement":
        _tell_operator(told)
        return None
    return _READERS[kind](told)


def _tell_operator(confinement: Mapping[str, Any]) -> None:
    missing = sorted(wall for wall, stands in confinement.items() if not stands)
    if missing:
        log.warning("this system refuses walls around trainers: %s", ", ".join(missing))


def _progress(told: Mapping[str, Any]) -> TrainingProgressed:
    return TrainingProgressed(step=told["step"], eta_seconds=told["eta_seconds"])


def _log(told: Mapping[str, Any]) -> LineLogged:
    return LineLogged(level=LogLevel(told["level"]), message=told["message"])


def _checkpoint(told: Mapping[str, Any]) -> CheckpointWritten:
    return CheckpointWritten(step=told["step"], path=Path(told["path"]), size=told["size"])


def _finished(told: Mapping[str, Any]) -> TrainingFinished:
    return TrainingFinished(path=Path(told["path"]), format=ResultFormat(told["format"]))


_READERS: Mapping[str, Callable[[dict[str, Any]], Report]] = {
    "started": lambda told: TrainingStarted(**told),
    "progress": _progress,
    "metrics": lambda told: MetricsTold(**told),
    "log": _log,
    "checkpoint": _checkpoint,
    "finished": _finished,
    "cancelled": lambda told: TrainingCancelled(**told),
    "failed": lambda told: TrainingRefused(**told),
}
