"""Whether the platform can serve: a registry of checks, one a part."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class PartCheck:
    """A check of a part: it returns what is worth telling, and raises where the part is down.

    While a `needed` part is down, the platform cannot serve.
    """

    check: Callable[[], Mapping[str, Any] | None]
    needed: bool = True


class Readiness:
    """The parts of the platform with their checks."""

    def __init__(self, checks: Mapping[str, PartCheck]) -> None:
        self._checks = dict(checks)

    def report(self) -> tuple[dict[str, Any], bool]:
        """Return `{status, parts}`, and whether every needed part is up."""
        parts = {name: self._state(name, part) for name, part in self._checks.items()}
        ready = all(parts[name]["status"] == "up" for name, part in self._checks.items() if part.needed)
        whole = all(part["status"] == "up" for part in parts.values())
        status = "unavailable" if not ready else "ready" if whole else "degraded"
        return {"status": status, "parts": parts}, ready

    def _state(self, name: str, part: PartCheck) -> dict[str, Any]:
        try:
            told = part.check()
        except Exception:
            log.warning("a part is down", part=name, exc_info=True)
            return {"status": "down", "needed": part.needed}
        return {"status": "up", "needed": part.needed, **(told or {})}
