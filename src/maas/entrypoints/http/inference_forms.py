"""What is sent to models under /api/v1."""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields, post_load

from maas.domain.inference.conversation import Message, MessageRole
from maas.entrypoints.http.fields import Boolean, Choice, Identifier, Integer, Number, Text
from maas.entrypoints.http.schemas import StrictSchema


class StopTexts(fields.Field[tuple[str, ...]]):
    """One text, or a list of texts."""

    default_error_messages = {"form": "a text, or a list of texts"}
    _text = Text()

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> tuple[str, ...]:
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in values):
            raise self.make_error("form")
        return tuple(str(self._text.deserialize(text)) for text in values)


def _said(text: str) -> dict[str, Any]:
    return {"allow_none": True, "metadata": {"description": text}}


class ParametersForm(StrictSchema):
    """How to answer. What is not given, or null, is as the deployment's `inference_config` says, else as the model likes it."""

    max_tokens = Integer(**_said("The most tokens to write: 1 to the model's context. By default all that the context leaves."))
    temperature = Number(**_said("0 to 2; 0 takes the likeliest token always."))
    top_p = Number(**_said("0 to 1: chooses among the likeliest tokens that make up this probability."))
    top_k = Integer(**_said("Chooses among so many of the likeliest tokens; 0 among all."))
    seed = Integer(**_said("The same seed gives the same choices."))
    stop = StopTexts(**_said("Up to 16 texts, at the first of which the answer ends, without it."))
    repetition_penalty = Number(**_said("0.01 to 10: over 1 makes what was there before less likely."))
    presence_penalty = Number(**_said("-2 to 2: over 0 makes tokens that were written before less likely."))
    frequency_penalty = Number(**_said("-2 to 2: the same, by how often they were written."))
    logprobs = Boolean(**_said("Whether to tell the log-probability of each token."))
    top_logprobs = Integer(**_said("0 to 20: those of so many of the likeliest tokens as well."))
    stream = Boolean(**_said("Whether to answer by server-sent events as the text is written."))


class Streamable(StrictSchema):
    """What may be answered by a stream."""

    resumable = Boolean(
        load_default=False,
        metadata={
            "description": "Whether a stream goes on without its client, and can be taken up again for ten minutes by "
            "`GET /api/v1/inference/streams/{id}`, the `id` being that of its chunks."
        },
    )


class MessageForm(StrictSchema):
    """One turn of a conversation."""

    role = Choice(MessageRole, required=True)
    content = Text(required=True)

    @post_load
    def _make_message(self, data: dict[str, Any], **_kwargs: object) -> Message:
        return Message(**data)


class ChatItem(StrictSchema):
    """A conversation to be answered."""

    messages = fields.List(fields.Nested(MessageForm()), required=True, metadata={"minItems": 1, "maxItems": 2048})
    parameters = fields.Nested(ParametersForm(), load_default=dict)


class CompletionItem(StrictSchema):
    """A text to be gone on with."""

    prompt = Text(required=True)
    parameters = fields.Nested(ParametersForm(), load_default=dict)


class EmbeddingItem(StrictSchema):
    """Texts to be embedded."""

    texts = fields.List(Text(), required=True, metadata={"minItems": 1, "maxItems": 2048})


class ChatForm(ChatItem, Streamable):
    """A conversation to be answered by a deployment."""

    deployment_id = Identifier(required=True)


class CompletionForm(CompletionItem, Streamable):
    """A text to be gone on with by a deployment."""

    deployment_id = Identifier(required=True)


class EmbeddingForm(EmbeddingItem):
    """Texts to be embedded by a deployment."""

    deployment_id = Identifier(required=True)
