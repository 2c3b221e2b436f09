"""Item `upload`: a large model by multipart, against copying, syncing and hashing the same file."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from maas.entrypoints.cli.bench.bench import FULL_DECODER, Bench
from maas.entrypoints.cli.bench.figures import Figure, Goal, absolute
from maas.entrypoints.cli.bench.forms import send_form
from maas.entrypoints.cli.bench.platforms import Platform, peak_memory_bytes, running_platform, signed_in

_FULL_BYTES, _QUICK_BYTES = 2 * 10**9, 2 * 10**6
_BLOCK_BYTES = 4 * 2**20
_COLUMNS = 1000
_MB = 1e6


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure pairs of uploads and copies on the same disk, then the memory of the API process."""
    size = _QUICK_BYTES if bench.quick else _FULL_BYTES
    bench.say(f"making a file of {size / _MB:,.0f} MB")
    weights, config = _make_model(bench.folder / "large", size)
    pairs: list[tuple[float, float | None]] = []
    with running_platform(bench, bench.folder / "uploads") as platform:
        headers = signed_in(platform.data_dir)
        for repetition in bench.repetitions(3):
            bench.say(f"upload: repetition {repetition + 1}")
            theirs = _copy_seconds(weights, bench.folder / "copy")
            mine = _upload_seconds(platform, headers, weights, config)
            pairs.append((size / mine / _MB, size / theirs / _MB))
        memory = max(peak_memory_bytes(pid) for pid in platform.pids("api")) / _MB
    weights.unlink()
    name = f"upload of {size / 1e9:g} GB"
    yield Figure(name=name, unit="MB/s", pairs=pairs, reference="cp && sync && sha256sum", goal=Goal(at_least=1.0))
    yield absolute("memory of the API process, at most", "MB", memory, goal=Goal(at_most=150))


def _make_model(folder: Path, size: int) -> tuple[Path, Path]:
    """Write weights of so many random bytes, well-formed as safetensors, and a config.json."""
    folder.mkdir()
    weights, config = folder / "model.safetensors", folder / "config.json"
    config.write_text(
        json.dumps({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], **FULL_DECODER}), encoding="utf-8"
    )
    data_bytes = size // (4 * _COLUMNS) * (4 * _COLUMNS)
    shape = [data_bytes // (4 * _COLUMNS), _COLUMNS]
    header = json.dumps({"model.embed_tokens.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, data_bytes]}}).encode()
    with weights.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, data_bytes, _BLOCK_BYTES):
            file.write(os.urandom(min(_BLOCK_BYTES, data_bytes - start)))
    return weights, config


def _copy_seconds(source: Path, target: Path) -> float:
    """Return how long the reference takes; what others left to write is written before."""
    os.sync()
    began = time.perf_counter()
    subprocess.run(
        ["sh", "-c", 'cp "$0" "$1" && sync "$1" && sha256sum "$1"', source, target], check=True, stdout=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - began
    target.unlink()
    return seconds


def _upload_seconds(platform: Platform, headers: dict[str, str], weights: Path, config: Path) -> float:
    """Return how long it takes until a model is acknowledged; it is deleted again."""
    os.sync()
    files = [("config_file", config.name, config), ("model_file", weights.name, weights)]
    began = time.perf_counter()
    model = send_form(platform, "/api/v1/models", {"name": "large", "type": "llm"}, files, headers=headers)
    seconds = time.perf_counter() - began
    platform.call("DELETE", f"/api/v1/models/{model['id']}", headers=headers)
    return seconds
