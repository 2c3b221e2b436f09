"""Requests of a batch and their results as lines of JSON, in the files of the platform alone."""

import json
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from maas.domain import errors
from maas.domain.errors import MaasError, Problem
from maas.domain.inference.answers import EmbeddedTexts, WrittenText
from maas.domain.inference.batch import BatchItem, BatchResult, ItemType
from maas.domain.inference.conversation import Embeddings, FinishReason, Message, MessageRole, TokenLogprob, TokenUsage

Line = dict[str, Any]


def item_line(item: BatchItem) -> bytes:
    """Return a request as a line."""
    return _line(
        {
            "id": item.id,
            "type": item.type.value,
            "messages": [[message.role.value, message.content] for message in item.messages],
            "prompt": item.prompt,
            "texts": item.texts,
            "parameters": item.parameters,
            "error": None if item.error is None else _dump_error(item.error),
        }
    )


def item_in(line: bytes) -> BatchItem:
    """Return the request of a line."""
    value = json.loads(line)
    return BatchItem(
        id=value["id"],
        type=ItemType(value["type"]),
        messages=tuple(Message(role=MessageRole(role), content=content) for role, content in value["messages"]),
        prompt=value["prompt"],
        texts=tuple(value["texts"]),
        parameters=value["parameters"],
        error=None if value["error"] is None else _load_error(value["error"]),
    )


def result_line(result: BatchResult) -> bytes:
    """Return a result as a line."""
    value: Line = {"id": result.id}
    if isinstance(result.answer, WrittenText):
        value["text"] = _dump_text(result.answer)
    elif result.answer is not None:
        value["vectors"] = _dump_vectors(result.answer)
    elif result.error is not None:
        value["error"] = _dump_error(result.error)
    return _line(value)


def result_in(line: bytes) -> BatchResult:
    """Return the result of a line."""
    value = json.loads(line)
    if "text" in value:
        return BatchResult(id=value["id"], answer=_load_text(value["text"]))
    if "vectors" in value:
        return BatchResult(id=value["id"], answer=_load_vectors(value["vectors"]))
    return BatchResult(id=value["id"], error=_load_error(value["error"]))


def _line(value: Line) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _dump_text(written: WrittenText) -> Line:
    return {
        "id": written.id.hex,
        "deployment_id": written.deployment_id.hex,
        "model": written.model,
        "is_chat": written.is_chat,
        "text": written.text,
        "finish_reason": written.finish_reason.value,
        "usage": [written.usage.prompt_tokens, written.usage.completion_tokens],
        "logprobs": None if written.logprobs is None else [[one.token, one.logprob, one.top] for one in written.logprobs],
    }


def _load_text(value: Line) -> WrittenText:
    logprobs = value["logprobs"]
    return WrittenText(
        id=UUID(value["id"]),
        deployment_id=UUID(value["deployment_id"]),
        model=value["model"],
        is_chat=value["is_chat"],
        text=value["text"],
        finish_reason=FinishReason(value["finish_reason"]),
        usage=_load_usage(value["usage"]),
        logprobs=None if logprobs is None else tuple(_load_logprob(*one) for one in logprobs),
    )


def _load_logprob(token: str, logprob: float, top: list[list[Any]]) -> TokenLogprob:
    return TokenLogprob(token=token, logprob=logprob, top=tuple((name, value) for name, value in top))


def _dump_vectors(embedded: EmbeddedTexts) -> Line:
    packed = [b64encode(array("d", vector).tobytes()).decode() for vector in embedded.embeddings.vectors]
    usage = embedded.embeddings.usage
    return {"model": embedded.model, "vectors": packed, "usage": [usage.prompt_tokens, usage.completion_tokens]}


def _load_vectors(value: Line) -> EmbeddedTexts:
    vectors = [array("d", b64decode(vector)).tolist() for vector in value["vectors"]]
    return EmbeddedTexts(model=value["model"], embeddings=Embeddings(vectors=vectors, usage=_load_usage(value["usage"])))


def _load_usage(value: list[int]) -> TokenUsage:
    return TokenUsage(prompt_tokens=value[0], completion_tokens=value[1])


def _dump_error(error: MaasError) -> Line:
    kind = next(one for one in type(error).__mro__ if one.__module__ == errors.__name__)
    return {
        "kind": kind.__name__,
        "code": error.code,
        "template": error.template,
        "values": _told(error.values),
        "problems": [
            {"field": one.field, "template": one.template, "code": one.code, "values": _told(one.values)}
            for one in error.problems
        ],
    }


def _load_error(value: Line) -> MaasError:
    kind: type[MaasError] = getattr(errors, value["kind"])
    # Kinds have signatures of their own; what they add is of no use in a result.
    error = kind.__new__(kind)
    problems = [Problem(**one) for one in value["problems"]]
    MaasError.__init__(error, value["template"], problems=problems, **value["values"])
    error.code = value["code"]
    return error


def _told(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values of a sentence as they are said."""
    return {name: value if isinstance(value, (str, int, float)) else str(value) for name, value in values.items()}
