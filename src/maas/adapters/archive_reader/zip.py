"""Reads zip archives by hand: stored and deflated members, ZIP64, no overlap, no tricks.

Python's `zipfile` (3.11) reads members that overlap, so that a small file claims to be a huge one. Format: APPNOTE.TXT 6.3.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from maas.application.ports.archive_reader import ArchiveMember
from maas.domain.errors import UnsupportedFile

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 65_535
_LARGEST_DIRECTORY = 16 * 1024 * 1024
_CHUNK = 1024 * 1024
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNIX = 3
_ALL32 = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class _Entry:
    name: str
    raw_name: bytes
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def zip_members(stream: BinaryIO) -> Iterator[ArchiveMember]:
    """Yield the regular files of a zip archive in the order of their bytes."""
    start, content = _read_directory(stream)
    entries = sorted(_entries(content), key=lambda entry: entry.offset)
    places = [_place(stream, entry) for entry in entries]
    ends = [place + entry.packed for place, entry in zip(places, entries, strict=True)]
    for end, following in zip(ends, [*(entry.offset for entry in entries[1:]), start], strict=False):
        if end > following:
            raise UnsupportedFile("the archive has members that overlap")
    for entry, place in zip(entries, places, strict=True):
        if not entry.name.endswith("/"):
            yield ArchiveMember(name=entry.name, size=entry.size, chunks=_content(stream, entry, place))


def _read_directory(stream: BinaryIO) -> tuple[int, bytes]:
    """Return where the central directory begins, and its bytes."""
    file_size = stream.seek(0, 2)
    tail_start = max(0, file_size - _END.size - _LONGEST_COMMENT)
    stream.seek(tail_start)
    tail = stream.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise UnsupportedFile("the archive is cut off")
    _, disk, _, _, _, size, offset, comment = _END.unpack_from(tail, found)
    end = tail_start + found
    if len(tail) - found != _END.size + comment or disk not in (0, 0xFFFF):
        raise UnsupportedFile("the archive is corrupt")
    if _ALL32 in (size, offset):
        end, size, offset = _read_end64(stream, end)
    if offset + size != end or size > _LARGEST_DIRECTORY:
        raise UnsupportedFile("the archive is corrupt, or its directory is too large")
    stream.seek(offset)
    return offset, stream.read(size)


def _read_end64(stream: BinaryIO, end: int) -> tuple[int, int, int]:
    if end < _END64_LOCATOR.size + _END64.size:
        raise UnsupportedFile("the archive is corrupt")
    stream.seek(end - _END64_LOCATOR.size)
    signature, _, offset64, _ = _END64_LOCATOR.unpack(stream.read(_END64_LOCATOR.size))
    if signature != b"PK\x06\x07" or offset64 > end - _END64_LOCATOR.size - _END64.size:
        raise UnsupportedFile("the archive is corrupt")
    stream.seek(offset64)
    fields = _END64.unpack(stream.read(_END64.size))
    if fields[0] != b"PK\x06\x06":
        raise UnsupportedFile("the archive is corrupt")
    return offset64, fields[8], fields[9]


def _entries(content: bytes) -> Iterator[_Entry]:
    at = 0
    while at < len(content):
        if len(content) - at < _ENTRY.size or content[at : at + 4] != b"PK\x01\x02":
            raise UnsupportedFile("the archive is corrupt")
        fields = _ENTRY.unpack_from(content, at)
        name_length, extra_length, comment_length = fields[10:13]
        name_at = at + _ENTRY.size
        raw_name = content[name_at : name_at + name_length]
        extra = content[name_at + name_length : name_at + name_length + extra_length]
        at = name_at + name_length + extra_length + comment_length
        yield _entry(fields, raw_name, extra)


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes) -> _Entry:
    made_by, _, flags, method = fields[1:5]
    crc, packed, size = fields[7:10]
    attributes, offset = fields[15:17]
    name = _decoded(raw_name, flags)
    if flags & _ENCRYPTED:
        raise UnsupportedFile("the archive is encrypted")
    if method not in (_STORED, _DEFLATED):
        raise UnsupportedFile("the archive is packed in a way that is not taken: use deflate or store")
    if made_by >> 8 == _UNIX and stat.S_IFMT(attributes >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsupportedFile("the archive holds a link or a special file: {name}", name=name)
    size, packed, offset = _wide(extra, size, packed, offset)
    if name.endswith("/") and size:
        raise UnsupportedFile("the archive is corrupt: a folder has content")
    if method == _STORED and packed != size:
        raise UnsupportedFile("the archive is corrupt")
    return _Entry(name=name, raw_name=raw_name, method=method, crc=crc, packed=packed, size=size, offset=offset)


def _decoded(raw_name: bytes, flags: int) -> str:
    """Decode a name: UTF-8 where it says or looks so, else the format's code page 437."""
    try:
        return raw_name.decode("utf-8")
    except UnicodeDecodeError as error:
        if flags & _UTF8:
            raise UnsupportedFile("a name in the archive is not UTF-8") from error
        return raw_name.decode("cp437")


