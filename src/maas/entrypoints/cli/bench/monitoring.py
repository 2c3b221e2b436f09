"""What watching a training costs: the processor time of all else that a platform does meanwhile, against the trainer's own."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from maas.entrypoints.cli.bench.bench import Bench
from maas.entrypoints.cli.bench.children import BenchFailed
from maas.entrypoints.cli.bench.figures import Figure, Goal
from maas.entrypoints.cli.bench.forms import send_form
from maas.entrypoints.cli.bench.platforms import Platform, cpu_seconds, running_platform, signed_in

_TRAINER = "maas trainer"
_MOST_SECONDS = 1800


@dataclass(frozen=True)
class _Used:
    """Processor seconds so far."""

    trainer: float
    others: float


def monitoring_cost(bench: Bench, rows: Path, hyperparameters: Mapping[str, Any], config: Mapping[str, Any]) -> Figure:
    """Train once in a whole platform, with a client at the monitor's WebSocket."""
    bench.say("training in a whole platform, watched")
    with running_platform(bench, bench.folder / "monitoring") as platform:
        headers = signed_in(platform.data_dir)
        job = _make_job(bench, platform, headers, rows, {"hyperparameters": dict(hyperparameters), "config": dict(config)})
        seen: list[_Used] = []
        for message in _watched(platform, headers, job["id"]):
            used = _used(platform)
            if message.get("status") == "running" and used is not None:
                seen.append(used)
        ended = platform.call("GET", f"/api/v1/finetune/jobs/{job['id']}", headers=headers)
    if ended["status"] != "succeeded" or len(seen) < 2:
        raise BenchFailed(f"the watched training ended {ended['status']}: {ended.get('reason')}")
    trainer, others = seen[-1].trainer - seen[0].trainer, seen[-1].others - seen[0].others
    return Figure(
        name="monitoring: all else that the platform does meanwhile",
        unit="s of CPU",
        pairs=[(others, trainer)],
        reference="the trainer's own",
        goal=Goal(at_most=0.02),
        note=f"{len(seen)} messages over the WebSocket",
    )


def _make_job(bench: Bench, platform: Platform, headers: dict[str, str], rows: Path, parts: Mapping[str, Any]) -> Any:
    decoder = bench.models().decoder
    fields = {"model.safetensors": "model_file", "config.json": "config_file"}
    files = [(fields.get(path.name, "files"), path.name, path) for path in sorted(decoder.iterdir())]
    model = send_form(platform, "/api/v1/models", {"name": "base", "type": "llm"}, files, headers=headers)
    named = {"name": "rows", "type": "text", "format": "jsonl"}
    dataset = send_form(platform, "/api/v1/datasets", named, [("file", rows.name, rows)], headers=headers)
    body = {"name": "watched", "base_model_id": model["id"], "dataset_id": dataset["id"], **parts}
    return platform.call("POST", "/api/v1/finetune/jobs", body, headers=headers)


def _watched(platform: Platform, headers: dict[str, str], job_id: str) -> Iterator[dict[str, Any]]:
    """Yield the monitor's messages until it closes after the end of the job."""
    from websockets.exceptions import ConnectionClosedOK
    from websockets.sync.client import connect

    url = f"ws://{platform.host}:{platform.port}/v1/finetune/jobs/{job_id}/monitor"
    with connect(url, additional_headers=headers) as socket, suppress(ConnectionClosedOK):
        while True:
            yield json.loads(socket.recv(_MOST_SECONDS))


def _used(platform: Platform) -> _Used | None:
    """Return what the processes have used; None while there is no trainer."""
    processes = platform.processes()
    trainers = [pid for pid, line in processes.items() if line.startswith(_TRAINER)]
    try:
        others = sum(cpu_seconds(pid) for pid in processes if pid not in trainers)
        return _Used(cpu_seconds(trainers[0]), others) if trainers else None
    except psutil.NoSuchProcess:
        return None
