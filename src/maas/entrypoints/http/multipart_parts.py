"""Takes a multipart body apart while it arrives: text into memory, files into their writers."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from maas.application.ports.file_store import FileWriter
from maas.application.ports.incoming_form import IncomingFile, ReceivedFile
from maas.domain.errors import Invalid, Malformed, Problem, TooLarge
from maas.entrypoints.http.body import BodyStream

MOST_PARTS = 1_000
LARGEST_TEXT_BYTES = 1024 * 1024
_LONGEST_NAME = 200


class _Sink(ABC):
    """Where the bytes of a part go."""

    @abstractmethod
    def write(self, data: memoryview) -> None: ...

    @abstractmethod
    def end(self) -> None: ...


class Reception:
    """Receives one body. After `read`, `texts` and `received` hold what came, and `problems` what should not have."""

    def __init__(
        self,
        *,
        boundary: str,
        texts: frozenset[str],
        files: frozenset[str],
        repeated: frozenset[str],
        largest_bytes: int | None,
        create: Callable[[IncomingFile], FileWriter],
        before_files: Callable[[Mapping[str, bytes], Sequence[Problem]], None],
    ) -> None:
        self.texts: dict[str, bytes] = {}
        self.received: list[ReceivedFile] = []
        self.problems: list[Problem] = []
        self._known_texts, self._known_files, self._repeated = texts, files, repeated
        self._left_bytes = largest_bytes
        self._create = create
        self._before_files = before_files
        self._largest_bytes = largest_bytes
        self._parts = 0
        self._seen: set[str] = set()
        self._files_begun = False
        self._header_name, self._header_value = bytearray(), bytearray()
        self._headers: dict[str, bytes] = {}
        self._sink: _Sink = _Nowhere()
        self._ended = False
        self._parser = self._make_parser(boundary)

    def _make_parser(self, boundary: str) -> MultipartParser:
        if not boundary:
            _refuse_form()
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open_part,
                    "on_part_data": lambda data, start, end: self._sink.write(memoryview(data)[start:end]),
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except (FormParserError, UnicodeEncodeError):
            _refuse_form()

    def read(self, stream: BodyStream) -> None:
        """Read the body to its end."""
        try:
            for chunk in stream:
                self._parser.write(chunk)
        except FormParserError:
            _refuse_form()
        if not self._ended:
            _refuse_form()

    def _end(self) -> None:
        self._ended = True

    def _end_part(self) -> None:
        self._sink.end()

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise TooLarge("a form has at most {limit} parts", limit=MOST_PARTS)
        self._headers = {}

    def _end_header(self) -> None:
        self._headers[self._header_name.decode("latin-1").lower()] = bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()

    def _open_part(self) -> None:
        name, file_name = self._names()
        self._sink = self._sink_for(name, file_name)

    def _names(self) -> tuple[str, str | None]:
        """Return the field of a part, and the name of its file where it is one."""
        kind, options = parse_options_header(self._headers.get("content-disposition", b"").decode("latin-1"))
        if kind != b"form-data" or b"name" not in options:
            _refuse_form()
        encoding = self._headers.get("content-transfer-encoding", b"binary").strip().lower()
        if encoding not in (b"binary", b"8bit", b"7bit"):
            _refuse_form()
        try:
            name = options[b"name"].decode("utf-8")
            return name, options[b"filename"].decode("utf-8") if b"filename" in options else None
        except UnicodeDecodeError:
            _refuse_form()

    def _sink_for(self, name: str, file_name: str | None) -> _Sink:
        problem = self._problem_of(name, file_name)
        self._seen.add(name)
        if problem is not None:
            self.problems.append(Problem(field=name[:_LONGEST_NAME], template=problem))
            if file_name is not None:
                # Whatever else may be wrong: no file is read that is not wanted.
                raise Invalid("the input is not valid", problems=self.problems)
            return _Nowhere()
        if name in self._known_texts:
            return _Text(name, self.texts)
        if not file_name:
            return _Nowhere()  # What a browser sends where no file was chosen.
        return self._file_sink(IncomingFile(field=name, file_name=file_name))

    def _problem_of(self, name: str, file_name: str | None) -> str | None:
        if name not in self._known_texts and name not in self._known_files:
            return "Unknown field."
        if name in self._seen and name not in self._repeated:
            return "give this field once"
        if name in self._known_files and file_name is None:
            return "this must be a file"
        return None

    def _file_sink(self, file: IncomingFile) -> _Sink:
        if not self._files_begun:
            self._files_begun = True
            self._before_files(self.texts, self.problems)
        return _File(self._create(file), file, self)

    def count(self, size: int) -> None:
        """Count bytes of files, or raise TooLarge."""
        if self._left_bytes is not None:
            self._left_bytes -= size
            if self._left_bytes < 0:
                raise TooLarge("the files are larger than the {limit} bytes allowed", limit=self._largest_bytes)


class PartDigests(Reception):
    """Reads a body only to tell it from another: `parts` are the names, file names and SHA-256 of what came."""

    def __init__(self, boundary: str) -> None:
        self.parts: list[tuple[str, str | None, str]] = []
        nothing: frozenset[str] = frozenset()
        super().__init__(
            boundary=boundary,
            texts=nothing,
            files=nothing,
            repeated=nothing,
            largest_bytes=None,
            create=_create_nothing,
            before_files=lambda _texts, _problems: None,
        )

    def _sink_for(self, name: str, file_name: str | None) -> _Sink:
        # A file without a name is what a browser sends where none was chosen.
        return _Nowhere() if file_name == "" else _Digest(name, file_name, self.parts)


def _create_nothing(_file: IncomingFile) -> NoReturn:
    raise AssertionError("nothing is kept of a body that is only compared")


class _Digest(_Sink):
    def __init__(self, name: str, file_name: str | None, parts: list[tuple[str, str | None, str]]) -> None:
        self._name = name
        self._file_name = file_name
        self._parts = parts
        self._hash = hashlib.sha256()

    def write(self, data: memoryview) -> None:
        self._hash.update(data)

    def end(self) -> None:
        self._parts.append((self._name, self._file_name, self._hash.hexdigest()))


class _Nowhere(_Sink):
    def write(self, data: memoryview) -> None:
        """Drop it."""

    def end(self) -> None:
        """Nothing came."""


class _Text(_Sink):
    def __init__(self, name: str, texts: dict[str, bytes]) -> None:
        self._name = name
        self._texts = texts
        self._content = bytearray()

    def write(self, data: memoryview) -> None:
        self._content += data
        if len(self._content) > LARGEST_TEXT_BYTES:
            raise TooLarge("a text part has at most {limit} bytes", field=self._name, limit=LARGEST_TEXT_BYTES)

    def end(self) -> None:
        self._texts[self._name] = bytes(self._content)


class _File(_Sink):
    def __init__(self, writer: FileWriter, file: IncomingFile, reception: Reception) -> None:
        self._writer = writer
        self._file = file
        self._reception = reception

    def write(self, data: memoryview) -> None:
        self._reception.count(len(data))
        self._writer.write(data)

    def end(self) -> None:
        written = self._writer.finish()
        received = ReceivedFile(field=self._file.field, file_name=self._file.file_name, written=written)
        self._reception.received.append(received)


def _refuse_form() -> NoReturn:
    raise Malformed("the form is not well-formed, or breaks off")
