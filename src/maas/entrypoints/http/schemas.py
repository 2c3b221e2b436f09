"""The base of all schemas: strict loading, and errors as problems with a code each."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from marshmallow import RAISE, Schema, ValidationError
from marshmallow.utils import get_value

from maas.domain.errors import Invalid, Problem
from maas.entrypoints.http.messages import template_pattern

MISSING, WRONG_FORM, OUT_OF_RANGE = "VALIDATION_001", "VALIDATION_002", "VALIDATION_003"

FORM_MESSAGES: Mapping[str, str] = {
    "Missing data for required field.": MISSING,
    "Field may not be null.": WRONG_FORM,
    "Invalid value.": WRONG_FORM,
    "Invalid type.": WRONG_FORM,
    "Invalid input type.": WRONG_FORM,
    "Invalid input.": WRONG_FORM,
    "Unknown field.": WRONG_FORM,
    "Not a valid list.": WRONG_FORM,
    "Not a valid string.": WRONG_FORM,
    "Not a valid UUID.": WRONG_FORM,
    "Not a valid number.": WRONG_FORM,
    "Not a valid integer.": WRONG_FORM,
    "Not a valid boolean.": WRONG_FORM,
    "Not a valid datetime.": WRONG_FORM,
    "Not a valid aware datetime.": WRONG_FORM,
    "Not a valid date.": WRONG_FORM,
    "Not a valid mapping type.": WRONG_FORM,
    "Not a valid URL.": WRONG_FORM,
    "Not a valid email address.": WRONG_FORM,
    "String does not match expected pattern.": WRONG_FORM,
    "Number too large.": OUT_OF_RANGE,
    "Special numeric values (nan or infinity) are not permitted.": OUT_OF_RANGE,
    "Must be greater than or equal to {min} and less than or equal to {max}.": OUT_OF_RANGE,
    "Must be greater than {min} and less than or equal to {max}.": OUT_OF_RANGE,
    "Must be greater than or equal to {min} and less than {max}.": OUT_OF_RANGE,
    "Must be greater than {min} and less than {max}.": OUT_OF_RANGE,
    "Must be greater than or equal to {min}.": OUT_OF_RANGE,
    "Must be less than or equal to {max}.": OUT_OF_RANGE,
    "Must be greater than {min}.": OUT_OF_RANGE,
    "Must be less than {max}.": OUT_OF_RANGE,
    "Shorter than minimum length {min}.": OUT_OF_RANGE,
    "Longer than maximum length {max}.": OUT_OF_RANGE,
    "Length must be between {min} and {max}.": OUT_OF_RANGE,
    "Length must be {equal}.": OUT_OF_RANGE,
    "Must be equal to {other}.": WRONG_FORM,
    "Must be one of: {choices}.": OUT_OF_RANGE,
    "One or more of the choices you made was not in: {choices}.": OUT_OF_RANGE,
    "text must not hold the character NUL": WRONG_FORM,
    "a time is written like 2026-01-31T12:00:00Z": WRONG_FORM,
    "give the parameter once": WRONG_FORM,
}
"""The messages of marshmallow and of our fields, with their codes. Any other message of a validator is a wrong form."""


class StrictSchema(Schema):
    """A schema that refuses unknown fields, and a thing to dump that lacks an attribute."""

    class Meta:
        unknown = RAISE

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        if isinstance(obj, Mapping) or "." in attr:
            return get_value(obj, attr, default)
        return getattr(obj, attr)


def load_form(schema: Schema, data: object) -> Any:
    """Return what `schema` makes of `data`, or raise Invalid with one problem per field."""
    try:
        return schema.load(data)  # type: ignore[arg-type]
    except ValidationError as error:
        raise form_error(error.messages) from error


def form_error(messages: Any) -> Invalid:
    """Return marshmallow's messages as one error."""
    problems = [_problem(path, message) for path, message in _first_messages(messages, "")]
    return Invalid("the input is not valid", problems=problems)


def _first_messages(messages: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the first message of each field, with its dotted path."""
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            yield from _first_messages(below, path if key in ("_schema", "value") and path else _joined(path, key))
    elif isinstance(messages, list):
        yield path, str(messages[0])
    else:
        yield path, str(messages)


def _joined(path: str, key: object) -> str:
    name = "body" if key == "_schema" else str(key)
    return f"{path}.{name}" if path else name


def _problem(path: str, message: str) -> Problem:
    template, values = _template_of(message)
    return Problem(field=path, template=template, code=FORM_MESSAGES.get(template, WRONG_FORM), values=values)


def _template_of(message: str) -> tuple[str, dict[str, object]]:
    """Return the template that made `message`, with its values."""
    if message in FORM_MESSAGES:
        return message, {}
    for template, pattern in _patterns():
        found = pattern.fullmatch(message)
        if found:
            return template, dict(found.groupdict())
    return message.replace("{", "{{").replace("}", "}}"), {}


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(template, template_pattern(template)) for template in FORM_MESSAGES if "{" in template]
