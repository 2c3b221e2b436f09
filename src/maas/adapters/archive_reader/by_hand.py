"""Reads zip and tar archives with our own checks."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from maas.adapters.archive_reader.tar import tar_members
from maas.adapters.archive_reader.zip import zip_members
from maas.application.ports.archive_reader import ArchiveFormat, ArchiveMember, ArchiveReader
from maas.domain.errors import UnsupportedFile

_USTAR_AT = 257


class HandArchiveReader(ArchiveReader):
    """Trusts neither names, sizes nor structure of an archive."""

    def format_of(self, path: Path) -> ArchiveFormat | None:
        with path.open("rb") as stream:
            head = stream.read(512)
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            return ArchiveFormat.ZIP
        if head[:2] == b"\x1f\x8b":
            return ArchiveFormat.TAR_GZ
        if head[_USTAR_AT : _USTAR_AT + 5] == b"ustar":
            return ArchiveFormat.TAR
        return None

    def members(self, path: Path, archive_format: ArchiveFormat) -> Iterator[ArchiveMember]:
        with path.open("rb") as stream:
            if archive_format is ArchiveFormat.ZIP:
                yield from zip_members(stream)
            elif archive_format is ArchiveFormat.TAR:
                yield from tar_members(stream)
            else:
                yield from _gzipped_members(stream)


def _gzipped_members(stream: BinaryIO) -> Iterator[ArchiveMember]:
    try:
        with gzip.GzipFile(fileobj=stream, mode="rb") as unpacked:
            for member in tar_members(cast(BinaryIO, unpacked)):
                yield ArchiveMember(name=member.name, size=member.size, chunks=_guarded(member.chunks))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnsupportedFile("the archive is corrupt or cut off") from error


def _guarded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Say in our words what gzip finds wrong while the caller reads."""
    try:
        yield from chunks
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnsupportedFile("the archive is corrupt or cut off") from error
