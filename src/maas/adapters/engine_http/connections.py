"""Calls to engines over kept connections."""

import ssl
import threading
import time
from collections.abc import Generator

from maas.adapters.engine_http.answer_reader import AnswerBroken, AnswerReader, Head
from maas.adapters.engine_http.connection import Endpoint, EngineConnection, endpoint_of
from maas.application.cancellation import Cancellation
from maas.domain.errors import EngineLost, InferenceTimeout, InferenceUnavailable

# Below the time after which an engine ends an idle connection: uvicorn's, vLLM's server, does after 5 s.
_IDLE_SECONDS = 4.0
_MOST_IDLE = 64

Pieces = Generator[Head | bytes | None, None, None]
"""The head of an answer, then parts of its body; None after each second of silence."""


class _NothingCame(Exception):
    """A kept connection turned out to be closed: the engine has not seen the call."""


class EngineConnections:
    """Keeps connections to any number of engines; shared by all threads of a process.

    `patience_seconds` bounds the silence of an engine, before its first word and between any two.
    """

    def __init__(self, *, patience_seconds: float = 120.0, api_key: str | None = None) -> None:
        self._patience_seconds = patience_seconds
        self._authorization = None if api_key is None else f"Bearer {api_key}"
        self._idle: dict[Endpoint, list[tuple[EngineConnection, float]]] = {}
        self._lock = threading.Lock()
        self._next_look = 0.0
        self._tls: ssl.SSLContext | None = None

    def post(self, address: str, path: str, content: bytes, *, cancellation: Cancellation) -> Pieces:
        """Yield the answer to a POST of JSON. It just ends, wherever it was, once it is cancelled.

        Raises InferenceUnavailable, EngineLost or InferenceTimeout.
        """
        endpoint = endpoint_of(address)
        call = endpoint.call(path, content, authorization=self._authorization)
        kept = self._kept(endpoint)
        if kept is not None:
            try:
                return (yield from self._talk(endpoint, kept, call, cancellation, is_kept=True))
            except _NothingCame:
                pass
        yield from self._talk(endpoint, self._open(endpoint), call, cancellation)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection, _ in connections:
                connection.close()

    def _talk(
        self, endpoint: Endpoint, connection: EngineConnection, call: bytes, cancellation: Cancellation, *, is_kept: bool = False
    ) -> Pieces:
        reader = AnswerReader()
        try:
            with cancellation.telling(connection.shut):
                connection.send(call)
                yield from self._pieces(connection, reader)
        except (OSError, AnswerBroken) as error:
            if cancellation.is_cancelled:
                return
            if is_kept and not reader.has_begun:
                raise _NothingCame from error
            raise EngineLost("the engine went away while it answered") from error
        finally:
            if reader.is_complete and reader.keeps_alive and not cancellation.is_cancelled:
                self._keep(endpoint, connection)
            else:
                connection.close()

    def _pieces(self, connection: EngineConnection, reader: AnswerReader) -> Pieces:
        heard_at = time.monotonic()
        while not reader.is_complete:
            data = connection.receive()
            if data is None:
                if time.monotonic() - heard_at > self._patience_seconds:
                    raise InferenceTimeout("the engine took too long to answer")
                yield None
                continue
            has_head = reader.head is not None
            part = reader.feed(data)
            if not has_head and reader.head is not None:
                yield reader.head
            if part:
                yield part
            heard_at = time.monotonic()

    def _open(self, endpoint: Endpoint) -> EngineConnection:
        try:
            return EngineConnection(endpoint, self._tls_context() if endpoint.is_tls else None)
        except OSError as error:
            raise InferenceUnavailable("no engine of the deployment can be reached; try again in a moment") from error

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _kept(self, endpoint: Endpoint) -> EngineConnection | None:
        """Take the connection that was used last."""
        with self._lock:
            late = self._take_late()
            idle = self._idle.get(endpoint)
            connection = idle.pop()[0] if idle else None
        for old in late:
            old.close()
        if connection is not None and connection.has_ended():
            connection.close()
            return None
        return connection

    def _take_late(self) -> list[EngineConnection]:
        """Take out what has been idle for long, of engines that are gone too; looked for now and then."""
        now = time.monotonic()
        if now < self._next_look:
            return []
        self._next_look = now + _IDLE_SECONDS / 2
        late = []
        for endpoint, idle in list(self._idle.items()):
            late += [connection for connection, since in idle if since < now - _IDLE_SECONDS / 2]
            self._idle[endpoint] = [entry for entry in idle if entry[1] >= now - _IDLE_SECONDS / 2]
            if not self._idle[endpoint]:
                del self._idle[endpoint]
        return late

    def _keep(self, endpoint: Endpoint, connection: EngineConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(endpoint, [])
            if len(idle) < _MOST_IDLE:
                idle.append((connection, time.monotonic()))
                return
        connection.close()
