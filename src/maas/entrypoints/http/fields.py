"""Fields of schemas: strict on what comes in, uniform in what goes out."""

import math
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from marshmallow import fields

from maas.entrypoints.http.envelope import utc_timestamp

LARGEST_INTEGER = 2**63 - 1
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,30}", re.ASCII)
_DECIMAL_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?", re.ASCII)

# The type that marshmallow gives to its own.
_Messages = dict[str, str | list[Any] | dict[Any, Any]]


class Text(fields.String):
    """Text, taken as it is: never trimmed, never made of something else; without NUL."""

    default_error_messages: _Messages = {"nul": "text must not hold the character NUL"}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if "\x00" in value:
            raise self.make_error("nul")
        return value


class Integer(fields.Integer):
    """A whole number of 64 bits; 3.0 is one, "3", 3.5 and true are none."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        if abs(value) > LARGEST_INTEGER:
            raise self.make_error("too_large", input=value)
        return value


class Number(fields.Float):
    """A finite number; text and booleans are none."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        if not math.isfinite(value):
            raise self.make_error("special", input=value)
        return value


class Boolean(fields.Boolean):
    """`true` or `false`, and nothing that is like them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Identifier(fields.UUID):
    """A UUID in its usual form of five groups."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        if not isinstance(value, str) or not _UUID.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return UUID(value)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else str(value)


class Timestamp(fields.AwareDateTime):
    """A time by RFC 3339 with its zone; goes out in UTC, ending in Z."""

    default_error_messages: _Messages = {"zone": "a time is written like 2026-01-31T12:00:00Z"}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
            raise self.make_error("zone")
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise self.make_error("zone") from error

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else utc_timestamp(value)


class Choice(fields.Enum[StrEnum]):
    """One of the values of a StrEnum."""

    def __init__(self, kinds: type[StrEnum], **kwargs: Any) -> None:
        super().__init__(kinds, by_value=Text, **kwargs)
        self.error_messages["unknown"] = "Must be one of: {choices}."


class QueryInteger(Integer):
    """A whole number in the address, where everything is text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not isinstance(value, str) or not _WHOLE_NUMBER.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(int(value), attr, data, **kwargs)


class QueryNumber(Number):
    """A number in the address, where everything is text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if not isinstance(value, str) or not _DECIMAL_NUMBER.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(float(value), attr, data, **kwargs)


class QueryBoolean(Boolean):
    """`true` or `false` in the address, where everything is text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        return super()._deserialize({"true": True, "false": False}.get(value, value), attr, data, **kwargs)
