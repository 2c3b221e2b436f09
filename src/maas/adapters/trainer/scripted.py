"""A trainer that follows a script: it learns nothing, and tells, saves and ends as the real one does."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maas.application.ports.trainer import (
    CheckpointWritten,
    LineLogged,
    MetricsTold,
    Report,
    Trainer,
    Training,
    TrainingCancelled,
    TrainingCrashed,
    TrainingFinished,
    TrainingProgressed,
    TrainingRefused,
    TrainingRequest,
    TrainingStarted,
)
from maas.domain.finetuning.parameters import Algorithm, EvaluationStrategy, held_out_rows
from maas.domain.finetuning.training import LogLevel, ResultFormat

_POSITION = "position.json"


@dataclass
class Script:
    """What happens to the runs of a trainer. Tests change it while runs go on.

    `crash_after` lists steps after each of which a run dies once; `obstacles` says what cannot be had. A run that `loads`
    tells nothing yet.
    `steps_per_call` bounds how far a run gets each time somebody asks for its reports; `before_call` is told, before each, how
    far it is.
    """

    crash_after: list[int] = field(default_factory=list)
    refuse: TrainingRefused | None = None
    obstacles: Mapping[Algorithm, str] = field(default_factory=dict)
    loads: bool = False
    steps_per_call: int = 1_000_000
    before_call: Callable[[int], None] = lambda step: None


class ScriptedTrainer(Trainer):
    """Keeps the requests that it was started with."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.requests: list[TrainingRequest] = []

    def start(self, request: TrainingRequest) -> "ScriptedTraining":
        self.requests.append(request)
        return ScriptedTraining(request, self.script)

    def obstacle(self, algorithm: Algorithm) -> str | None:
        return self.script.obstacles.get(algorithm)


class ScriptedTraining(Training):
    """A run whose loss falls as 1 / step. It goes on only while somebody asks for its reports."""

    def __init__(self, request: TrainingRequest, script: Script) -> None:
        self._request = request
        self._script = script
        self._step = _position(request.resume_from)
        self._rows = sum(1 for line in request.train_rows.read_text(encoding="utf-8").splitlines() if line)
        self._has_started = False
        self._has_ended = False
        self._is_cancelled = False

    def reports(self, timeout_seconds: float) -> Sequence[Report]:
        told: list[Report] = []
        self._script.before_call(self._step)
        if self._has_ended or self._script.loads:
            return told
        if not self._has_started:
            told.extend(self._start())
        for _ in range(self._script.steps_per_call):
            if self._has_ended or (told and isinstance(told[-1], TrainingRefused)):
                break
            told.extend(self._go_on())
        return told

    def cancel(self) -> None:
        self._is_cancelled = True

    def close(self) -> None:
        self._has_ended = True

    @property
    def _total_steps(self) -> int:
        values = self._request.hyperparameters
        return -(-self._train_rows // values.batch_size) * values.num_epochs

    @property
    def _eval_rows(self) -> int:
        is_evaluated = self._request.config.evaluation_strategy is not EvaluationStrategy.NO
        return held_out_rows(self._rows) if is_evaluated and self._request.eval_rows is None else 0

    @property
    def _train_rows(self) -> int:
        return self._rows - self._eval_rows

    def _start(self) -> list[Report]:
        self._has_started = True
        refusal = self._script.refuse
        if not self._rows:
            refusal = TrainingRefused(code="FINETUNE_001", field="dataset_id", reason="the dataset has no rows")
        if refusal is not None:
            self._has_ended = True
            return [refusal]
        started = TrainingStarted(
            total_steps=self._total_steps,
            step=self._step,
            trainable_parameters=64,
            device="cpu",
            precision="fp32",
            train_rows=self._train_rows,
            eval_rows=self._eval_rows,
        )
        return [LineLogged(level=LogLevel.INFO, message="loading the base model"), started]

    def _go_on(self) -> list[Report]:
        """Take a step, or end."""
        if self._is_cancelled:
            self._has_ended = True
            return [self._save(), TrainingCancelled(step=self._step)]
        if self._step in self._script.crash_after:
            self._script.crash_after.remove(self._step)
            self._has_ended = True
            return [TrainingCrashed(reason="the training process was killed (signal 9)")]
        if self._step >= self._total_steps:
            self._has_ended = True
            return [self._finish()]
        self._step += 1
        return self._after_step()

    def _after_step(self) -> list[Report]:
        step, total, config = self._step, self._total_steps, self._request.config
        told: list[Report] = []
        is_point = step % config.logging_steps == 0 or step == total
        is_evaluation = config.evaluation_strategy is EvaluationStrategy.STEPS and step % config.eval_steps == 0
        if is_point or is_evaluation:
            told.append(self._point(has_loss=is_point, has_eval_loss=is_evaluation))
        told.append(TrainingProgressed(step=step, eta_seconds=float(total - step)))
        if step % config.save_steps == 0 or step == total:
            told.append(self._save())
        return told

    def _point(self, *, has_loss: bool, has_eval_loss: bool) -> MetricsTold:
        step = self._step
        return MetricsTold(
            step=step,
            epoch=step * self._request.hyperparameters.num_epochs / self._total_steps,
            loss=1 / step if has_loss else None,
            eval_loss=2 / step if has_eval_loss else None,
            learning_rate=self._request.hyperparameters.learning_rate,
            grad_norm=1.0,
            tokens_per_second=100.0,
            tokens=step * 10,
        )

    def _save(self) -> CheckpointWritten:
        folder = self._request.checkpoints / f"step-{self._step}"
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"step": self._step})
        (folder / _POSITION).write_text(content, encoding="utf-8")
        return CheckpointWritten(step=self._step, path=folder, size=len(content))

    def _finish(self) -> TrainingFinished:
        whole = self._request.algorithm is Algorithm.FULL or self._request.adapter is not None
        name = "model.safetensors" if whole else "adapter_model.safetensors"
        self._request.output.mkdir(parents=True, exist_ok=True)
        (self._request.output / name).write_bytes(f"weights after {self._step} steps".encode())
        result_format = ResultFormat.TRANSFORMERS if whole else ResultFormat.PEFT
        return TrainingFinished(path=self._request.output, format=result_format)


def _position(folder: Path | None) -> int:
    return 0 if folder is None else int(json.loads((folder / _POSITION).read_text(encoding="utf-8"))["step"])
