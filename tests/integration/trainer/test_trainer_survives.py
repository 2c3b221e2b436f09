"""A run that is killed or cancelled goes on as if it had never stopped."""

import json
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.trainer.tiny import (
    CONVERSATIONS,
    curve,
    last,
    make_base,
    reports_of,
    run_here,
    spec_for,
    start_program,
    write_rows,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    # PEFT asks transformers for a name that transformers is about to drop.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]

PARAMETERS = {"learning_rate": 1e-2, "batch_size": 4, "num_epochs": 4, "lora_dropout": 0.2}
CONFIG = {"logging_steps": 2, "evaluation_strategy": "steps", "eval_steps": 5, "save_steps": 4}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", CONVERSATIONS)


def spec(folder: Path, rows: Path, base: Path, **changes: Any) -> dict[str, Any]:
    return spec_for(folder, rows=rows, model=base, hyperparameters=PARAMETERS, config=CONFIG, **changes)


def run_until(process: "subprocess.Popen[str]", step: int) -> list[dict[str, Any]]:
    """Collect reports until a checkpoint of `step` or later was told, then kill the process."""
    reports = []
    with process:
        for report in reports_of(process):
            reports.append(report)
            if report["type"] == "metrics" and report["step"] >= step:
                process.kill()
    return reports


@pytest.mark.parametrize("algorithm", ["lora", "full"])
def test_a_killed_run_resumes_with_the_very_curve_of_an_unbroken_one(
    algorithm: str, tmp_path: Path, base: Path, rows: Path
) -> None:
    unbroken = run_here(spec(tmp_path / "unbroken", rows, base, algorithm=algorithm))
    killed = run_until(start_program(spec(tmp_path / "broken", rows, base, algorithm=algorithm)), 10)
    checkpoint = last(killed, "checkpoint")

    resumed = run_here(spec(tmp_path / "broken", rows, base, algorithm=algorithm, resume_from=checkpoint["path"]))

    kept = {step: point for step, point in curve(killed).items() if step <= checkpoint["step"]}
    assert 4 <= checkpoint["step"] < 20
    assert last(resumed, "started")["step"] == checkpoint["step"]
    assert kept | curve(resumed) == curve(unbroken)


@pytest.mark.parametrize("step", [2, 5, 8])
def test_a_cancelled_run_saves_where_it_stands_and_goes_on_from_there(step: int, tmp_path: Path, base: Path, rows: Path) -> None:
    unbroken = run_here(spec(tmp_path / "unbroken", rows, base))
    cancelled = run_here(spec(tmp_path / "broken", rows, base), cancel_at=step)
    saved = last(cancelled, "checkpoint")

    resumed = run_here(spec(tmp_path / "broken", rows, base, resume_from=saved["path"]))

    assert cancelled[-1] == {"type": "cancelled", "step": saved["step"]}
    assert curve(cancelled) | curve(resumed) == curve(unbroken)


def test_the_program_obeys_a_cancel_and_ends_well(tmp_path: Path, base: Path, rows: Path) -> None:
    process = start_program(spec(tmp_path, rows, base, threads=1) | {"hyperparameters": {**PARAMETERS, "num_epochs": 900}})
    assert process.stdin is not None
    reports = []
    with process:
        for report in reports_of(process):
            reports.append(report)
            if report["type"] == "metrics" and report["step"] == 2:
                process.stdin.write(json.dumps({"type": "cancel"}) + "\n")
                process.stdin.flush()

    assert process.returncode == 0
    assert reports[-1]["type"] == "cancelled"
    assert reports[-2]["type"] == "checkpoint"


def test_the_program_ends_when_its_parent_does(tmp_path: Path, base: Path, rows: Path) -> None:
    process = start_program(spec(tmp_path, rows, base) | {"hyperparameters": {**PARAMETERS, "num_epochs": 900}})
    assert process.stdin is not None
    with process:
        for report in reports_of(process):
            if report["type"] == "metrics":
                name = " ".join(psutil.Process(process.pid).cmdline())
                process.stdin.close()
                break

    assert process.returncode != 0
    assert "maas trainer" in name


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, base: Path, rows: Path) -> None:
    first = run_here(spec(tmp_path / "one", rows, base))

    other = run_here(
        spec(tmp_path / "two", rows, base, resume_from=last(first, "checkpoint")["path"]) | {"hyperparameters": {"lora_r": 2}}
    )

    assert last(other, "failed")["field"] == "resume_from"