def _wide(extra: bytes, *values: int) -> list[int]:
    """Replace values that do not fit 32 bits by those of the ZIP64 extra field."""
    wide = list(values)
    wanted = [index for index, value in enumerate(values) if value == _ALL32]
    at = 0
    while wanted and at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            if length < 8 * len(wanted) or at + 4 + length > len(extra):
                raise UnsupportedFile("the archive is corrupt")
            for index, value in zip(wanted, struct.unpack_from(f"<{len(wanted)}Q", extra, at + 4), strict=True):
                wide[index] = value
            return wide
        at += 4 + length
    return wide


def _place(stream: BinaryIO, entry: _Entry) -> int:
    """Return where a member's bytes begin; its own header must agree with the directory."""
    stream.seek(entry.offset)
    header = stream.read(_LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
        raise UnsupportedFile("the archive is corrupt")
    fields = _LOCAL.unpack(header)
    name_length, extra_length = int(fields[9]), int(fields[10])
    if stream.read(name_length) != entry.raw_name or fields[3] != entry.method:
        raise UnsupportedFile("the archive is corrupt: its two lists of members differ")
    return entry.offset + _LOCAL.size + name_length + extra_length


def _content(stream: BinaryIO, entry: _Entry, place: int) -> Iterator[bytes]:
    crc, size = 0, 0
    for chunk in _unpacked(stream, entry, place):
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        if size > entry.size:
            raise UnsupportedFile("{name} is larger than the archive says", name=entry.name)
        yield chunk
    if size != entry.size or crc != entry.crc:
        raise UnsupportedFile("{name} is damaged: its checksum does not agree", name=entry.name)


def _unpacked(stream: BinaryIO, entry: _Entry, place: int) -> Iterator[bytes]:
    stream.seek(place)
    left = entry.packed
    inflater = zlib.decompressobj(-15) if entry.method == _DEFLATED else None
    while left:
        packed = stream.read(min(left, _CHUNK))
        if not packed:
            raise UnsupportedFile("the archive is cut off")
        left -= len(packed)
        if inflater is None:
            yield packed
        else:
            yield from _inflated(inflater, packed, entry.name)
    if inflater is not None and not inflater.eof:
        raise UnsupportedFile("{name} is damaged: its packed bytes end too early", name=entry.name)


def _inflated(inflater: "zlib._Decompress", packed: bytes, name: str) -> Iterator[bytes]:
    while packed:
        try:
            chunk = inflater.decompress(packed, _CHUNK)
        except zlib.error as error:
            raise UnsupportedFile("{name} is damaged: it cannot be unpacked", name=name) from error
        packed = inflater.unconsumed_tail
        if chunk:
            yield chunk
        if inflater.eof:
            return
