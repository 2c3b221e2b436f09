"""Reads tar archives by hand: ustar, GNU and pax headers, regular files only.

Python's `tarfile` reads extended headers of any size into memory and knows links, sparse files and devices; none of that
is wanted here. Format: POSIX.1-2001, pax Interchange Format.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from maas.application.ports.archive_reader import ArchiveMember
from maas.domain.errors import UnsupportedFile

_BLOCK = 512
_CHUNK = 1024 * 1024
_LARGEST_EXTENSION = 64 * 1024
_MOST_HEADERS = 60_000
_LONGEST_TAIL = 16 * 1024 * 1024
_REGULAR, _FOLDER = (b"0", b"\0", b"7"), b"5"
_PAX, _PAX_GLOBAL, _GNU_NAME = b"x", b"g", b"L"


@dataclass(frozen=True, kw_only=True)
class _Header:
    name: bytes
    size: int
    kind: bytes


def tar_members(stream: BinaryIO) -> Iterator[ArchiveMember]:
    """Yield the regular files of a tar stream, which is read once from its beginning to its end."""
    name: str | None = None
    size: int | None = None
    for _ in range(_MOST_HEADERS):
        header = _read_header(stream)
        if header is None:
            _read_tail(stream)
            return
        if header.kind in (_PAX, _PAX_GLOBAL, _GNU_NAME):
            extension = _read_extension(stream, header)
            if header.kind == _GNU_NAME:
                name = _text(extension.rstrip(b"\0"))
            elif header.kind == _PAX:
                name, size = _pax_values(extension, name, size)
            continue
        member = _member(stream, header, name or _text(header.name), header.size if size is None else size)
        name = size = None
        if member is not None:
            yield member
            _skip(stream, member)
    raise UnsupportedFile("the archive has too many entries")


def _read_header(stream: BinaryIO) -> _Header | None:
    block = _read_exactly(stream, _BLOCK)
    if not block.strip(b"\0"):
        return None
    expected = _number(block[148:156])
    if sum(block[:148]) + sum(block[156:]) + 8 * 32 != expected:
        raise UnsupportedFile("the archive is corrupt: a header's checksum is wrong")
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return _Header(name=prefix + b"/" + name if prefix else name, size=_number(block[124:136]), kind=block[156:157])


def _number(field: bytes) -> int:
    """Read an octal number, or GNU's base-256 for large ones."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip(b" ") or b"0"
    if digits.strip(b"01234567"):
        # Python's int() would take signs and underscores, too.
        raise UnsupportedFile("the archive is corrupt: a number in a header cannot be read")
    return int(digits, 8)


def _read_extension(stream: BinaryIO, header: _Header) -> bytes:
    if header.size > _LARGEST_EXTENSION:
        raise UnsupportedFile("the archive has a header that is too large")
    content = _read_exactly(stream, header.size)
    _read_exactly(stream, -header.size % _BLOCK)
    return content


def _pax_values(content: bytes, name: str | None, size: int | None) -> tuple[str | None, int | None]:
    """Read `path` and `size` from records of the form `<length> <key>=<value>\\n`."""
    while content:
        length_text, space, _ = content.partition(b" ")
        if not space or not length_text.isdigit() or len(length_text) > 6 or not 5 <= int(length_text) <= len(content):
            raise UnsupportedFile("the archive is corrupt: an extended header cannot be read")
        length = int(length_text)
        key, _, value = content[len(length_text) + 1 : length - 1].partition(b"=")
        content = content[length:]
        if key == b"path":
            name = _text(value)
        elif key == b"size":
            size = _pax_size(value)
        elif key.startswith(b"GNU.sparse"):
            raise UnsupportedFile("the archive holds a sparse file, which is not taken")
    return name, size


def _pax_size(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise UnsupportedFile("the archive is corrupt: an extended header cannot be read")
    return int(value)


def _member(stream: BinaryIO, header: _Header, name: str, size: int) -> ArchiveMember | None:
    if header.kind == _FOLDER:
        if size:
            raise UnsupportedFile("the archive is corrupt: a folder has content")
        return None
    if header.kind not in _REGULAR:
        raise UnsupportedFile("the archive holds a link or a special file: {name}", name=name)
    return ArchiveMember(name=name, size=size, chunks=_content(stream, size))


def _content(stream: BinaryIO, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            raise UnsupportedFile("the archive is cut off")
        left -= len(chunk)
        yield chunk
    _read_exactly(stream, -size % _BLOCK)


def _skip(stream: BinaryIO, member: ArchiveMember) -> None:
    """Read what the caller left of a member."""
    for _ in member.chunks:
        continue


def _read_tail(stream: BinaryIO) -> None:
    """Read what follows the end mark, so that a gzip trailer is checked; an endless tail is refused."""
    read = 0
    while chunk := stream.read(_CHUNK):
        read += len(chunk)
        if read > _LONGEST_TAIL:
            raise UnsupportedFile("the archive goes on after its end")


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size) if size else b""
    while len(content) < size:
        more = stream.read(size - len(content))
        if not more:
            raise UnsupportedFile("the archive is cut off")
        content += more
    return content


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnsupportedFile("a name in the archive is not UTF-8") from error
