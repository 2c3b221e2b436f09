"""Reading of request bodies: strict JSON, and fields with their type and range."""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from maas.programs.engine.failures import RequestInvalid

Body = Mapping[str, Any]


def read_json(body: bytes) -> Body:
    """Parse a body that must be a JSON object."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestInvalid("the body is not valid JSON") from error
    if not isinstance(value, dict):
        raise RequestInvalid("the body must be a JSON object")
    return value


def number(
    body: Body, name: str, default: float, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> float:
    """Return a finite number within its range."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RequestInvalid(f"`{name}` must be a number")
    _check_range(name, value, above, least, most)
    return float(value)


def integer(body: Body, name: str, default: int | None, *, least: int | None = None, most: int | None = None) -> int | None:
    """Return a whole number within its range."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestInvalid(f"`{name}` must be a whole number")
    _check_range(name, value, None, least, most)
    return value


def flag(body: Body, name: str, *, default: bool = False) -> bool:
    """Return a boolean."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise RequestInvalid(f"`{name}` must be true or false")
    return value


def text(body: Body, name: str) -> str | None:
    """Return a string that is well-formed Unicode."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise RequestInvalid(f"`{name}` must be a string")
    return well_formed(value, name)


def well_formed(value: str, name: str) -> str:
    """Refuse lone surrogates, which JSON can spell and no encoding can."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RequestInvalid(f"`{name}` is not well-formed Unicode") from error
    return value


def stop_strings(value: Any, *, most: int) -> tuple[str, ...]:
    """Return a string or a list of strings as a tuple."""
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(entry, str) for entry in values):
        raise RequestInvalid("`stop` must be a string or a list of strings")
    if len(values) > most:
        raise RequestInvalid(f"`stop` must have at most {most} strings. Given: {len(values)}")
    return tuple(well_formed(entry, "stop") for entry in values if entry)


def mapping(body: Body, name: str) -> Body:
    """Return an object, empty where there is none."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestInvalid(f"`{name}` must be an object")
    return value


def refuse(body: Body, *names: str) -> None:
    """Refuse fields that the engine does not offer, rather than answer as if they were not there."""
    for name in names:
        if body.get(name):
            raise RequestInvalid(f"`{name}` is not supported")


def _check_range(name: str, value: float, above: float | None, least: float | None, most: float | None) -> None:
    if above is not None and value <= above:
        raise RequestInvalid(f"`{name}` must be greater than {above:g}")
    if least is not None and value < least:
        raise RequestInvalid(f"`{name}` must be at least {least:g}")
    if most is not None and value > most:
        raise RequestInvalid(f"`{name}` must be at most {most:g}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
