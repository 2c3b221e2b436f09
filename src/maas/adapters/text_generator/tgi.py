"""Text by the protocol of TGI and OpenAI, from our engine, TGI, vLLM or SGLang."""

from collections.abc import Iterator
from typing import Any

import orjson

from maas.adapters.engine_http.answer_reader import AnswerBroken, Head
from maas.adapters.engine_http.connections import EngineConnections, Pieces
from maas.adapters.engine_http.event_lines import EventLines
from maas.adapters.engine_http.refusals import PromptTooLong, refusal
from maas.adapters.text_generator.tgi_answer import AnswerInMaking
from maas.adapters.text_generator.tgi_request import call_of
from maas.application.cancellation import Cancellation
from maas.application.ports.text_generator import Deltas, TextGenerator
from maas.domain.errors import EngineLost, InferenceFailed
from maas.domain.inference.conversation import ChatRequest, TextDelta, TextRequest

_DONE = b"[DONE]"
_MOST_REFUSAL_BYTES = 64 * 1024


class TgiTextGenerator(TextGenerator):
    """Asks for a stream always, so that what a caller who leaves has used is known to the token.

    Plain HTTP rather than huggingface_hub's client: this path is that of every token, and httpx costs four times as much a
    stream, cannot tell silence, and hides the usage of a stream that breaks off. What is sent is what that client sends.
    """

    def __init__(self, engines: EngineConnections) -> None:
        self._engines = engines

    def generate(
        self, address: str, request: TextRequest, *, adapter: str | None = None, cancellation: Cancellation | None = None
    ) -> Deltas:
        cancellation = cancellation or Cancellation()
        try:
            yield from self._answer(address, request, adapter, cancellation, max_tokens=request.parameters.max_tokens)
        except PromptTooLong as error:
            # Only the tokens that were to follow have too little room: they get what there is.
            if error.room < 1:
                raise
            yield from self._answer(address, request, adapter, cancellation, max_tokens=error.room)

    def _answer(
        self, address: str, request: TextRequest, adapter: str | None, cancellation: Cancellation, *, max_tokens: int | None
    ) -> Deltas:
        path, content = call_of(request, adapter, max_tokens=max_tokens)
        answer = AnswerInMaking(is_chat=isinstance(request, ChatRequest))
        for event in _events(self._engines.post(address, path, content, cancellation=cancellation), answer.field):
            if event is None:
                yield None
                continue
            delta = _taken(answer, event)
            if delta is not None:
                yield delta
        if cancellation.is_cancelled and not answer.is_finished:
            return
        yield answer.last_delta()


def _events(pieces: Pieces, field: str) -> Iterator[dict[str, Any] | None]:
    """Yield the events of a stream; raise what the engine says instead of one."""
    head: Head | None = None
    lines, refused = EventLines(), bytearray()
    for piece in pieces:
        if piece is None:
            yield None
        elif isinstance(piece, Head):
            head = piece
        elif head is not None and head.status == 200:
            yield from (_parsed(line) for line in lines.feed(piece) if line != _DONE)
        elif len(refused) < _MOST_REFUSAL_BYTES:
            refused += piece
    if head is not None and head.status != 200:
        raise refusal(head, bytes(refused), field=field)


def _taken(answer: AnswerInMaking, event: dict[str, Any]) -> TextDelta | None:
    try:
        return answer.take(event)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InferenceFailed("the engine failed to answer") from error


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise EngineLost("the engine went away while it answered") from error
    if not isinstance(event, dict):
        raise EngineLost("the engine went away while it answered") from AnswerBroken("an event is no object")
    return event
