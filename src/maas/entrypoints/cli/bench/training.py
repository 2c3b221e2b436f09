"""Item `training`: useful tokens per second, against a padded loop and trl; and what watching a training costs."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from maas.entrypoints.cli.bench.bench import Bench
from maas.entrypoints.cli.bench.children import BenchFailed
from maas.entrypoints.cli.bench.figures import Figure, Goal, missing
from maas.entrypoints.cli.bench.monitoring import monitoring_cost
from maas.programs.bench.language import Language

_UNIT = "useful tokens/s"
_MAAS, _BARE, _TRL, _TRL_LIGHT = "maas", "padded loop", "trl SFTTrainer", "trl without gradient checkpointing"
_GOALS = {_BARE: 1.5, _TRL: 2.0, _TRL_LIGHT: None}
HYPERPARAMETERS: Mapping[str, Any] = {
    "learning_rate": 1e-3,
    "batch_size": 4,
    "num_epochs": 1,
    "lora_r": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
    "max_sequence_length": 256,
    "seed": 7,
}
CONFIG: Mapping[str, Any] = {"logging_steps": 1, "save_steps": 10}


@dataclass
class _Runs:
    """What each contender has done: seconds by repetition, and its last adapter; all learn the same `tokens`."""

    tokens: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    adapters: dict[str, Path] = field(default_factory=dict)


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure both precisions, then the cost of monitoring in a whole platform."""
    rows, held_out = _write_rows(bench)
    for precision in ("fp32", "bf16"):
        yield from _speeds(bench, rows, held_out, precision)
    yield monitoring_cost(bench, rows, HYPERPARAMETERS, CONFIG)


def _write_rows(bench: Bench) -> tuple[Path, Path]:
    """Write rows to learn from and others to judge by, as long as those of real instructions are."""
    language = Language()
    paths = bench.folder / "rows.jsonl", bench.folder / "held-out.jsonl"
    for path, count in zip(paths, (12, 4) if bench.quick else (96, 24), strict=True):
        texts = language.texts(language.lengths(count, median=55, spread=0.9, longest=400))
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return paths


def _speeds(bench: Bench, rows: Path, held_out: Path, precision: str) -> Iterator[Figure]:
    rivals = [_BARE] if find_spec("trl") is None or find_spec("datasets") is None else [_BARE, _TRL, _TRL_LIGHT]
    runs = _Runs()
    for repetition in bench.repetitions(3):
        for name in [_MAAS, *rivals]:
            bench.say(f"training, {precision}: {name}, repetition {repetition + 1}")
            _run(bench, runs, name, rows, precision)
    losses = _losses(bench, runs, held_out)
    name = f"LoRA of a {'tiny' if bench.quick else '0.1 B'} model, {precision}"
    for rival in rivals:
        seconds = zip(runs.seconds[_MAAS], runs.seconds[rival], strict=True)
        pairs = [(runs.tokens / mine, runs.tokens / theirs) for mine, theirs in seconds]
        apart = losses[_MAAS] / losses[rival] - 1
        note = f"eval loss {losses[_MAAS]:.3f} against {losses[rival]:.3f} ({apart:+.1%})"
        goal = Goal(at_least=_GOALS[rival]) if _GOALS[rival] else None
        yield Figure(name=name, unit=_UNIT, pairs=pairs, reference=rival, goal=goal, note=note)
    if _TRL not in rivals:
        yield missing(name, _UNIT, _TRL, "trl or datasets")


def _run(bench: Bench, runs: _Runs, name: str, rows: Path, precision: str) -> None:
    folder = bench.folder / f"adapter-of-{name.replace(' ', '-')}-{precision}"
    if name == _MAAS:
        runs.tokens, seconds = _platform_run(bench, rows, folder, precision)
    else:
        seconds = _rival_run(bench, name, rows, folder, precision)
    runs.seconds.setdefault(name, []).append(seconds)
    runs.adapters[name] = folder


def _platform_run(bench: Bench, rows: Path, folder: Path, precision: str) -> tuple[int, float]:
    """Train by the platform's trainer, with points and checkpoints; return (useful tokens, seconds from first step to last)."""
    spec = {
        "mode": "finetune",
        "model_dir": str(bench.models().decoder),
        "train_path": str(rows),
        "dataset_type": "text",
        "output_dir": str(folder),
        "checkpoint_dir": str(bench.folder / "checkpoints"),
        "algorithm": "lora",
        "hyperparameters": HYPERPARAMETERS,
        "config": CONFIG,
        "device": "cpu",
        "precision": precision,
    }
    began, ended, tokens = 0.0, 0.0, 0
    with bench.child("maas.programs.trainer", spec) as trainer:
        for report in trainer.reports():
            if report["type"] == "started":
                began = time.perf_counter()
            elif report["type"] == "metrics":
                tokens = report["tokens"]
            elif report["type"] == "checkpoint":
                ended = time.perf_counter()
            elif report["type"] == "finished":
                return tokens, ended - began
            elif report["type"] == "failed":
                raise BenchFailed(f"the training failed: {report['reason']}")
    raise BenchFailed("the trainer ended without a word")


def _rival_run(bench: Bench, name: str, rows: Path, folder: Path, precision: str) -> float:
    options = {"gradient_checkpointing": False} if name == _TRL_LIGHT else {}
    spec = {
        "kind": "bare" if name == _BARE else "trl",
        "train_path": str(rows),
        "output_dir": str(folder),
        "precision": precision,
        "options": options,
        **_rows_spec(bench),
    }
    with bench.child("maas.programs.bench.train", spec) as rival:
        report = rival.wait_for("trained", "missing")
    if report["type"] == "missing":
        raise BenchFailed(f"{report['package']} is not installed")
    seconds: float = report["seconds"]
    return seconds


def _rows_spec(bench: Bench) -> Mapping[str, Any]:
    named = {"model_dir": str(bench.models().decoder), "longest": HYPERPARAMETERS["max_sequence_length"]}
    return {**HYPERPARAMETERS, **named}


def _losses(bench: Bench, runs: _Runs, held_out: Path) -> dict[str, float]:
    """Return how well each contender's last adapter knows the rows that none has seen."""
    bench.say("training: judging the adapters")
    folders = {name: str(folder) for name, folder in runs.adapters.items()}
    spec = {"train_path": str(held_out), "adapters": list(folders.values()), **_rows_spec(bench)}
    with bench.child("maas.programs.bench.evaluate", spec) as judge:
        losses = judge.wait_for("evaluated")["losses"]
    return {name: losses[folder] for name, folder in folders.items()}
