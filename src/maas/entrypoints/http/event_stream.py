"""Answers that are streams of server-sent events: `data: …` chunks, then `data: [DONE]`."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from flask import Response, current_app

from maas.domain.errors import MaasError, PlatformUnavailable
from maas.entrypoints.http.client_watch import CLIENTS, connection_of
from maas.entrypoints.http.draining import Draining
from maas.entrypoints.http.envelope import error_body, openai_error
from maas.entrypoints.http.errors import as_maas_error, status_of
from maas.entrypoints.http.request import PlatformRequest, current_request
from maas.entrypoints.http.sign_in import SignIn, credential_of

log = structlog.get_logger(__name__)

STREAMING = "maas.streaming"
HEARTBEAT_SECONDS = 10.0
RECHECK_SECONDS = 3.0
_DONE = b"data: [DONE]\n\n"
_HEARTBEAT = b": still here\n\n"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, kw_only=True)
class NumberedChunk:
    """A chunk with an event id, for streams that can be taken up again."""

    id: str
    content: Any


class StreamSlots:
    """How many streams this process holds at once: each takes a thread of its pool."""

    def __init__(self, limit: int) -> None:
        self._slots = threading.BoundedSemaphore(limit)

    def take(self) -> None:
        if not self._slots.acquire(blocking=False):
            raise PlatformUnavailable("too many streams are open; try again in a moment", retry_after_seconds=2)

    def give_back(self) -> None:
        self._slots.release()


@dataclass(frozen=True, kw_only=True)
class Streaming:
    """What all streams of a process share."""

    slots: StreamSlots
    draining: Draining
    sign_in: SignIn


def event_stream(source: Iterable[Any], *, cancel: Callable[[], None] | None = None) -> Response:
    """Answer with the chunks of `source` as they come; call it as the last thing of a view.

    A chunk is anything that JSON can say, or a NumberedChunk. `source` yields None when it has been silent for a second,
    so that heartbeats, a revoked credential and the end of the process are seen to. Its first item is awaited here:
    until then an error still has its status; a later one becomes a chunk with `error`.
    `cancel` is called (by another thread, it must not block) when the client hangs up while `source` waits; a generator
    is also closed, as every stream ends, so its `finally` runs in every case.
    """
    streaming: Streaming = current_app.extensions[STREAMING]
    if streaming.draining.has_begun:
        raise PlatformUnavailable("the platform is about to restart; try again in a moment")
    streaming.slots.take()
    try:
        stream = _EventStream(source, streaming, current_request(), cancel)
    except BaseException:
        streaming.slots.give_back()
        raise
    return Response(stream, content_type="text/event-stream; charset=utf-8", headers=_HEADERS)


class _EventStream:
    """The body of such an answer. An object rather than a generator: the server closes it even where it never began."""

    def __init__(
        self, source: Iterable[Any], streaming: Streaming, request: PlatformRequest, cancel: Callable[[], None] | None
    ) -> None:
        self._source = iter(source)
        self._streaming = streaming
        self._language = request.language
        self._speaks_openai = request.speaks_openai
        self._credential = credential_of(request.headers) if request.actor is not None else None
        self._started_at = self._checked_at = time.monotonic()
        # The first silence is told at once: the server sends the head only with the first bytes.
        self._told_at = -HEARTBEAT_SECONDS
        self._events = 0
        self._outcome = "cut off"
        self._closed = False
        self._connection = connection_of(request.environ)
        self._watched = CLIENTS.begin(self._connection, cancel or _nothing)
        try:
            first = next(self._source, _END)
        except BaseException:
            CLIENTS.end(self._connection, self._watched)
            _close(self._source)
            raise
        self._parts = self._encode(first)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """End the stream, however far it came."""
        if self._closed:
            return
        self._closed = True
        try:
            self._parts.close()
            _close(self._source)
        finally:
            CLIENTS.end(self._connection, self._watched)
            self._streaming.slots.give_back()
            outcome = "client gone" if self._watched.gone and self._outcome == "cut off" else self._outcome
            seconds = round(time.monotonic() - self._started_at, 3)
            log.info("stream ended", outcome=outcome, events=self._events, seconds=seconds)

    def _encode(self, item: Any) -> Generator[bytes, None, None]:
        try:
            while item is not _END and not self._watched.gone:
                self._check()
                part = self._part(item)
                if part is not None:
                    self._told_at = time.monotonic()
                    yield part
                item = next(self._source, _END)
        except Exception as error:
            if self._watched.gone:
                return
            self._outcome = "failed"
            yield self._error_part(as_maas_error(error))
        if not self._watched.gone:
            self._outcome = "done" if self._outcome == "cut off" else self._outcome
            yield _DONE

    def _part(self, item: Any) -> bytes | None:
        if item is None:
            return _HEARTBEAT if time.monotonic() - self._told_at >= HEARTBEAT_SECONDS else None
        self._events += 1
        if isinstance(item, NumberedChunk):
            return b"id: " + item.id.encode() + b"\ndata: " + orjson.dumps(item.content) + b"\n\n"
        return b"data: " + orjson.dumps(item) + b"\n\n"

    def _check(self) -> None:
        if self._streaming.draining.is_over:
            raise PlatformUnavailable("the platform is about to restart; try again in a moment")
        now = time.monotonic()
        if self._credential is not None and now - self._checked_at >= RECHECK_SECONDS:
            self._checked_at = now
            self._streaming.sign_in.authenticate(self._credential)

    def _error_part(self, error: MaasError) -> bytes:
        if self._speaks_openai:
            return b"data: " + orjson.dumps(openai_error(error, status_of(error))) + b"\n\n"
        return b"data: " + orjson.dumps({"error": error_body(error, self._language)}) + b"\n\n"


_END = object()


def _nothing() -> None:
    """Leave a source to notice by itself."""


def _close(source: Iterator[Any]) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()
