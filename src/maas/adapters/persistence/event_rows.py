"""Events as rows, and back."""

from dataclasses import fields
from datetime import datetime
from enum import Enum
from typing import Any, get_type_hints
from uuid import UUID

from maas.domain.events import Event


def event_payload(event: Event) -> dict[str, object]:
    """Return the fields of an event as JSON values."""
    return {field.name: _dumped(getattr(event, field.name)) for field in fields(event)}


def read_event(kind: type[Event], payload: dict[str, object]) -> Event:
    """Make an event of `kind` from what `event_payload` returned."""
    hints = get_type_hints(kind)
    return kind(**{name: _loaded(hints[name], value) for name, value in payload.items()})  # type: ignore[arg-type] # typed by the event's own hints


def _dumped(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return value


def _loaded(hint: Any, value: Any) -> object:
    if value is None:
        return None
    for kind in getattr(hint, "__args__", (hint,)):
        if kind is UUID:
            return UUID(value)
        if kind is datetime:
            return datetime.fromisoformat(value)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(value)
    return value
