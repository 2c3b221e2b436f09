"""The tar archive that a version without an archive of its own is downloaded as: always the same bytes, never stored."""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maas.application.downloads import Piece

_BLOCK = 512


def packed(folder: Path, files: Sequence[Mapping[str, Any]]) -> list[Piece]:
    """Return the pieces of a tar archive (GNU's format) of `files` of `folder`, by name; times and owners are left at zero."""
    pieces = [piece for file in sorted(files, key=lambda file: file["name"]) for piece in _entry(folder, file)]
    return [*pieces, Piece.of_bytes(bytes(2 * _BLOCK))]


def _entry(folder: Path, file: Mapping[str, Any]) -> Iterator[Piece]:
    header = tarfile.TarInfo(file["name"])
    header.size = file["size"]
    header.mode = 0o644
    yield Piece.of_bytes(header.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))
    yield Piece.of_file(folder / file["name"], file["size"])
    yield Piece.of_bytes(bytes(-file["size"] % _BLOCK))
