"""The engine's specification: the first line that its parent sends."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TASKS = ("text-generation", "feature-extraction", "text-ranking")
_DTYPES = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class AdapterSpec:
    """A PEFT adapter's folder, and the name by which requests select it."""

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """What to load and how to serve it."""

    model_dir: Path
    socket_fd: int
    task: str
    model_name: str
    adapters: tuple[AdapterSpec, ...] = ()
    device: str = "auto"
    dtype: str = "auto"
    max_slots: int = 16
    max_context: int | None = None
    max_queue: int = 64
    prefill_token_budget: int = 1024
    threads: int | None = None
    memory_bytes: int | None = None
    max_cache_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"unknown task {self.task!r}")
        if self.dtype not in _DTYPES:
            raise ValueError(f"unknown dtype {self.dtype!r}")
        if self.max_slots < 1 or self.max_queue < 0 or self.prefill_token_budget < 1:
            raise ValueError("max_slots, max_queue or prefill_token_budget is out of range")


def read_spec(values: Mapping[str, Any]) -> EngineSpec:
    """Read the parent's specification; a misspelt or missing field is a bug of the parent and raises."""
    fields = {name: value for name, value in values.items() if name != "readable"}
    fields["model_dir"] = Path(fields["model_dir"])
    fields["adapters"] = tuple(AdapterSpec(entry["name"], Path(entry["path"])) for entry in fields.get("adapters", ()))
    fields.setdefault("model_name", fields["model_dir"].name)
    return EngineSpec(**fields)
