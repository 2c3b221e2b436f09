"""What models answer under /api/v1, whole and piece by piece."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from marshmallow import fields

from maas.application.inference.answers import TextAnswer
from maas.domain.inference.answers import EmbeddedTexts, WrittenText
from maas.domain.inference.conversation import ChatRequest, TextDelta, TokenLogprob, TokenUsage
from maas.entrypoints.http.fields import Integer, Text
from maas.entrypoints.http.schemas import StrictSchema

Chunk = dict[str, Any]


class UsageSchema(StrictSchema):
    """Tokens read and written."""

    prompt_tokens = Integer()
    completion_tokens = Integer()
    total_tokens = Integer()


class TextAnswerSchema(StrictSchema):
    """A whole answer."""

    id = Text()
    model = Text(metadata={"description": "The deployment's name."})
    deployment_id = Text()
    choices = fields.Raw(
        metadata={
            "type": "array",
            "description": "One choice: `{index, message: {role, content}, finish_reason}` of a conversation, "
            "`{index, text, finish_reason}` of a text; `finish_reason` is `stop` or `length`; `logprobs` where they were asked for.",
            "items": {"type": "object"},
        }
    )
    usage = fields.Nested(UsageSchema())


class TextChunkSchema(StrictSchema):
    """A piece of a streamed answer. The last one has `finish_reason` in its choice and `usage`; `data: [DONE]` follows it."""

    id = Text()
    choices = fields.Raw(
        metadata={
            "type": "array",
            "description": "One choice: `{index, delta: {content}}`; of a text also `text`.",
            "items": {"type": "object"},
        }
    )
    usage = fields.Nested(UsageSchema())


class EmbeddingAnswerSchema(StrictSchema):
    """Vectors, in the order of the texts."""

    embeddings = fields.Raw(metadata={"type": "array", "items": {"type": "array", "items": {"type": "number"}}})
    model = Text(metadata={"description": "The deployment's name."})
    usage = fields.Nested(UsageSchema())


def whole_answer(written: WrittenText) -> dict[str, Any]:
    """Return a whole answer as it is sent."""
    choice: dict[str, Any] = {"index": 0}
    if written.is_chat:
        choice["message"] = {"role": "assistant", "content": written.text}
    else:
        choice["text"] = written.text
    choice["finish_reason"] = written.finish_reason.value
    if written.logprobs is not None:
        choice["logprobs"] = told_logprobs(written.logprobs)
    return {
        "id": str(written.id),
        "model": written.model,
        "deployment_id": str(written.deployment_id),
        "choices": [choice],
        "usage": told_usage(written.usage),
    }


def answer_chunks(answer: TextAnswer) -> Iterator[Chunk | None]:
    """Yield an answer as it is streamed: pieces of text, then one chunk with the finish reason and the usage."""
    identity = str(answer.id)
    is_chat = isinstance(answer.request, ChatRequest)
    with closing(answer.deltas()) as deltas:
        for delta in deltas:
            if delta is None:
                yield None
                continue
            if delta.text or delta.logprobs:
                yield {"id": identity, "choices": [_piece(delta, is_chat=is_chat)]}
            if delta.finish_reason is not None:
                end = {"index": 0, "delta": {}, "finish_reason": delta.finish_reason.value}
                yield {"id": identity, "choices": [end], "usage": told_usage(delta.usage)}


def embedding_answer(embedded: EmbeddedTexts) -> dict[str, Any]:
    """Return vectors as they are sent."""
    embeddings = embedded.embeddings
    return {
        "embeddings": embeddings.vectors,
        "model": embedded.model,
        "usage": told_usage(embeddings.usage),
    }


def told_usage(usage: TokenUsage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def told_logprobs(logprobs: tuple[TokenLogprob, ...]) -> dict[str, Any]:
    """Return log-probabilities in the form that OpenAI's chat has for them."""
    return {
        "content": [{**_named(one.token, one.logprob), "top_logprobs": [_named(*top) for top in one.top]} for one in logprobs]
    }


def _piece(delta: TextDelta, *, is_chat: bool) -> dict[str, Any]:
    piece: dict[str, Any] = {"index": 0, "delta": {"content": delta.text}}
    if not is_chat:
        # Those who stream a completion look for its text where a whole one has it.
        piece["text"] = delta.text
    if delta.logprobs:
        piece["logprobs"] = told_logprobs(delta.logprobs)
    return piece


def _named(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
