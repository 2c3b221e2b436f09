"""Whole answers of a deployment."""

from dataclasses import dataclass
from uuid import UUID

from maas.domain.inference.conversation import Embeddings, FinishReason, TokenLogprob, TokenUsage


@dataclass(frozen=True, kw_only=True)
class WrittenText:
    """A whole answer. `logprobs` is None where they were not asked for."""

    id: UUID
    deployment_id: UUID
    model: str
    is_chat: bool
    text: str
    finish_reason: FinishReason
    usage: TokenUsage
    logprobs: tuple[TokenLogprob, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class EmbeddedTexts:
    """The vectors that a deployment has made."""

    model: str
    embeddings: Embeddings
