"""What the engine counts, in Prometheus' text format."""

import threading
from collections.abc import Mapping

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
    "maas_engine_waiting": ("gauge", "Requests that wait for a slot."),
    "maas_engine_cache_bytes": ("gauge", "Memory of keys and values."),
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
            return dict(self._values)

    def exposition(self) -> bytes:
        """Return all values as Prometheus reads them."""
        lines = []
        for name, value in self.values().items():
            kind, meaning = _KINDS[name]
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", f"{name} {value:.10g}"]
        return ("\n".join(lines) + "\n").encode()
