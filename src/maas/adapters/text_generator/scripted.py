"""Text that was written beforehand, for tests: no model, no waiting."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from maas.application.cancellation import Cancellation
from maas.application.ports.text_generator import Deltas, TextGenerator
from maas.domain.errors import MaasError, OutOfRange
from maas.domain.inference.conversation import (
    ChatRequest,
    FinishReason,
    TextDelta,
    TextRequest,
    TokenLogprob,
    TokenUsage,
)

_TOKEN = re.compile(r"\s*\S+|\s+")
_WAIT_SECONDS = 0.01


def echoed(request: TextRequest) -> str:
    """Say the last message, or the prompt, again."""
    prompt = request.messages[-1].content if isinstance(request, ChatRequest) else request.prompt
    return prompt if isinstance(prompt, str) else " ".join(str(token) for token in prompt)


@dataclass(frozen=True)
class AskedText:
    """What was asked of which engine."""

    address: str
    request: TextRequest
    adapter: str | None


@dataclass
class EngineScript:
    """How one engine behaves.

    It raises `failure` after `fails_after` tokens, if there is one; it stays silent after `pauses_after` tokens until `go_on`.
    """

    failure: MaasError | None = None
    fails_after: int = 0
    pauses_after: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)


class ScriptedTextGenerator(TextGenerator):
    """Answers with what `write` makes of a request; a token is a word with the space before it."""

    def __init__(self, write: Callable[[TextRequest], str] = echoed, *, context: int = 4096) -> None:
        self.write = write
        self.context = context
        self.asked: list[AskedText] = []
        self.scripts: dict[str, EngineScript] = {}
        self.running = 0
        self._lock = threading.Lock()

    def generate(
        self, address: str, request: TextRequest, *, adapter: str | None = None, cancellation: Cancellation | None = None
    ) -> Deltas:
        cancellation = cancellation or Cancellation()
        with self._lock:
            self.asked.append(AskedText(address, request, adapter))
            self.running += 1
        try:
            yield from self._answer(self.scripts.get(address, EngineScript()), request, cancellation)
        finally:
            with self._lock:
                self.running -= 1

    def _answer(self, script: EngineScript, request: TextRequest, cancellation: Cancellation) -> Deltas:
        prompt_tokens = _prompt_tokens(request)
        if prompt_tokens >= self.context:
            raise OutOfRange(
                "the prompt of {prompt_tokens} tokens does not fit", field=_field(request), prompt_tokens=prompt_tokens
            )
        tokens, reason = self._tokens(request, room=self.context - prompt_tokens)
        last = len(tokens)
        for count, token in enumerate(tokens):
            yield from _behave(script, count, cancellation)
            if cancellation.is_cancelled:
                return
            usage = TokenUsage(prompt_tokens=prompt_tokens, completion_tokens=count + 1)
            ends = count + 1 == last
            yield TextDelta(text=token, finish_reason=reason if ends else None, usage=usage, logprobs=_logprobs(request, token))

    def _tokens(self, request: TextRequest, *, room: int) -> tuple[list[str], FinishReason]:
        text = self.write(request)
        for stop in request.parameters.stop:
            text = text.partition(stop)[0]
        tokens = _TOKEN.findall(text) or [""]
        most = min(request.parameters.max_tokens or room, room)
        return tokens[:most], FinishReason.STOP if len(tokens) <= most else FinishReason.LENGTH


def _behave(script: EngineScript, count: int, cancellation: Cancellation) -> Iterator[None]:
    if script.failure is not None and count >= script.fails_after:
        raise script.failure
    if script.pauses_after == count:
        while not cancellation.is_cancelled and not script.go_on.wait(_WAIT_SECONDS):
            yield None


def _prompt_tokens(request: TextRequest) -> int:
    if isinstance(request, ChatRequest):
        return sum(len(_TOKEN.findall(message.content)) + 1 for message in request.messages)
    return len(_TOKEN.findall(request.prompt)) if isinstance(request.prompt, str) else len(request.prompt)


def _field(request: TextRequest) -> str:
    return "messages" if isinstance(request, ChatRequest) else "prompt"


def _logprobs(request: TextRequest, token: str) -> tuple[TokenLogprob, ...]:
    if not request.parameters.logprobs:
        return ()
    top = ((token, 0.0),) if request.parameters.top_logprobs else ()
    return (TokenLogprob(token=token, logprob=0.0, top=top),)
