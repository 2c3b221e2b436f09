"""What is sent and answered where many requests come at once."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from marshmallow import Schema, fields, validate

from maas.domain.errors import Invalid, MaasError, Problem
from maas.domain.inference.answers import WrittenText
from maas.domain.inference.batch import LONGEST_ITEM_ID, BatchItem, BatchResult, BatchStatus, ItemType
from maas.entrypoints.http.envelope import error_body
from maas.entrypoints.http.errors import status_of
from maas.entrypoints.http.fields import Choice, Identifier, Integer, Text, Timestamp
from maas.entrypoints.http.inference_answers import embedding_answer, whole_answer
from maas.entrypoints.http.inference_forms import ChatItem, CompletionItem, EmbeddingItem
from maas.entrypoints.http.paging import ListQuery
from maas.entrypoints.http.schemas import StrictSchema, load_form


class BatchMode(StrEnum):
    """Whether the answers come at once, or by and by."""

    SYNC = "sync"
    ASYNC = "async"


class RequestList(fields.Field[tuple[BatchItem, ...]]):
    """Requests, each an object of `id`, `type` and `data`; one whose type or data is wrong fails alone."""

    default_error_messages = {
        "list": "Not a valid list.",
        "item": "a request is an object of id, type and data, its id a text of 1 to 200 characters",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> tuple[BatchItem, ...]:
        if not isinstance(value, list):
            raise self.make_error("list")
        return tuple(self._item(entry) for entry in value)

    def _item(self, entry: Any) -> BatchItem:
        is_named = isinstance(entry, dict) and isinstance(entry.get("id"), str)
        if not is_named or not 1 <= len(entry["id"]) <= LONGEST_ITEM_ID:
            raise self.make_error("item")
        try:
            return _item(entry)
        except MaasError as error:
            return BatchItem(id=entry["id"], error=error)


class BatchForm(StrictSchema):
    """Requests to one deployment: up to 100 answered in place, or up to 50,000 by and by (`"mode": "async"`)."""

    deployment_id = Identifier(required=True)
    requests = RequestList(
        required=True,
        metadata={
            "type": "array",
            "minItems": 1,
            "maxItems": 50_000,
            "items": {
                "type": "object",
                "required": ["id", "type", "data"],
                "properties": {
                    "id": {"type": "string", "minLength": 1, "maxLength": LONGEST_ITEM_ID},
                    "type": {"type": "string", "enum": [kind.value for kind in ItemType]},
                    "data": {
                        "type": "object",
                        "description": "As the call of this type takes it, without `deployment_id`.",
                    },
                },
            },
        },
    )
    mode = Choice(BatchMode, load_default=BatchMode.SYNC)
    name = Text(validate=validate.Length(1, 200), metadata={"description": "Of an asynchronous batch; by default its id."})


class BatchQuery(ListQuery):
    """Filters of the list."""

    status = Choice(BatchStatus)
    deployment_id = Identifier()


class BatchSchema(StrictSchema):
    """A batch that is answered by and by."""

    id = Identifier()
    name = Text()
    deployment_id = Identifier()
    status = Choice(BatchStatus)
    reason = Text(allow_none=True, metadata={"description": "Why it failed."})
    total = Integer()
    completed = Integer(metadata={"description": "Requests that were answered."})
    failed = Integer(metadata={"description": "Requests that were not; a batch with such succeeds all the same."})
    created_at = Timestamp()
    updated_at = Timestamp()
    started_at = Timestamp(allow_none=True)
    finished_at = Timestamp(allow_none=True)


class BatchLineSchema(StrictSchema):
    """What became of one request: the HTTP status, and the data or the error, of a single call."""

    id = Text()
    status = Integer()
    data = fields.Raw(metadata={"type": "object"})
    error = fields.Raw(metadata={"type": "object"})


class BatchResultsSchema(StrictSchema):
    """What became of each request, in order."""

    results = fields.List(fields.Nested(BatchLineSchema()))


def told_result(result: BatchResult, language: str) -> dict[str, Any]:
    """Return a result as it is sent."""
    if result.error is not None:
        return {"id": result.id, "status": status_of(result.error), "error": error_body(result.error, language)}
    answer = result.answer
    if isinstance(answer, WrittenText):
        return {"id": result.id, "status": 200, "data": whole_answer(answer)}
    assert answer is not None
    return {"id": result.id, "status": 200, "data": embedding_answer(answer)}


_ITEMS: Mapping[str, Schema] = {
    ItemType.CHAT.value: ChatItem(),
    ItemType.COMPLETION.value: CompletionItem(),
    ItemType.EMBEDDING.value: EmbeddingItem(),
}
_KEYS = frozenset({"id", "type", "data"})


def _item(entry: Mapping[str, Any]) -> BatchItem:
    problems = [Problem(field=key, template="Unknown field.") for key in entry if key not in _KEYS]
    problems += [_missing(key) for key in ("type", "data") if key not in entry]
    kind, data = entry.get("type"), entry.get("data")
    if "type" in entry and (not isinstance(kind, str) or kind not in _ITEMS):
        problems.append(_wrong("type", "Must be one of: {choices}.", choices=", ".join(_ITEMS)))
    if "data" in entry and not isinstance(data, dict):
        problems.append(Problem(field="data", template="Invalid input type."))
    if problems:
        raise Invalid("the input is not valid", problems=problems)
    return BatchItem(id=entry["id"], type=ItemType(str(kind)), **_as_tuples(load_form(_ITEMS[str(kind)], data)))


def _as_tuples(form: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in form.items()}


def _missing(key: str) -> Problem:
    return Problem(field=key, template="Missing data for required field.", code="VALIDATION_001")


def _wrong(key: str, template: str, **values: object) -> Problem:
    return Problem(field=key, template=template, code="VALIDATION_003", values=values)
