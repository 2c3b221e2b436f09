"""What every archive reader keeps to, and the attacks that ours withstands."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from maas.adapters.archive_reader.by_hand import HandArchiveReader
from maas.adapters.archive_reader.memory import MemoryArchiveReader
from maas.application.ports.archive_reader import ArchiveFormat, ArchiveReader, format_by_name
from maas.domain.errors import UnsupportedFile

FILES = {"model/config.json": b'{"a": 1}', "model/模型.bin": bytes(range(256)) * 9_000, "empty": b""}


def a_zip(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.mkdir("model")
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def a_tar(files: dict[str, bytes], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        folder = tarfile.TarInfo("model")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVES = {
    "zip": (ArchiveFormat.ZIP, a_zip(FILES)),
    "stored zip": (ArchiveFormat.ZIP, a_zip(FILES, zipfile.ZIP_STORED)),
    "pax tar": (ArchiveFormat.TAR, a_tar(FILES)),
    "gnu tar": (ArchiveFormat.TAR, a_tar(FILES, tarfile.GNU_FORMAT)),
    "tar.gz": (ArchiveFormat.TAR_GZ, gzip.compress(a_tar(FILES))),
}


@pytest.fixture(params=["by hand", "memory"])
def reader(request: pytest.FixtureRequest) -> ArchiveReader:
    if request.param == "by hand":
        return HandArchiveReader()
    return MemoryArchiveReader({content: (kind, FILES) for kind, content in ARCHIVES.values()})


def _read(reader: ArchiveReader, path: Path, kind: ArchiveFormat) -> dict[str, bytes]:
    return {member.name: b"".join(member.chunks) for member in reader.members(path, kind)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.mark.parametrize("name", ARCHIVES)
def test_the_files_come_out_as_they_went_in(reader: ArchiveReader, file: Path, name: str) -> None:
    kind, content = ARCHIVES[name]
    file.write_bytes(content)

    assert reader.format_of(file) is kind
    assert _read(reader, file, kind) == FILES


def test_a_file_that_is_no_archive_is_not_taken_for_one(reader: ArchiveReader, file: Path) -> None:
    file.write_bytes(b"\x00" * 600)

    assert reader.format_of(file) is None


def test_the_name_tells_the_format() -> None:
    names = ["M.ZIP", "m.tar", "m.tar.gz", "m.tgz", "m.gz", "m.bin"]

    kinds = [format_by_name(name) for name in names]

    assert kinds == [ArchiveFormat.ZIP, ArchiveFormat.TAR, ArchiveFormat.TAR_GZ, ArchiveFormat.TAR_GZ, None, None]


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_archive_is_refused(file: Path, name: str, kept: float) -> None:
    kind, content = ARCHIVES[name]
    end = content.rstrip(b"\0") if kind is ArchiveFormat.TAR else content
    file.write_bytes(content[: int(len(end) * kept)])

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, kind)


@pytest.mark.parametrize("name", ["zip", "stored zip", "tar.gz"])
def test_a_flipped_byte_is_found(file: Path, name: str) -> None:
    kind, content = ARCHIVES[name]
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :])

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, kind)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"S", b"Z"])
def test_links_and_special_files_in_a_tar_are_refused(file: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("config.json")
    info.type = kind
    info.linkname = "/etc/passwd"
    file.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, ArchiveFormat.TAR)


def test_a_link_in_a_zip_is_refused(file: Path) -> None:
    link = zipfile.ZipInfo("config.json")
    link.create_system = 3
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(link, "/etc/passwd")

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, ArchiveFormat.ZIP)


def test_members_that_overlap_are_refused(file: Path) -> None:
    content = bytearray(a_zip({"a": b"x" * 1000, "b": b"y" * 1000}, zipfile.ZIP_STORED))
    first = content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 4)
    second = content.find(b"PK\x01\x02", first + 4)
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    file.write_bytes(content)

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, ArchiveFormat.ZIP)


def test_a_member_larger_than_it_says_is_refused(file: Path) -> None:
    content = bytearray(a_zip({"a": b"x" * 100_000}))
    at = content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 4)
    content[at + 24 : at + 28] = struct.pack("<L", 10)
    file.write_bytes(content)

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, ArchiveFormat.ZIP)


def test_a_huge_extended_header_is_refused_unread(file: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type = tarfile.XHDTYPE
    info.size = 2**40
    file.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, ArchiveFormat.TAR)


@pytest.mark.parametrize("size", [b"-0000000001\0", b"+0000000001\0", b"0_000000001\0", b"0000000000x\0"])
def test_a_size_that_is_no_octal_number_is_refused(file: Path, size: bytes) -> None:
    header = bytearray(a_tar({"a": b"x"}, tarfile.USTAR_FORMAT)[:512])
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    file.write_bytes(bytes(header) + b"x" * 100_000)

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, ArchiveFormat.TAR)


def test_an_extended_header_of_endless_length_is_refused(file: Path) -> None:
    content = b"9" * 5000 + b" path=x\n"
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(content)
    file.write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512) + bytes(1024))

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, ArchiveFormat.TAR)


def test_an_archive_that_never_ends_is_refused(file: Path) -> None:
    file.write_bytes(gzip.compress(a_tar(FILES) + b"\0" * 20_000_000))

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, ArchiveFormat.TAR_GZ)


def test_an_encrypted_member_is_refused(file: Path) -> None:
    content = bytearray(a_zip({"a": b"x"}))
    at = content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 4)
    content[at + 8] |= 1
    file.write_bytes(content)

    with pytest.raises(UnsupportedFile):
        _read(HandArchiveReader(), file, ArchiveFormat.ZIP)


def test_random_damage_never_breaks_the_reader(file: Path) -> None:
    import random

    chance = random.Random(1)
    for kind, content in ARCHIVES.values():
        for _ in range(60):
            damaged = bytearray(content)
            for _ in range(chance.randint(1, 6)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            file.write_bytes(damaged)
            try:
                _read(HandArchiveReader(), file, kind)
            except UnsupportedFile:
                continue
