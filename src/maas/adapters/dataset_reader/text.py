"""Text of dataset files: UTF-8 in bounded pieces, JSON read strictly."""

import json
import re
from collections.abc import Iterator
from json.decoder import JSONDecoder
from pathlib import Path
from typing import Any, BinaryIO

from maas.domain.datasets.rows import BadRow
from maas.domain.errors import UnsupportedFile

LONGEST_ROW = 16 * 1024 * 1024
_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"PAR1": "parquet"}
_SURROGATE = re.compile("[\ud800-\udfff]")


def lines_of(stream: BinaryIO) -> Iterator[tuple[int, str | BadRow]]:
    """Yield the lines of UTF-8 text, numbered from 1; one that is too long or no UTF-8 comes as a BadRow."""
    skip_mark(stream)
    number = 0
    while line := stream.readline(LONGEST_ROW + 1):
        number += 1
        if len(line) > LONGEST_ROW:
            _skip_line(stream, line)
            yield number, BadRow("the row is longer than {limit} bytes", limit=LONGEST_ROW)
            continue
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError:
            yield number, BadRow("the text is not UTF-8; convert the file to UTF-8")


def skip_mark(stream: BinaryIO) -> None:
    """Go past a byte-order mark of UTF-8; raise UnsupportedFile where the file is plainly something else."""
    head = stream.read(4)
    for mark, name in _OTHER_MARKS.items():
        if head.startswith(mark):
            raise UnsupportedFile("the file is {found}, not UTF-8 text", field="file", found=name)
    stream.seek(len(_UTF8_MARK) if head.startswith(_UTF8_MARK) else 0)


def _skip_line(stream: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(LONGEST_ROW)


class StrictJson:
    """Reads JSON values one by one. NaN, infinities, repeated keys and lone surrogates make a value bad without stopping
    the reader, which goes on behind it."""

    def __init__(self) -> None:
        self._problem: BadRow | None = None
        decoder = JSONDecoder(object_pairs_hook=self._object, parse_constant=self._constant, parse_float=self._float)
        self._raw_decode = decoder.raw_decode

    def read(self, text: str, at: int = 0) -> tuple[Any, int, BadRow | None]:
        """Return the value at `at`, where it ends, and what is wrong with it. Raises ValueError where none can be read."""
        self._problem = None
        try:
            value, end = self._raw_decode(text, at)
            half = text.find("\\u", at, end) >= 0 and _has_surrogate(value)
        except RecursionError:
            raise BadRow("the row is nested too deeply") from None
        if half:
            self._problem = BadRow("the row has half a surrogate pair, which is no character")
        return value, end, self._problem

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            self._problem = BadRow("the row names a column twice")
        return value

    def _constant(self, name: str) -> None:
        self._problem = BadRow("{name} is no JSON value", name=name)

    def _float(self, text: str) -> float:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            self._problem = BadRow("a number is out of range")
        return value


def _has_surrogate(value: object) -> bool:
    """Tell whether a text has a lone surrogate; pairs were joined by the decoder."""
    return _SURROGATE.search(json.dumps(value, ensure_ascii=False)) is not None


def open_text(path: Path) -> BinaryIO:
    return path.open("rb", buffering=1024 * 1024)
