"""What every trainer does: it begins, tells, saves, obeys and ends."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from maas.adapters.trainer.process import ProcessTrainer, ProcessTraining
from maas.adapters.trainer.scripted import Script, ScriptedTrainer
from maas.application.ports.trainer import (
    CheckpointWritten,
    LastReport,
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
from maas.domain.datasets.rows import DatasetType
from maas.domain.finetuning.parameters import Algorithm, Hyperparameters, TrainingConfig
from maas.domain.finetuning.training import ResultFormat

ROWS = [{"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}]} for n in range(8)]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.integration.trainer.tiny import make_base

    return make_base(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(params=["scripted", pytest.param("process", marks=[pytest.mark.integration, pytest.mark.slow])])
def trainer(request: pytest.FixtureRequest) -> Trainer:
    if request.param == "scripted":
        return ScriptedTrainer(Script(steps_per_call=1))
    return ProcessTrainer(threads=1)


@pytest.fixture
def asked(request: pytest.FixtureRequest, trainer: Trainer, tmp_path: Path) -> TrainingRequest:
    return a_request(request.getfixturevalue("tiny_model") if isinstance(trainer, ProcessTrainer) else tmp_path, tmp_path)


def a_request(model: Path, folder: Path) -> TrainingRequest:
    """Return a run of four steps, with a point at each and a checkpoint every two."""
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return TrainingRequest(
        model=model,
        adapter=None,
        train_rows=rows,
        eval_rows=None,
        dataset_type=DatasetType.CONVERSATION,
        output=folder / "output",
        checkpoints=folder / "checkpoints",
        resume_from=None,
        algorithm=Algorithm.LORA,
        hyperparameters=Hyperparameters(batch_size=4, num_epochs=2),
        config=TrainingConfig(logging_steps=1, save_steps=2),
    )


def heard(training: Training, *, on_report: Callable[[Report], None] = lambda _: None) -> list[Report]:
    """Hear a run to its end."""
    told: list[Report] = []
    while not told or not isinstance(told[-1], LastReport):
        for report in training.reports(60):
            told.append(report)
            on_report(report)
    return told


def only(told: Sequence[Report], kind: type[Any]) -> list[Any]:
    return [report for report in told if isinstance(report, kind)]


def test_a_run_tells_all_and_writes_its_result(trainer: Trainer, asked: TrainingRequest) -> None:
    with trainer.start(asked) as training:
        told = heard(training)
        after_the_end = training.reports(0)

    (started,), finished = only(told, TrainingStarted), told[-1]
    assert (started.total_steps, started.step, started.train_rows, started.eval_rows) == (4, 0, 8, 0)
    assert [point.step for point in only(told, MetricsTold)] == [1, 2, 3, 4]
    assert only(told, TrainingProgressed)[-1].step == 4
    assert [(one.step, one.path.is_dir()) for one in only(told, CheckpointWritten)] == [(2, True), (4, True)]
    assert isinstance(finished, TrainingFinished)
    assert finished.format is ResultFormat.PEFT
    assert (finished.path / "adapter_model.safetensors").is_file()
    assert after_the_end == []


def test_a_cancelled_run_saves_and_another_goes_on_from_there(trainer: Trainer, asked: TrainingRequest, tmp_path: Path) -> None:
    many = replace(asked, hyperparameters=Hyperparameters(batch_size=8, num_epochs=400), config=TrainingConfig(logging_steps=1))
    with trainer.start(many) as training:
        told = heard(training, on_report=lambda report: training.cancel() if isinstance(report, MetricsTold) else None)
    saved, last = told[-2:]
    assert isinstance(saved, CheckpointWritten)
    assert last == TrainingCancelled(step=saved.step)
    assert 1 <= saved.step < 400

    with trainer.start(replace(many, checkpoints=tmp_path / "more", resume_from=saved.path)) as training:
        resumed = heard(training, on_report=lambda report: training.cancel() if isinstance(report, MetricsTold) else None)

    assert only(resumed, TrainingStarted)[0].step == saved.step
    assert only(resumed, MetricsTold)[0].step == saved.step + 1


def test_a_run_without_rows_is_refused(trainer: Trainer, asked: TrainingRequest) -> None:
    asked.train_rows.write_text("")

    with trainer.start(asked) as training:
        refused = heard(training)[-1]

    assert isinstance(refused, TrainingRefused)
    assert (refused.code, refused.field) == ("FINETUNE_001", "dataset_id")


def test_a_closed_run_is_over(trainer: Trainer, asked: TrainingRequest) -> None:
    training = trainer.start(asked)

    training.close()
    training.close()
    training.cancel()

    assert training.reports(0) == []
    if isinstance(training, ProcessTraining):
        assert not psutil.pid_exists(training.pid)


def test_lora_can_always_be_had(trainer: Trainer) -> None:
    assert trainer.obstacle(Algorithm.LORA) is None


@pytest.mark.integration
@pytest.mark.slow
def test_a_child_that_is_killed_has_crashed_and_knew_no_secret(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAAS_DATABASE_URL", "postgresql://user:secret@nowhere/maas")
    endless = replace(a_request(tiny_model, tmp_path), hyperparameters=Hyperparameters(num_epochs=1000))

    with ProcessTrainer(threads=1).start(endless) as training:
        environment = psutil.Process(training.pid).environ()
        scores: list[str] = []

        def kill(report: Report) -> None:
            if isinstance(report, MetricsTold) and not scores:
                scores.append(Path(f"/proc/{training.pid}/oom_score_adj").read_text().strip())
                os.kill(training.pid, signal.SIGKILL)

        told = heard(training, on_report=kill)

    assert told[-1] == TrainingCrashed(reason="the training process was killed (signal 9)")
    assert not [name for name in environment if name.startswith("MAAS")]
    assert environment["HOME"] == str(tmp_path)
    assert scores == ["800"]
