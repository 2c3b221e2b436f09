"""An engine's answer, put together from its events."""

from collections.abc import Mapping, Sequence
from typing import Any

from maas.adapters.engine_http.refusals import failure_within
from maas.domain.errors import EngineLost
from maas.domain.inference.conversation import FinishReason, TextDelta, TokenLogprob, TokenUsage


class AnswerInMaking:
    """Turns events into deltas. The last one is held back until the whole usage is known."""

    def __init__(self, *, is_chat: bool) -> None:
        self.field = "messages" if is_chat else "prompt"
        self._is_chat = is_chat
        self._usage = TokenUsage()
        self._is_told = False
        self._last: tuple[str, FinishReason, tuple[TokenLogprob, ...]] | None = None

    @property
    def is_finished(self) -> bool:
        return self._last is not None

    def take(self, event: Mapping[str, Any]) -> TextDelta | None:
        """Return what an event brought; raise what it says has failed."""
        if "error" in event:
            raise failure_within(event, field=self.field)
        choices = event.get("choices")
        self._count(event.get("usage"), has_token=bool(choices))
        if not choices:
            return None
        choice = choices[0]
        text = self._text(choice)
        logprobs = self._logprobs(choice.get("logprobs"))
        reason = choice.get("finish_reason")
        if reason is not None:
            self._last = (text, FinishReason.LENGTH if reason == "length" else FinishReason.STOP, logprobs)
            return None
        return TextDelta(text=text, usage=self._usage, logprobs=logprobs)

    def last_delta(self) -> TextDelta:
        if self._last is None:
            raise EngineLost("the engine went away while it answered")
        text, reason, logprobs = self._last
        return TextDelta(text=text, finish_reason=reason, usage=self._usage, logprobs=logprobs)

    def _count(self, usage: Any, *, has_token: bool) -> None:
        if isinstance(usage, Mapping):
            self._is_told = True
            self._usage = TokenUsage(
                prompt_tokens=usage.get("prompt_tokens") or 0, completion_tokens=usage.get("completion_tokens") or 0
            )
        elif has_token and not self._is_told:
            # An engine that tells the usage at the end alone, as TGI does, sends an event for each token.
            self._usage = TokenUsage(completion_tokens=self._usage.completion_tokens + 1)

    def _text(self, choice: Mapping[str, Any]) -> str:
        if not self._is_chat:
            return choice.get("text") or ""
        return (choice.get("delta") or {}).get("content") or ""

    def _logprobs(self, value: Any) -> tuple[TokenLogprob, ...]:
        if not value:
            return ()
        return tuple(_chat_logprobs(value.get("content") or ())) if self._is_chat else tuple(_old_logprobs(value))


def _chat_logprobs(entries: Sequence[Mapping[str, Any]]) -> list[TokenLogprob]:
    return [
        TokenLogprob(
            token=entry["token"],
            logprob=entry["logprob"],
            top=tuple((top["token"], top["logprob"]) for top in entry.get("top_logprobs") or ()),
        )
        for entry in entries
    ]


def _old_logprobs(value: Mapping[str, Any]) -> list[TokenLogprob]:
    tokens, logprobs = value.get("tokens") or [], value.get("token_logprobs") or []
    tops = value.get("top_logprobs") or [{}] * len(tokens)
    return [
        TokenLogprob(token=token, logprob=logprob, top=tuple((top or {}).items()))
        for token, logprob, top in zip(tokens, logprobs, tops, strict=True)
    ]
