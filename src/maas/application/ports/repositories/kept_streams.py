"""Where streams are kept that can be taken up again."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from maas.domain.inference.kept_stream import KeptChunk, KeptStream


class KeptStreams(ABC):
    """All of them. Each is its owner's alone."""

    @abstractmethod
    def add(self, stream: KeptStream) -> None: ...

    @abstractmethod
    def get(self, stream_id: UUID, *, owner_id: UUID) -> KeptStream:
        """Return a stream of an owner, or raise NotFound."""

    @abstractmethod
    def append(self, stream_id: UUID, chunks: Sequence[KeptChunk], *, at: datetime, ended: bool) -> None:
        """Keep chunks, and note that the stream is being written, or has ended."""

    @abstractmethod
    def chunks(self, stream_id: UUID, *, after: int) -> Sequence[KeptChunk]:
        """Return the chunks after a number, in order."""

    @abstractmethod
    def remove_before(self, at: datetime) -> int:
        """Remove the streams that ended, or were last written, before `at`; return how many."""
