"""What a person may set about a training run, each value with its default, its range and its effect."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from maas.domain.errors import Invalid, Problem

MOST_TARGET_MODULES = 64


class Algorithm(StrEnum):
    """How the model is changed: by low-rank adapters of some kind, or in all its weights."""

    LORA = "lora"
    DORA = "dora"
    RSLORA = "rslora"
    QLORA = "qlora"
    FULL = "full"

    @property
    def default_learning_rate(self) -> float:
        return 2e-5 if self is Algorithm.FULL else 2e-4


class EvaluationStrategy(StrEnum):
    """When the held-out rows are looked at."""

    NO = "no"
    STEPS = "steps"
    EPOCH = "epoch"


@dataclass(frozen=True)
class Range:
    """The values that a number may take, ends included unless `above` says that the lower end is not."""

    least: float
    most: float
    above: bool = False

    def holds(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        return (self.least < value if self.above else self.least <= value) and value <= self.most


HYPERPARAMETER_RANGES = {
    "learning_rate": Range(0.0, 1.0, above=True),
    "batch_size": Range(1, 1024),
    "num_epochs": Range(1, 1000),
    "warmup_steps": Range(0, 1_000_000),
    "lora_r": Range(1, 1024),
    "lora_alpha": Range(0.0, 8192.0, above=True),
    "lora_dropout": Range(0.0, 0.9),
    "weight_decay": Range(0.0, 1.0),
    "max_grad_norm": Range(0.0, 1000.0, above=True),
    "max_sequence_length": Range(8, 131_072),
    "seed": Range(0, 2**31 - 1),
    "dpo_beta": Range(0.0, 100.0, above=True),
}
CONFIG_RANGES = {
    "eval_steps": Range(1, 1_000_000),
    "save_steps": Range(1, 1_000_000),
    "logging_steps": Range(1, 1_000_000),
}


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """The numbers that shape learning.

    A step is one optimiser step over `batch_size` rows. The learning rate rises linearly over `warmup_steps` and falls linearly
    to zero. `lora_…` and `target_modules` (None: all linear layers) shape the adapter, `dpo_beta` the preference loss.
    """

    learning_rate: float = 2e-4
    batch_size: int = 4
    num_epochs: int = 3
    warmup_steps: int = 0
    lora_r: int = 8
    lora_alpha: float = 16.0
    lora_dropout: float = 0.05
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_sequence_length: int = 1024
    seed: int = 42
    dpo_beta: float = 0.1
    target_modules: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        problems = list(_range_problems(self, "hyperparameters", HYPERPARAMETER_RANGES))
        if self.target_modules is not None and not 1 <= len(self.target_modules) <= MOST_TARGET_MODULES:
            problems.append(_outside("hyperparameters", "target_modules", Range(1, MOST_TARGET_MODULES)))
        _raise_all(problems)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What happens beside learning: evaluation, checkpoints and points, each counted in steps."""

    evaluation_strategy: EvaluationStrategy = EvaluationStrategy.NO
    eval_steps: int = 100
    save_steps: int = 500
    logging_steps: int = 10
    eval_dataset_id: UUID | None = None

    def __post_init__(self) -> None:
        _raise_all(list(_range_problems(self, "config", CONFIG_RANGES)))


def held_out_rows(rows: int) -> int:
    """Return how many of `rows` are held out for evaluation: a tenth, 1 to 500."""
    return min(500, max(1, rows // 10))


def _range_problems(values: object, prefix: str, ranges: dict[str, Range]) -> Iterator[Problem]:
    for name, allowed in ranges.items():
        if not allowed.holds(getattr(values, name)):
            yield _outside(prefix, name, allowed)


def _outside(prefix: str, name: str, allowed: Range) -> Problem:
    template = (
        "{name} must be a number above {least} and at most {most}"
        if allowed.above
        else "{name} must be a number from {least} to {most}"
    )
    values: dict[str, object] = {"name": name, "least": f"{allowed.least:g}", "most": f"{allowed.most:,.12g}".replace(",", "")}
    return Problem(field=f"{prefix}.{name}", template=template, code="VALIDATION_003", values=values)


def _raise_all(problems: list[Problem]) -> None:
    if problems:
        raise Invalid("some training parameters are out of range", problems=problems)
