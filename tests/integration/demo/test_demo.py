"""The demo, in small: the whole path over the real API, with real processes and real training."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
import typer
from rich.console import Console

from maas.entrypoints.cli.client import Client
from maas.entrypoints.cli.demo import run_demo
from maas.entrypoints.cli.demo.plan import make_plan
from maas.entrypoints.cli.demo.platform import Platform
from maas.entrypoints.cli.demo.recipes import BaseRecipe, TuningRecipe
from maas.entrypoints.cli.demo.screen import Screen
from maas.entrypoints.cli.demo.story import Outcome, Story

pytestmark = [pytest.mark.integration, pytest.mark.slow]

REAL_ROWS = Path(__file__).parents[3].parent / "shared" / "data" / "alpaca_zh_demo.json"
TINY = {"shape": "qwen2", "hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate": 160, "context": 256}


def a_base(*, epochs: int, vocabulary: int = 400) -> BaseRecipe:
    return BaseRecipe(
        architecture={**TINY, "vocabulary": vocabulary},
        hyperparameters={"learning_rate": 5e-3, "batch_size": 16, "num_epochs": epochs, "max_sequence_length": 128, "seed": 3},
    )


def a_tuning(*, epochs: int, **config: Any) -> TuningRecipe:
    hyperparameters = {"learning_rate": 1e-2, "batch_size": 16, "num_epochs": epochs, "lora_r": 8, "max_sequence_length": 128}
    return TuningRecipe(hyperparameters=hyperparameters, config={"logging_steps": 2, **config})


@pytest.fixture
def screen() -> Screen:
    return Screen(Console(file=StringIO(), width=100))


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setenv("MAAS_TRAINER_THREADS", "1")
    monkeypatch.setenv("MAAS_ENGINE_THREADS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with Platform(tmp_path) as running:
        yield running


def shown_on(screen: Screen) -> str:
    file = screen.console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that have not ended; who ended and was not buried yet counts as ended.

    The database of other tests, which this process may be running, is none of the demo's.
    """
    running = [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in running if one.name() != "postgres"]


def check_outcome(outcome: Outcome) -> None:
    assert outcome.curve.first is not None
    assert outcome.curve.last is not None
    assert outcome.curve.last < outcome.curve.first
    assert all(exchange.before is not None and exchange.after is not None for exchange in outcome.exchanges)
    ElementTree.parse(outcome.picture)


def test_the_demo_runs_to_its_end_and_what_it_made_is_there(platform: Platform, screen: Screen, tmp_path: Path) -> None:
    plan = replace(make_plan(None, None, "conversation", []), base=a_base(epochs=6), tuning=a_tuning(epochs=3))

    outcome = Story(plan, platform, screen, tmp_path).tell()

    check_outcome(outcome)
    client = Client(platform.url, key=outcome.account.key)
    models = {model["name"]: model for model in client.get("/api/v1/models")["models"]}
    lineage = client.get(f"/api/v1/models/{models['pebble-lighthouse']['id']}")["lineage"]
    assert lineage["base_model_id"] == models["pebble"]["id"]
    assert {one["name"] for one in client.get("/api/v1/inference/deployments")["deployments"]} == {"pebble", "pebble-lighthouse"}
    assert "uploaded over POST /api/v1/models" in shown_on(screen)
    processes = psutil.Process().children(recursive=True)
    assert platform.stop() == 0
    assert not still_running(processes)


@pytest.mark.skipif(not REAL_ROWS.is_file(), reason="the real rows, ../shared/data/alpaca_zh_demo.json, are not here")
def test_the_loss_on_held_out_real_rows_falls(platform: Platform, screen: Screen, tmp_path: Path) -> None:
    rows = json.loads(REAL_ROWS.read_text(encoding="utf-8"))[:300]
    pairs = [(f"{row['instruction']}{row['input']}", row["output"]) for row in rows]
    base_rows = tmp_path / "base.jsonl"
    base_rows.write_text("".join(map(a_conversation, pairs)), encoding="utf-8")
    plan = replace(
        make_plan(None, REAL_ROWS, "instruction", []),
        base_rows=base_rows,
        base=a_base(epochs=1, vocabulary=2000),
        tuning=a_tuning(epochs=1, evaluation_strategy="steps", eval_steps=10),
    )

    outcome = Story(plan, platform, screen, tmp_path).tell()

    check_outcome(outcome)
    held_out = [loss for _, loss in outcome.curve.points("eval_loss")]
    assert len(held_out) >= 5
    assert held_out[-1] < held_out[0]
    assert "1,000 rows" in shown_on(screen)


def a_conversation(pair: tuple[str, str]) -> str:
    messages = [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return json.dumps({"messages": messages}, ensure_ascii=False) + "\n"


def test_what_the_platform_refuses_is_told_with_its_reason_and_the_platform_ends(
    tmp_path: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAAS_DATABASE_URL", "postgresql://of.another.platform/that-must-not-be-touched")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "qwen2"}', encoding="utf-8")
    (model / "model.safetensors").write_bytes(b"not a tensor")

    with pytest.raises(typer.Exit) as ended:
        run_demo(
            model=model,
            dataset=None,
            dataset_type="conversation",
            questions=[],
            keep=False,
            output=tmp_path / "output",
            screen=screen,
        )

    assert ended.value.exit_code == 1
    assert "The demo stopped:" in shown_on(screen)
    assert "model.safetensors" in shown_on(screen)
    assert not still_running(psutil.Process().children(recursive=True))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_the_platform_ends_with_the_demo_however_that_ends(number: signal.Signals, status: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "maas.entrypoints.cli", "demo", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        assert demo.stdout is not None
        seen = []
        for line in demo.stdout:
            seen.append(line)
            if "it answers at" in line:
                break
        processes = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(number)
        seen += demo.stdout.readlines()

    assert demo.returncode == status, "".join(seen)
    assert len(processes) >= 4
    psutil.wait_procs(processes, timeout=30)
    assert not still_running(processes)
    assert number is signal.SIGKILL or "the platform has stopped" in seen[-1]
