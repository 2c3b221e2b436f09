"""Checkpoints: all that a run needs to go on as if it had never stopped. Safetensors and JSON, no pickle."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from maas.programs.trainer.failures import TrainingImpossible
from maas.programs.trainer.weights import LearnedWeights

_WEIGHTS = "weights.safetensors"
_OPTIMIZER = "optimizer.safetensors"
_RANDOM = "random.safetensors"
_POSITION = "position.json"


@dataclass
class Position:
    """Where a run stands: `step` optimiser steps are done.

    `open_…` gather what the next point will tell; `point_due` says that the point (and evaluation) of `step` itself is still to be made.
    `fingerprint` names the run that this belongs to.
    """

    fingerprint: str
    step: int = 0
    tokens: int = 0
    open_loss: float = 0.0
    open_steps: int = 0
    grad_norm: float | None = None
    learning_rate: float = 0.0
    point_due: bool = False


def random_state() -> dict[str, torch.Tensor]:
    """Return the state of torch's random generators, by device."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def set_random_state(states: Mapping[str, torch.Tensor]) -> None:
    """Take back what `random_state` gave, as far as the devices are here."""
    torch.set_rng_state(states["cpu"])
    for name, state in states.items():
        if name.startswith("cuda:") and torch.cuda.is_available() and int(name[5:]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, int(name[5:]))


def save_checkpoint(
    folder: Path, weights: LearnedWeights, position: Position, random: Mapping[str, torch.Tensor]
) -> tuple[Path, int]:
    """Write a checkpoint whole or not at all; return its folder and its size in bytes."""
    target = folder / f"step-{position.step}"
    staging = folder / f".step-{position.step}.part"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    learned, optimizer = weights.state()
    save_file(learned, staging / _WEIGHTS)
    save_file(optimizer, staging / _OPTIMIZER)
    save_file(dict(random), staging / _RANDOM)
    (staging / _POSITION).write_text(json.dumps(asdict(position)), encoding="utf-8")
    sync_folder(staging)
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)
    _sync(folder)
    return target, sum(path.stat().st_size for path in target.iterdir())


def load_checkpoint(folder: Path, weights: LearnedWeights, fingerprint: str) -> Position:
    """Bring weights, optimiser and random generators to where a checkpoint left them; return its position."""
    position = Position(**json.loads((folder / _POSITION).read_text(encoding="utf-8")))
    if position.fingerprint != fingerprint:
        raise TrainingImpossible("the checkpoint belongs to other data or parameters; restart from scratch", field="resume_from")
    weights.restore(load_file(folder / _WEIGHTS), load_file(folder / _OPTIMIZER))
    set_random_state(load_file(folder / _RANDOM))
    return position


def sync_folder(folder: Path) -> None:
    """Bring a folder's files, and the folder itself, to disk."""
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
