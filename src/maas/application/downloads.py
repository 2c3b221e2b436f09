"""What is sent when somebody downloads: the same bytes at each call, any part of them, and their digest."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some bytes, or a whole file of `size` bytes."""

    content: bytes | Path
    size: int

    @classmethod
    def of_bytes(cls, content: bytes) -> "Piece":
        return cls(content=content, size=len(content))

    @classmethod
    def of_file(cls, path: Path, size: int) -> "Piece":
        return cls(content=path, size=size)

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        if isinstance(self.content, bytes):
            yield self.content[start:stop]
            return
        with self.content.open("rb") as stream:
            stream.seek(start)
            while start < stop:
                chunk = stream.read(min(CHUNK_BYTES, stop - start))
                if not chunk:
                    raise EOFError("a stored file is shorter than it was")
                start += len(chunk)
                yield chunk


def total_size(pieces: Sequence[Piece]) -> int:
    return sum(piece.size for piece in pieces)


def chunks_of(pieces: Sequence[Piece], start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes from `start` up to `stop`."""
    at = 0
    for piece in pieces:
        if at >= stop:
            return
        if at + piece.size > start:
            yield from piece.chunks(max(start - at, 0), min(stop - at, piece.size))
        at += piece.size


def sha256_of(pieces: Sequence[Piece]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks_of(pieces, 0, total_size(pieces)):
        digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file to be sent under `file_name`. `count`, where there is one, is called once its last byte was sent."""

    file_name: str
    media_type: str
    sha256: str
    pieces: Sequence[Piece]
    count: Callable[[], None] | None = None

    @property
    def size(self) -> int:
        return total_size(self.pieces)

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        return chunks_of(self.pieces, start, stop)
