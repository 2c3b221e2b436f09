"""The plan of a run: which rows at which step, at which learning rate, and what happens after it."""

from dataclasses import dataclass

import torch

from maas.domain.finetuning.parameters import EvaluationStrategy, Hyperparameters, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Steps count from 1 over the whole run; an epoch's last step may have fewer rows."""

    rows: int
    hyperparameters: Hyperparameters
    config: TrainingConfig

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.rows // self.hyperparameters.batch_size)

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.hyperparameters.num_epochs

    def epoch(self, step: int) -> float:
        """Return how many times the data was gone through when `step` is done."""
        return round(step / self.steps_per_epoch, 6)

    def learning_rate(self, step: int) -> float:
        """Rise linearly to the peak at step `warmup_steps`, then fall linearly towards zero, reached one step after the last."""
        peak, warmup = self.hyperparameters.learning_rate, self.hyperparameters.warmup_steps
        if step <= warmup:
            return peak * step / warmup
        return peak * (self.total_steps - step + 1) / (self.total_steps - max(warmup, 1) + 1)

    def rows_of(self, step: int) -> list[int]:
        """Return the rows that step learns from: each epoch goes through all rows in an order of its own."""
        epoch, within = divmod(step - 1, self.steps_per_epoch)
        order = shuffled(self.rows, self.hyperparameters.seed + 1 + epoch)
        start = within * self.hyperparameters.batch_size
        return order[start : start + self.hyperparameters.batch_size]

    def is_point(self, step: int) -> bool:
        return step % self.config.logging_steps == 0 or step == self.total_steps

    def is_checkpoint(self, step: int) -> bool:
        return step % self.config.save_steps == 0 or step == self.total_steps

    def is_evaluation(self, step: int) -> bool:
        if self.config.evaluation_strategy is EvaluationStrategy.NO:
            return False
        if self.config.evaluation_strategy is EvaluationStrategy.EPOCH:
            return step % self.steps_per_epoch == 0
        return step % self.config.eval_steps == 0 or step == self.total_steps


_last_order: dict[tuple[int, int], list[int]] = {}


def shuffled(count: int, seed: int) -> list[int]:
    """Return 0 … count-1 in the order that `seed` gives, the same at every call."""
    if (count, seed) not in _last_order:
        _last_order.clear()
        _last_order[count, seed] = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return _last_order[count, seed]
