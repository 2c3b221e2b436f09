"""Chunks of streams that can be taken up again: as they are kept, and as they are sent."""

import re
from collections.abc import Iterator
from contextlib import closing

import orjson

from maas.application.inference.answers import TextAnswer
from maas.application.inference.resumable import Chunks
from maas.domain.errors import WrongForm
from maas.entrypoints.http.envelope import error_body
from maas.entrypoints.http.errors import as_maas_error
from maas.entrypoints.http.event_stream import NumberedChunk
from maas.entrypoints.http.inference_answers import answer_chunks
from maas.entrypoints.http.request import current_request

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


def json_chunks(answer: TextAnswer) -> Iterator[str | None]:
    """Yield the chunks of an answer as JSON."""
    for chunk in answer_chunks(answer):
        yield None if chunk is None else orjson.dumps(chunk).decode()


def error_chunk(error: Exception, language: str) -> str:
    """Return the chunk that tells of an error."""
    return orjson.dumps({"error": error_body(as_maas_error(error), language)}).decode()


def numbered_chunks(chunks: Chunks) -> Iterator[NumberedChunk | None]:
    """Yield kept chunks with their numbers as event ids."""
    with closing(chunks):
        for chunk in chunks:
            yield None if chunk is None else NumberedChunk(id=str(chunk.number), content=orjson.Fragment(chunk.content))


def last_event_id() -> int:
    """Return the number of the event that the caller has seen last; 0 where it names none."""
    told = current_request().headers.get("Last-Event-ID", "0")
    if not _NUMBER.fullmatch(told):
        raise WrongForm("the id of an event is a whole number", field="Last-Event-ID")
    return int(told)
