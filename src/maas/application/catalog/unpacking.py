"""Writes the members of an uploaded archive into the tree that it belongs to."""

from pathlib import Path

from maas.application.ports.archive_reader import ArchiveFormat, ArchiveMember, ArchiveReader
from maas.application.ports.file_store import Staging, WrittenFile
from maas.domain.catalog.file_names import checked_file_name, is_left_by_macos
from maas.domain.errors import AlreadyExists, TooLarge, UnsupportedFile

MOST_FILES = 2_000


class Unpacking:
    """One archive on its way into `folder` of a staging; its files together have at most `largest_bytes`."""

    def __init__(self, staging: Staging, folder: str, *, largest_bytes: int) -> None:
        self._staging = staging
        self._folder = folder
        self._largest_bytes = largest_bytes
        self._bytes = 0
        self.files: list[WrittenFile] = []
        """What was written, by names within the archive."""

    def unpack(self, reader: ArchiveReader, path: Path, archive_format: ArchiveFormat) -> None:
        """Write every member, or raise UnsupportedFile or TooLarge."""
        if reader.format_of(path) is not archive_format:
            raise UnsupportedFile("the file is not the {format} archive that its name says", format=archive_format.value[1:])
        for member in reader.members(path, archive_format):
            name = member.name.removeprefix("./")
            if not is_left_by_macos(name):
                self._write(checked_file_name(name), member)

    def _write(self, name: str, member: ArchiveMember) -> None:
        if len(self.files) >= MOST_FILES:
            raise UnsupportedFile("a model has at most {limit} files", limit=MOST_FILES)
        self._count(member.size)
        try:
            writer = self._staging.create(f"{self._folder}/{name}")
        except AlreadyExists as error:
            raise UnsupportedFile("two files are named {name}", name=name) from error
        for chunk in member.chunks:
            writer.write(chunk)
        written = writer.finish()
        self.files.append(WrittenFile(name=name, size=written.size, sha256=written.sha256))

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._largest_bytes:
            raise TooLarge("the files of the archive are larger than the {limit} bytes allowed", limit=self._largest_bytes)
