"""Streams that can be taken up again, in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from maas.adapters.persistence.aggregates import AggregateMapping, AggregateStore
from maas.adapters.persistence.tables.kept_streams import kept_stream_chunks, kept_streams
from maas.application.ports.repositories.kept_streams import KeptStreams
from maas.domain.inference.kept_stream import KeptChunk, KeptStream

_STREAMS = AggregateMapping(kept_streams, KeptStream)
_CHUNK = kept_stream_chunks.c


class SqlKeptStreams(KeptStreams):
    """Streams in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.store = AggregateStore(connection, _STREAMS)

    def add(self, stream: KeptStream) -> None:
        self.store.add(stream)

    def get(self, stream_id: UUID, *, owner_id: UUID) -> KeptStream:
        return self.store.get(kept_streams.c.id == stream_id, kept_streams.c.owner_id == owner_id)

    def append(self, stream_id: UUID, chunks: Sequence[KeptChunk], *, at: datetime, ended: bool) -> None:
        if chunks:
            rows = [{"stream_id": stream_id, "number": chunk.number, "content": chunk.content} for chunk in chunks]
            self._connection.execute(kept_stream_chunks.insert(), rows)
        values: dict[str, Any] = {"heard_at": at, "ended_at": at} if ended else {"heard_at": at}
        self._connection.execute(kept_streams.update().where(kept_streams.c.id == stream_id).values(values))

    def chunks(self, stream_id: UUID, *, after: int) -> Sequence[KeptChunk]:
        wanted = (_CHUNK.stream_id == stream_id, _CHUNK.number > after)
        statement = select(_CHUNK.number, _CHUNK.content).where(*wanted).order_by(_CHUNK.number)
        return [KeptChunk(number=row.number, content=row.content) for row in self._connection.execute(statement)]

    def remove_before(self, at: datetime) -> int:
        return self._connection.execute(kept_streams.delete().where(kept_streams.c.heard_at < at)).rowcount
