"""The port for reading archives member by member."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ArchiveFormat(StrEnum):
    """The archives that are taken; the value ends a file's name."""

    ZIP = ".zip"
    TAR = ".tar"
    TAR_GZ = ".tar.gz"


@dataclass(frozen=True, kw_only=True)
class ArchiveMember:
    """One regular file of an archive. `chunks` must be read before the next member is asked for."""

    name: str
    size: int
    chunks: Iterator[bytes]


class ArchiveReader(ABC):
    """Reads archives that strangers made."""

    @abstractmethod
    def format_of(self, path: Path) -> ArchiveFormat | None:
        """Tell an archive by its content, or None. A `.tar.gz` is told by its gzip header alone."""

    @abstractmethod
    def members(self, path: Path, archive_format: ArchiveFormat) -> Iterator[ArchiveMember]:
        """Yield the regular files, folders left out, names as they stand in the archive.

        Raises UnsupportedFile for an archive that is corrupt, cut off, encrypted, or holds links, devices or overlapping
        members, as soon as that is seen. Names and sizes are for the caller to judge.
        """


def format_by_name(file_name: str) -> ArchiveFormat | None:
    """Tell an archive by the end of its name, or None."""
    lowered = file_name.lower()
    if lowered.endswith(".tgz"):
        return ArchiveFormat.TAR_GZ
    return next((archive_format for archive_format in ArchiveFormat if lowered.endswith(archive_format.value)), None)
