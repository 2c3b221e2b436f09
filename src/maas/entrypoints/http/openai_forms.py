"""What OpenAI's clients send. Their fields are all taken; those without effect here are told in the descriptions."""

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, fields, post_load, validate

from maas.application.inference.asking import MOST_ANSWERS
from maas.domain.inference.conversation import Message, MessageRole
from maas.entrypoints.http.fields import Boolean, Integer, Number, Text
from maas.entrypoints.http.inference_forms import StopTexts
from maas.entrypoints.http.schemas import StrictSchema

_SEEDS = 2**63
_ROLES = {"developer": MessageRole.SYSTEM, "function": MessageRole.TOOL, **{role.value: role for role in MessageRole}}
_PARAMETERS = ("temperature", "top_p", "top_k", "stop", "presence_penalty", "frequency_penalty", "repetition_penalty")


class OpenAiForm(StrictSchema):
    """A body that may hold more than is known here."""

    class Meta:
        unknown = EXCLUDE


class MessageText(fields.Field[str]):
    """Text, or a list of parts that are all text."""

    default_error_messages = {"text": "a text, or a list of parts of type text"}
    _text = Text()

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if isinstance(value, str):
            return str(self._text.deserialize(value))
        if not isinstance(value, list):
            raise self.make_error("text")
        return "".join(self._part(part) for part in value)

    def _part(self, part: Any) -> str:
        if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise self.make_error("text")
        return str(self._text.deserialize(part["text"]))


class Prompts(fields.Field[tuple[str | tuple[int, ...], ...]]):
    """One text, a list of texts, one list of tokens, or a list of such lists."""

    default_error_messages = {"form": "a text, a list of texts, or tokens"}
    _text = Text()

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> tuple[str | tuple[int, ...], ...]:
        entries = [value] if isinstance(value, str) or _are_tokens(value) else value
        if not isinstance(entries, list) or not entries:
            raise self.make_error("form")
        return tuple(self._entry(entry) for entry in entries)

    def _entry(self, entry: Any) -> str | tuple[int, ...]:
        if isinstance(entry, str):
            return str(self._text.deserialize(entry))
        if not _are_tokens(entry):
            raise self.make_error("form")
        return tuple(entry)


class OpenAiMessage(OpenAiForm):
    """One turn."""

    role = Text(required=True, validate=validate.OneOf(_ROLES))
    content = MessageText(load_default=None, allow_none=True, metadata={"description": "Null, as beside tool calls, is empty."})

    @post_load
    def _make_message(self, data: dict[str, Any], **_kwargs: object) -> Message:
        return Message(role=_ROLES[data["role"]], content=data["content"] or "")


class StreamOptions(OpenAiForm):
    """`include_usage` adds a last chunk without choices and with the usage."""

    include_usage = Boolean(load_default=False, allow_none=True)


class _TextForm(OpenAiForm):
    model = Text(required=True, metadata={"description": "A deployment's name or id."})
    max_tokens = Integer(allow_none=True)
    temperature = Number(allow_none=True)
    top_p = Number(allow_none=True)
    top_k = Integer(allow_none=True)
    seed = Integer(allow_none=True)
    stop = StopTexts(allow_none=True)
    presence_penalty = Number(allow_none=True)
    frequency_penalty = Number(allow_none=True)
    repetition_penalty = Number(allow_none=True)
    n = Integer(load_default=1, allow_none=True, validate=validate.Range(1, MOST_ANSWERS))
    stream = Boolean(load_default=False, allow_none=True)
    stream_options = fields.Nested(StreamOptions(), load_default=None, allow_none=True)

    @post_load
    def _sort_out(self, data: dict[str, Any], **_kwargs: object) -> dict[str, Any]:
        parameters = {**{name: data.pop(name, None) for name in _PARAMETERS}, **self._logprobs(data)}
        wanted = [data.pop(name, None) for name in ("max_completion_tokens", "max_tokens")]
        parameters["max_tokens"] = next((count for count in wanted if count is not None), None)
        parameters["stream"] = bool(data.pop("stream"))
        seed = data.pop("seed", None)
        if seed is not None:
            parameters["seed"] = seed % _SEEDS
        options = data.pop("stream_options") or {}
        return {**data, "n": data["n"] or 1, "parameters": parameters, "include_usage": bool(options.get("include_usage"))}

    def _logprobs(self, data: dict[str, Any]) -> dict[str, Any]:
        return {name: data.pop(name, None) for name in ("logprobs", "top_logprobs")}


class ChatCompletionForm(_TextForm):
    """A conversation to be answered."""

    messages = fields.List(fields.Nested(OpenAiMessage()), required=True)
    max_completion_tokens = Integer(allow_none=True, metadata={"description": "Goes before `max_tokens`."})
    logprobs = Boolean(allow_none=True)
    top_logprobs = Integer(allow_none=True)


class TextCompletionForm(_TextForm):
    """Texts to be gone on with."""

    prompt = Prompts(required=True, validate=validate.Length(1, MOST_ANSWERS))
    logprobs = Integer(allow_none=True, metadata={"description": "So many of the likeliest tokens, 0 to 20."})

    def _logprobs(self, data: dict[str, Any]) -> dict[str, Any]:
        count = data.pop("logprobs", None)
        return {"logprobs": count is not None, "top_logprobs": count}


class EmbeddingsForm(OpenAiForm):
    """Texts to be embedded."""

    model = Text(required=True, metadata={"description": "A deployment's name or id."})
    input = Prompts(required=True)
    encoding_format = Text(load_default="float", allow_none=True, validate=validate.OneOf(["float", "base64"]))
    dimensions = Integer(allow_none=True, validate=validate.Range(min=1))


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(entry) is int and 0 <= entry < 2**31 for entry in value)
