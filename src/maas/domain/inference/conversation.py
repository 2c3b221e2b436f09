"""What is said to a model and by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from maas.domain.errors import OutOfRange
from maas.domain.inference.parameters import GenerationParameters

MOST_MESSAGES = 2048
MOST_TEXTS = 2048
LONGEST_TEXT = 4_000_000


class MessageRole(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: MessageRole
    content: str


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A conversation to be answered."""

    messages: tuple[Message, ...]
    parameters: GenerationParameters


@dataclass(frozen=True, kw_only=True)
class CompletionRequest:
    """A text to be gone on with, or the tokens of one."""

    prompt: str | tuple[int, ...]
    parameters: GenerationParameters


TextRequest = ChatRequest | CompletionRequest


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, kw_only=True)
class TokenUsage:
    """Tokens read and written."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """A token with its log-probability, and the likeliest ones in its place with theirs."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class TextDelta:
    """What came new of an answer. `usage` counts from its beginning; `finish_reason` stands on the last delta alone."""

    text: str = ""
    finish_reason: FinishReason | None = None
    usage: TokenUsage
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """A vector for each text, in order."""

    vectors: Sequence[Sequence[float]]
    usage: TokenUsage


def checked_messages(messages: Sequence[Message], *, field: str = "messages") -> tuple[Message, ...]:
    """Return the messages, or raise OutOfRange: 1 to 2,048."""
    if not 1 <= len(messages) <= MOST_MESSAGES:
        raise OutOfRange("from 1 to {most} messages", field=field, most=MOST_MESSAGES)
    return tuple(messages)


def checked_texts(texts: Sequence[str], *, field: str = "texts") -> tuple[str, ...]:
    """Return the texts to embed, or raise OutOfRange: 1 to 2,048, none empty."""
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise OutOfRange("from 1 to {most} texts", field=field, most=MOST_TEXTS)
    for index, text in enumerate(texts):
        if not text:
            raise OutOfRange("there is nothing to embed in an empty text", field=f"{field}.{index}")
    return tuple(texts)
