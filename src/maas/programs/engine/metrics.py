"""What the engine counts, in Prometheus' text format."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

_KINDS = {
    "maas_engine_requests_total": ("counter", "Requests accepted."),
    "maas_engine_refused_total": ("counter", "Requests refused for want of room."),
    "maas_engine_cancelled_total": ("counter", "Requests whose caller left."),
    "maas_engine_prompt_tokens_total": ("counter", "Prompt tokens computed."),
    "maas_engine_generated_tokens_total": ("counter", "Tokens generated."),
    "maas_engine_steps_total": ("counter", "Forward passes."),
    "maas_engine_step_seconds_total": ("counter", "Seconds spent in steps."),
    "maas_engine_embedded_texts_total": ("counter", "Texts embedded or scored."),
    "maas_engine_running": ("gauge", "Requests in the running batch."),
    "maas_engine_waiting": ("gauge", "Requests (for encoders: texts) that wait."),
    "maas_engine_slots": ("gauge", "Requests that the running batch has room for."),
    "maas_engine_cache_bytes": ("gauge", "Memory of keys and values."),
    "process_cpu_seconds_total": ("counter", "Processor time of this process."),
    "process_resident_memory_bytes": ("gauge", "Memory of this process."),
}
_LOAD = {
    "running": "maas_engine_running",
    "waiting": "maas_engine_waiting",
    "slots": "maas_engine_slots",
    "requests": "maas_engine_requests_total",
    "refused": "maas_engine_refused_total",
    "cancelled": "maas_engine_cancelled_total",
    "prompt_tokens": "maas_engine_prompt_tokens_total",
    "generated_tokens": "maas_engine_generated_tokens_total",
    "embedded_texts": "maas_engine_embedded_texts_total",
    "cpu_seconds": "process_cpu_seconds_total",
    "resident_bytes": "process_resident_memory_bytes",
}


class Metrics:
    """Counters and gauges by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = dict.fromkeys(_KINDS, 0.0)

    def add(self, name: str, amount: float = 1.0) -> None:
        with self._lock:
            self._values[name] += amount

    def set(self, name: str, value: float) -> None:
        with self._lock:
            self._values[name] = value

    def values(self) -> Mapping[str, float]:
        with self._lock:
            values = dict(self._values)
        return {**values, "process_cpu_seconds_total": time.process_time(), "process_resident_memory_bytes": resident_bytes()}

    def load(self) -> dict[str, float]:
        """Return what a controller asks for, by short names; whole numbers are integers."""
        values = self.values()
        return {short: _plain(values[name]) for short, name in _LOAD.items()}

    def exposition(self) -> bytes:
        """Return all values as Prometheus reads them."""
        lines = []
        for name, value in self.values().items():
            kind, meaning = _KINDS[name]
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", f"{name} {value:.10g}"]
        return ("\n".join(lines) + "\n").encode()


def _plain(value: float) -> float:
    return int(value) if value == int(value) else round(value, 3)


def resident_bytes() -> int:
    """Return how much memory this process has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
