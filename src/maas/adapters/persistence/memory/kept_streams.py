"""Streams that can be taken up again, in dictionaries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryStore, MemoryTable
from maas.application.ports.repositories.kept_streams import KeptStreams
from maas.domain.inference.kept_stream import KeptChunk, KeptStream


@dataclass(frozen=True, kw_only=True)
class StoredChunk:
    """A chunk of a stream."""

    stream_id: UUID
    chunk: KeptChunk


def kept_streams_table() -> MemoryTable[KeptStream]:
    return MemoryTable(key=lambda stream: stream.id)


def kept_stream_chunks_table() -> MemoryTable[StoredChunk]:
    return MemoryTable(key=lambda stored: (stored.stream_id, stored.chunk.number))


class MemoryKeptStreams(KeptStreams):
    """Streams in a dictionary."""

    def __init__(self, streams: MemoryTable[KeptStream], chunks: MemoryTable[StoredChunk]) -> None:
        self.store = MemoryStore(streams)
        self.chunks_store = MemoryStore(chunks)

    def add(self, stream: KeptStream) -> None:
        self.store.add(stream)

    def get(self, stream_id: UUID, *, owner_id: UUID) -> KeptStream:
        return self.store.get(lambda stream: stream.id == stream_id and stream.owner_id == owner_id)

    def append(self, stream_id: UUID, chunks: Sequence[KeptChunk], *, at: datetime, ended: bool) -> None:
        for chunk in chunks:
            self.chunks_store.add(StoredChunk(stream_id=stream_id, chunk=chunk))
        stream = self.store.get(lambda stream: stream.id == stream_id)
        stream.heard_at = at
        if ended:
            stream.ended_at = at

    def chunks(self, stream_id: UUID, *, after: int) -> Sequence[KeptChunk]:
        stored = self.chunks_store.all(lambda one: one.stream_id == stream_id and one.chunk.number > after)
        return sorted((one.chunk for one in stored), key=lambda chunk: chunk.number)

    def remove_before(self, at: datetime) -> int:
        old = self.store.all(lambda stream: stream.heard_at < at)
        for stream in old:
            self.store.remove(stream)
            for stored in self.chunks_store.all(lambda one, gone=stream.id: one.stream_id == gone):  # type: ignore[misc]
                self.chunks_store.remove(stored)
        return len(old)
