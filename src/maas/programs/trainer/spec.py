"""What the parent asks of a training run."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from maas.domain.finetuning.parameters import Algorithm, EvaluationStrategy, Hyperparameters, TrainingConfig


class Mode(StrEnum):
    """Whether a model is changed or made."""

    FINETUNE = "finetune"
    PRETRAIN = "pretrain"


class RowType(StrEnum):
    """What a canonical row holds."""

    CONVERSATION = "conversation"
    INSTRUCTION = "instruction"
    TEXT = "text"
    PREFERENCE = "preference"


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a model to be made from nothing. `vocabulary` counts tokens, `context` the positions."""

    shape: str = "qwen2"
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 3
    intermediate: int = 512
    vocabulary: int = 2000
    context: int = 1024
    tied: bool = True


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """A whole run: what to load, what to learn from, how, and where to write."""

    mode: Mode
    model_dir: Path | None
    adapter_dir: Path | None
    train_path: Path
    eval_path: Path | None
    row_type: RowType
    output_dir: Path
    checkpoint_dir: Path
    resume_from: Path | None
    algorithm: Algorithm
    hyperparameters: Hyperparameters
    config: TrainingConfig
    architecture: Architecture
    device: str
    precision: str
    threads: int | None

    @property
    def seed(self) -> int:
        return self.hyperparameters.seed


def read_spec(raw: Mapping[str, Any]) -> TrainingSpec:
    """Read the parent's specification; `seed` beside the hyperparameters wins over theirs."""
    hyperparameters = {**raw.get("hyperparameters", {})}
    if raw.get("seed") is not None:
        hyperparameters["seed"] = raw["seed"]
    if hyperparameters.get("target_modules") is not None:
        hyperparameters["target_modules"] = tuple(hyperparameters["target_modules"])
    return TrainingSpec(
        mode=Mode(raw["mode"]),
        model_dir=_path(raw.get("model_dir")),
        adapter_dir=_path(raw.get("adapter_dir")),
        train_path=Path(raw["train_path"]),
        eval_path=_path(raw.get("eval_path")),
        row_type=RowType(raw["dataset_type"]),
        output_dir=Path(raw["output_dir"]),
        checkpoint_dir=Path(raw["checkpoint_dir"]),
        resume_from=_path(raw.get("resume_from")),
        algorithm=Algorithm(raw.get("algorithm", "full")),
        hyperparameters=Hyperparameters(**hyperparameters),
        config=_config(raw.get("config", {})),
        architecture=Architecture(**_known(raw.get("architecture", {}))),
        device=raw.get("device", "auto"),
        precision=raw.get("precision", "auto"),
        threads=raw.get("threads"),
    )


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)


def _config(raw: Mapping[str, Any]) -> TrainingConfig:
    values = dict(raw)
    if "evaluation_strategy" in values:
        values["evaluation_strategy"] = EvaluationStrategy(values["evaluation_strategy"])
    if values.get("eval_dataset_id") is not None:
        values["eval_dataset_id"] = UUID(values["eval_dataset_id"])
    return TrainingConfig(**values)


def _known(raw: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(Architecture)}
    return {name: value for name, value in raw.items() if name in names}
