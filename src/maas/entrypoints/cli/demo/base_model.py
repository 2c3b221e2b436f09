"""A small base model, made from nothing but text by the trainer's own process."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maas.entrypoints.cli.demo.failures import DemoFailed
from maas.entrypoints.cli.demo.recipes import BaseRecipe

Report = dict[str, Any]

LOG_FILE = "pretraining.log"
_END_SECONDS = 10.0
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


def make_base_model(recipe: BaseRecipe, rows: Path, folder: Path, on_report: Callable[[Report], None]) -> Path:
    """Train a model and its tokenizer on the conversations of `rows`; return its folder, in Hugging Face's layout."""
    folder.mkdir(parents=True)
    last: Report = {}
    with _trainer(_spec(recipe, rows, folder), folder / LOG_FILE) as reports:
        for last in reports:
            on_report(last)
    if last.get("type") == "failed":
        raise DemoFailed(f"the base model could not be made: {last['reason']}")
    if last.get("type") != "finished":
        raise DemoFailed(f"the base model could not be made: the trainer ended early; {folder / LOG_FILE} may say why")
    shutil.rmtree(folder / "checkpoints")
    return Path(last["path"])


def pack(model: Path, archive: Path) -> Path:
    """Write a model's folder as one archive; what a hub's cache keeps as links goes in as files."""
    with tarfile.open(archive, "w", dereference=True) as tar:
        for path in sorted(model.rglob("*")):
            name = path.relative_to(model)
            if path.is_file() and not any(part.startswith(".") for part in name.parts):
                tar.add(path, arcname=name.as_posix())
    return archive


def check_model(folder: Path) -> None:
    """Raise DemoFailed where `folder` does not look like a model."""
    if not (folder / "config.json").is_file() or not any(next(folder.glob(name), None) for name in _WEIGHTS):
        raise DemoFailed(f"{folder} does not look like a model: it needs config.json, *.safetensors and a tokenizer")


def _spec(recipe: BaseRecipe, rows: Path, folder: Path) -> dict[str, Any]:
    return {
        "mode": "pretrain",
        "train_path": str(rows),
        "dataset_type": "conversation",
        "output_dir": str(folder / "model"),
        "checkpoint_dir": str(folder / "checkpoints"),
        "hyperparameters": dict(recipe.hyperparameters),
        "config": {"logging_steps": recipe.logging_steps, "save_steps": 1_000_000},
        "architecture": dict(recipe.architecture),
    }


@contextmanager
def _trainer(spec: dict[str, Any], log_path: Path) -> Iterator[Iterator[Report]]:
    """Run the trainer and hand out its reports; it ends with the block, whatever ends that."""
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "maas.programs.trainer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(spec).encode() + b"\n")
        process.stdin.flush()
        yield map(json.loads, process.stdout)
        process.wait(_END_SECONDS)
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()
