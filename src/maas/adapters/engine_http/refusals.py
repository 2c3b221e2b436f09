"""What an engine's errors become: ours, TGI's, TEI's and vLLM's say theirs in different words."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import orjson

from maas.adapters.engine_http.answer_reader import Head
from maas.domain.errors import (
    InferenceFailed,
    InferenceTimeout,
    InferenceUnavailable,
    MaasError,
    ModelUnsuitable,
    OutOfRange,
    WrongForm,
)

log = logging.getLogger(__name__)

_LONGEST_REASON = 500
_BUSY = frozenset({429, 503})
_LATE = frozenset({408, 504})
_WRONG = frozenset({400, 404, 405, 413, 422})
# Ours and TGI's; vLLM's.
_TOO_LONG = (
    re.compile(r"must be <= (?P<context>\d+)\. Given: (?:at least )?(?P<prompt>\d+) `inputs` tokens"),
    re.compile(
        r"maximum context length is (?P<context>\d+) tokens.*?(?P<prompt>\d+) (?:tokens )?(?:in|from) the (?:messages|input|prompt)",
        re.S,
    ),
)
_MUST_HAVE_AT_MOST = re.compile(r"must have (?:at most|less than) (?P<context>\d+) tokens")
_NO_CHAT = re.compile(r"no chat template|template not found|does not (?:have|support) a?\s*chat", re.I)
_NO_ADAPTER = re.compile(r"there is no adapter|no adapter|unknown adapter|lora .*not found", re.I)


class PromptTooLong(OutOfRange):
    """A prompt does not fit, alone or with the tokens that were to follow it."""

    def __init__(self, *, prompt_tokens: int, context: int, field: str) -> None:
        super().__init__(
            "the prompt of {prompt_tokens} tokens does not fit the model's context of {context}",
            field=field,
            prompt_tokens=prompt_tokens,
            context=context,
        )
        self.room = context - prompt_tokens


def refusal(head: Head, body: bytes, *, field: str) -> MaasError:
    """Return our error for an answer other than 200; `field` names the part of the input that the engine read."""
    reason = _reason(body)
    if head.status in _BUSY:
        return _busy(head.headers.get("retry-after"))
    if head.status in _LATE:
        return InferenceTimeout("the engine took too long to answer")
    if head.status in _WRONG:
        return _wrong(reason, field)
    return _failed(reason, head.status)


def failure_within(event: Mapping[str, Any], *, field: str) -> MaasError:
    """Return our error for one that a stream holds."""
    kind, reason = _kind(event), _sentence(event)
    if kind == "overloaded":
        return _busy(None)
    return _wrong(reason, field) if kind == "validation" else _failed(reason, None)


def _busy(retry_after: str | None) -> MaasError:
    seconds = int(retry_after) if retry_after is not None and retry_after.isdigit() else 2
    return InferenceUnavailable(
        "the deployment is busy; try again in {retry_after} seconds", retry_after_seconds=seconds, retry_after=seconds
    )


def _wrong(reason: str, field: str) -> MaasError:
    for pattern in _TOO_LONG:
        found = pattern.search(reason)
        if found:
            return PromptTooLong(prompt_tokens=int(found["prompt"]), context=int(found["context"]), field=field)
    found = _MUST_HAVE_AT_MOST.search(reason)
    if found:
        return OutOfRange("a text is longer than the model's {context} tokens", field=field, context=int(found["context"]))
    if _NO_CHAT.search(reason):
        return ModelUnsuitable("this model cannot chat: it has no chat template")
    if _NO_ADAPTER.search(reason):
        # Rows are ahead of the engine, which is about to load it.
        return _busy(None)
    return WrongForm("the model does not take this: {reason}", field=field, reason=reason[:_LONGEST_REASON])


def _failed(reason: str, status: int | None) -> MaasError:
    log.warning("an engine failed to answer (status %s): %s", status, reason[:_LONGEST_REASON])
    return InferenceFailed("the engine failed to answer")


def _reason(body: bytes) -> str:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:_LONGEST_REASON].decode("utf-8", "replace")
    return _sentence(value) if isinstance(value, Mapping) else str(value)


def _sentence(value: Mapping[str, Any]) -> str:
    error = value.get("error") or value.get("message") or value.get("detail") or ""
    return str(error.get("message", "")) if isinstance(error, Mapping) else str(error)


def _kind(value: Mapping[str, Any]) -> str:
    error = value.get("error")
    return str(value.get("error_type") or (error.get("type", "") if isinstance(error, Mapping) else ""))
