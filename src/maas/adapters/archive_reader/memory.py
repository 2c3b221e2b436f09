"""An archive reader that knows its archives by heart."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from maas.application.ports.archive_reader import ArchiveFormat, ArchiveMember, ArchiveReader
from maas.domain.errors import UnsupportedFile


class MemoryArchiveReader(ArchiveReader):
    """Takes every file whose content is a key of `archives` for the archive named there."""

    def __init__(self, archives: Mapping[bytes, tuple[ArchiveFormat, Mapping[str, bytes]]]) -> None:
        self.archives = archives

    def format_of(self, path: Path) -> ArchiveFormat | None:
        known = self.archives.get(path.read_bytes())
        return known[0] if known else None

    def members(self, path: Path, archive_format: ArchiveFormat) -> Iterator[ArchiveMember]:
        known = self.archives.get(path.read_bytes())
        if known is None or known[0] is not archive_format:
            raise UnsupportedFile("the archive is corrupt")
        for name, content in known[1].items():
            yield ArchiveMember(name=name, size=len(content), chunks=iter([content]))
