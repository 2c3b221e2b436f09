"""The training loop: one optimiser step over `batch_size` rows at a time, resumable at any of them."""

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from maas.programs.trainer.batching import Batch, batches
from maas.programs.trainer.checkpoints import Position, random_state, save_checkpoint, set_random_state
from maas.programs.trainer.failures import Cancelled, TrainingImpossible
from maas.programs.trainer.losses import Loss
from maas.programs.trainer.rows import EncodedRows
from maas.programs.trainer.schedule import Schedule
from maas.programs.trainer.telling import Pace, Progress, Reports
from maas.programs.trainer.weights import LearnedWeights


@dataclass(frozen=True)
class Packing:
    """How sequences are put together: `budget` tokens a forward pass, packed where the model keeps packed rows apart."""

    budget: int
    packed: bool
    pad_id: int

    def batches(self, rows: EncodedRows, numbers: Iterable[int]) -> list[Batch]:
        units = [rows.sequences(number) for number in numbers]
        return batches(units, budget=self.budget, packed=self.packed, pad_id=self.pad_id)


@dataclass(kw_only=True)
class TrainingLoop:
    """A run under way. `train_rows` and `eval_rows` are numbers of rows of `rows` and `held_out`."""

    model: Any
    weights: LearnedWeights
    loss: Loss
    schedule: Schedule
    packing: Packing
    rows: EncodedRows
    train_rows: Sequence[int]
    held_out: EncodedRows
    eval_rows: Sequence[int]
    position: Position
    checkpoint_dir: Path
    reports: Reports
    cancelled: threading.Event
    synchronize: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._pace = Pace()
        self._progress = Progress(self.reports, self.schedule.total_steps, self.position.step)
        self._random = random_state()

    def run(self) -> None:
        """Go on from the position to the last step; raise Cancelled, all saved, where that is asked for."""
        if self.position.point_due:
            self._after_step()
        while self.position.step < self.schedule.total_steps:
            self._random = random_state()
            self._step(self.position.step + 1)
            self._after_step()

    def _step(self, step: int) -> None:
        self.model.train()
        self._pace.begin()
        pieces = self.packing.batches(self.rows, [self.train_rows[index] for index in self.schedule.rows_of(step)])
        whole = sum(self.loss.weight(piece) for piece in pieces)
        losses = []
        for piece in pieces:
            self._stop_if_cancelled()
            if self.loss.weight(piece):
                losses.append(self._learn(piece, whole))
        loss = float(torch.stack(losses).double().sum()) if losses else 0.0
        if not math.isfinite(loss):
            self._diverged(step)
        rate = self.schedule.learning_rate(step)
        norm = self.weights.step(rate) if whole else 0.0
        if not math.isfinite(norm):
            self._diverged(step)
        self.synchronize()
        tokens = sum(piece.tokens for piece in pieces)
        self._pace.end(tokens)
        self._advance(step, tokens, loss, norm, rate)

    def _learn(self, piece: Batch, whole: int) -> torch.Tensor:
        loss = self.loss(piece) / whole
        loss.backward()  # type: ignore[no-untyped-call]
        self.weights.gather()
        return loss.detach()

    def _advance(self, step: int, tokens: int, loss: float, norm: float, rate: float) -> None:
        position = self.position
        position.step = step
        position.tokens += tokens
        position.open_loss += loss
        position.open_steps += 1
        position.grad_norm = norm
        position.learning_rate = rate
        position.point_due = self.schedule.is_point(step) or self.schedule.is_evaluation(step)

    def _after_step(self) -> None:
        self._random = random_state()
        if self.position.point_due:
            self._point()
        self._progress.tell(self.position.step)
        if self.schedule.is_checkpoint(self.position.step):
            self.save()

    def _point(self) -> None:
        position, schedule = self.position, self.schedule
        is_point = schedule.is_point(position.step)
        eval_loss = self._evaluate() if schedule.is_evaluation(position.step) and self.eval_rows else None
        self.reports.report(
            "metrics",
            step=position.step,
            epoch=schedule.epoch(position.step),
            loss=position.open_loss / max(position.open_steps, 1) if is_point else None,
            eval_loss=eval_loss,
            learning_rate=position.learning_rate,
            grad_norm=position.grad_norm,
            tokens_per_second=self._pace.take() if is_point else None,
            tokens=position.tokens,
        )
        if is_point:
            position.open_loss, position.open_steps = 0.0, 0
        position.point_due = False

    @torch.no_grad()
    def _evaluate(self) -> float:
        """Return the mean loss over the held-out rows."""
        self.model.eval()
        total, whole = 0.0, 0
        for piece in self.packing.batches(self.held_out, self.eval_rows):
            self._stop_if_cancelled()
            if self.loss.weight(piece):
                total += float(self.loss(piece))
                whole += self.loss.weight(piece)
        if not math.isfinite(total):
            self._diverged(self.position.step)
        return total / max(whole, 1)

    def save(self) -> None:
        """Write a checkpoint of the position and tell the parent."""
        path, size = save_checkpoint(self.checkpoint_dir, self.weights, self.position, self._random)
        self.reports.report("checkpoint", step=self.position.step, path=str(path), size=size)

    def _stop_if_cancelled(self) -> None:
        """Give up the step under way: what was done before it is saved, with the random state that it began with."""
        if not self.cancelled.is_set():
            return
        self.weights.forget()
        set_random_state(self._random)
        self.save()
        raise Cancelled(self.position.step)

    def _diverged(self, step: int) -> None:
        raise TrainingImpossible(
            f"the loss is no longer a number at step {step}: lower the learning rate", field="hyperparameters.learning_rate"
        )
