"""Answers in the shapes of OpenAI's API."""

import base64
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from maas.application.inference.several import SeveralAnswers
from maas.domain.errors import InferenceFailed, OutOfRange
from maas.domain.inference.answers import EmbeddedTexts
from maas.domain.inference.conversation import FinishReason, TextDelta, TokenLogprob
from maas.domain.serving.deployment import Deployment
from maas.entrypoints.http.inference_answers import told_logprobs, told_usage

Chunk = dict[str, Any]


@dataclass
class _Choice:
    """One of the answers to a call, as far as it has come."""

    texts: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    characters: int = 0
    has_begun: bool = False

    def take(self, delta: TextDelta) -> None:
        self.texts.append(delta.text)
        self.logprobs += delta.logprobs
        self.finish_reason = delta.finish_reason


class OpenAiText:
    """The answers to one call of chat completions or completions."""

    def __init__(self, answers: SeveralAnswers, *, is_chat: bool, created: int) -> None:
        first = answers.answers[0]
        self._answers = answers
        self._is_chat = is_chat
        self._asks_logprobs = first.request.parameters.logprobs
        self._identity = {
            "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{first.id.hex}",
            "created": created,
            "model": first.deployment.name,
        }

    def whole(self) -> dict[str, Any]:
        """Read all to the end, and return the object."""
        choices = [_Choice() for _ in self._answers.answers]
        with closing(self._answers.deltas()) as deltas:
            for piece in deltas:
                if piece is not None:
                    choices[piece[0]].take(piece[1])
        return {
            **self._identity,
            "object": "chat.completion" if self._is_chat else "text_completion",
            "choices": [self._whole_choice(number, choice) for number, choice in enumerate(choices)],
            "usage": told_usage(self._answers.usage),
        }

    def chunks(self, *, include_usage: bool) -> Iterator[Chunk | None]:
        """Yield the chunks of a stream."""
        kind = "chat.completion.chunk" if self._is_chat else "text_completion"
        frame: Chunk = {**self._identity, "object": kind}
        if include_usage:
            frame["usage"] = None
        choices = [_Choice() for _ in self._answers.answers]
        with closing(self._answers.deltas()) as deltas:
            for piece in deltas:
                if piece is None:
                    yield None
                else:
                    yield from ({**frame, "choices": [part]} for part in self._parts(choices[piece[0]], *piece))
        if include_usage:
            yield {**frame, "choices": [], "usage": told_usage(self._answers.usage)}

    def _parts(self, choice: _Choice, number: int, delta: TextDelta) -> Iterator[dict[str, Any]]:
        reason = None if delta.finish_reason is None else delta.finish_reason.value
        if not self._is_chat:
            if delta.text or delta.logprobs or reason:
                logprobs = self._told(delta.logprobs, choice.characters)
                choice.characters += len(delta.text)
                yield {"index": number, "text": delta.text, "logprobs": logprobs, "finish_reason": reason}
            return
        # The first piece tells the role; not before the engine has begun, so that its errors still have their status.
        role = {} if choice.has_begun else {"role": "assistant"}
        choice.has_begun = True
        if role or delta.text or delta.logprobs:
            yield _chat_piece(number, {**role, "content": delta.text}, logprobs=self._told(delta.logprobs))
        if reason is not None:
            yield _chat_piece(number, {}, finish_reason=reason)

    def _whole_choice(self, number: int, choice: _Choice) -> dict[str, Any]:
        if choice.finish_reason is None:
            raise InferenceFailed("the call was given up")
        text = "".join(choice.texts)
        content = {"message": {"role": "assistant", "content": text, "refusal": None}} if self._is_chat else {"text": text}
        logprobs = self._told(tuple(choice.logprobs))
        return {"index": number, **content, "logprobs": logprobs, "finish_reason": choice.finish_reason.value}

    def _told(self, logprobs: tuple[TokenLogprob, ...], offset: int = 0) -> dict[str, Any] | None:
        if not self._asks_logprobs:
            return None
        return told_logprobs(logprobs) if self._is_chat else _old_logprobs(logprobs, offset)


def model_object(deployment: Deployment) -> dict[str, Any]:
    """Return a deployment as a model."""
    created = int(deployment.created_at.timestamp())
    return {"id": deployment.name, "object": "model", "created": created, "owned_by": str(deployment.owner_id)}


def embedding_list(embedded: EmbeddedTexts, *, encoding_format: str | None, dimensions: int | None) -> dict[str, Any]:
    """Return vectors, as numbers or as the base64 of float32."""
    vectors = embedded.embeddings.vectors
    if dimensions is not None and any(len(vector) != dimensions for vector in vectors[:1]):
        raise OutOfRange("this model makes vectors of {dimension} numbers", field="dimensions", dimension=len(vectors[0]))
    told = [_base64(vector) for vector in vectors] if encoding_format == "base64" else vectors
    tokens = embedded.embeddings.usage.prompt_tokens
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": number, "embedding": vector} for number, vector in enumerate(told)],
        "model": embedded.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _chat_piece(
    number: int, delta: dict[str, str], *, logprobs: dict[str, Any] | None = None, finish_reason: str | None = None
) -> dict[str, Any]:
    return {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


def _old_logprobs(logprobs: tuple[TokenLogprob, ...], offset: int) -> dict[str, Any]:
    offsets = []
    for one in logprobs:
        offsets.append(offset)
        offset += len(one.token)
    return {
        "tokens": [one.token for one in logprobs],
        "token_logprobs": [one.logprob for one in logprobs],
        "top_logprobs": [dict(one.top) for one in logprobs],
        "text_offset": offsets,
    }


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(array("f", vector).tobytes()).decode()
