"""Reads jsonl, json, csv and parquet files row by row."""

import codecs
import csv
import re
from collections.abc import Callable, Iterator
from json import JSONDecodeError
from pathlib import Path
from typing import BinaryIO

from maas.adapters.dataset_reader.text import LONGEST_ROW, StrictJson, lines_of, open_text, skip_mark
from maas.application.ports.dataset_reader import DatasetReader, Record
from maas.domain.datasets.dataset import DatasetFormat
from maas.domain.datasets.rows import BadRow
from maas.domain.errors import MissingValue, UnsupportedFile

_CHUNK = 4 * 1024 * 1024
_LONGEST_TOKEN = 16
_BLANK = re.compile(r"[ \t\n\r]*")
_JSON_COLUMNS = frozenset({"messages", "conversations", "conversation", "history"})
_MESSAGE_COLUMNS = frozenset({"prompt", "chosen", "rejected"})


class FileDatasetReader(DatasetReader):
    """Reads files of this machine, a row at a time."""

    def __init__(self, parquet: Callable[[Path], Iterator[Record]]) -> None:
        """`parquet` reads parquet files, which needs more than the standard library."""
        self._parquet = parquet

    def records(self, path: Path, dataset_format: DatasetFormat) -> Iterator[Record]:
        if dataset_format is DatasetFormat.PARQUET:
            yield from self._parquet(path)
            return
        read = _READERS[dataset_format]
        with open_text(path) as stream:
            yield from read(stream)


def _read_jsonl(stream: BinaryIO) -> Iterator[Record]:
    json = StrictJson()
    for line, text in lines_of(stream):
        if isinstance(text, BadRow):
            yield Record(line=line, problem=text)
        elif stripped := text.strip(" \t\r\n"):
            yield _json_record(json, stripped, line)


def _json_record(json: StrictJson, text: str, line: int) -> Record:
    try:
        value, end, problem = json.read(text)
    except BadRow as bad:
        return Record(line=line, problem=bad)
    except ValueError:
        return Record(line=line, problem=BadRow("the row is not JSON"))
    if end != len(text):
        problem = BadRow("the row is not JSON")
    return Record(line=line, value=value, problem=problem)


def _read_json(stream: BinaryIO) -> Iterator[Record]:
    """Read an array element by element; after one that is not JSON nobody can tell where the next begins."""
    skip_mark(stream)
    text, json, number = _SlidingText(stream), StrictJson(), 0
    if text.take() != "[":
        raise UnsupportedFile("the file is not a JSON array of rows", field="file")
    sign = text.take() if text.peek() == "]" else ","
    while sign == ",":
        number += 1
        record = _element(json, text, number)
        yield record
        if text.lost:
            return
        sign = text.take()
    if sign != "]":
        yield Record(line=number + 1, problem=BadRow("the file is not JSON from here on, or is cut off"))
    elif text.peek():
        yield Record(line=number + 1, problem=BadRow("the file goes on after the end of its array"))


def _element(json: StrictJson, text: "_SlidingText", number: int) -> Record:
    """Read the element that comes next, widening the window while it may only be cut off there."""
    text.peek()
    while len(text.window) - text.at <= LONGEST_ROW:
        try:
            value, end, problem = json.read(text.window, text.at)
        except BadRow as bad:
            text.lost = True
            return Record(line=number, problem=bad)
        except ValueError as error:
            if text.ended or not _may_be_cut_off(error, text.window):
                text.lost = True
                return Record(line=number, problem=BadRow("the row is not JSON, or the file is cut off in it"))
        else:
            if end < len(text.window) or text.ended:
                text.at = end
                return Record(line=number, value=value, problem=problem)
        text.widen()
    text.lost = True
    return Record(line=number, problem=BadRow("the row is longer than {limit} bytes", limit=LONGEST_ROW))


def _may_be_cut_off(error: ValueError, window: str) -> bool:
    """Tell whether a reader that saw more might have found no error."""
    if not isinstance(error, JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated string") or error.pos > len(window) - _LONGEST_TOKEN


class _SlidingText:
    """A window on UTF-8 text: `at` is the position in `window`, `ended` tells that nothing follows the window, and `lost`
    that reading cannot go on."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.window = ""
        self.at = 0
        self.ended = False
        self.lost = False

    def peek(self) -> str:
        """Return the next character that is not blank, or nothing at the end."""
        while True:
            blank = _BLANK.match(self.window, self.at)
            self.at = blank.end() if blank else self.at
            if self.at < len(self.window) or self.ended:
                return self.window[self.at : self.at + 1]
            self.widen()

    def take(self) -> str:
        sign = self.peek()
        self.at += len(sign)
        return sign

    def widen(self) -> None:
        """Drop what lies behind, and read as much again as there is, at least one chunk."""
        kept = self.window[self.at :]
        data = self._stream.read(max(_CHUNK, len(kept)))
        try:
            self.window = kept + self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise UnsupportedFile("the text is not UTF-8; convert the file to UTF-8", field="file") from error
        self.at = 0
        self.ended = not data


def _read_csv(stream: BinaryIO) -> Iterator[Record]:
    lines = _CsvLines(stream)
    csv.field_size_limit(LONGEST_ROW)
    reader = csv.reader(lines, strict=True)
    columns = _csv_header(reader)
    json = StrictJson()
    while True:
        line = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _LineUnreadable) as error:
            problem = error.problem if isinstance(error, _LineUnreadable) else BadRow("the row is not CSV")
            yield Record(line=line, problem=problem)
            return
        if cells:
            yield _csv_record(json, columns, cells, line)


class _LineUnreadable(Exception):
    def __init__(self, problem: BadRow) -> None:
        super().__init__(problem.template)
        self.problem = problem


class _CsvLines:
    """The lines of a file for `csv.reader`, counted; one that cannot be read raises."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = lines_of(stream)
        self.number = 0

    def __iter__(self) -> "_CsvLines":
        return self

    def __next__(self) -> str:
        self.number, text = next(self._lines)
        if isinstance(text, BadRow):
            raise _LineUnreadable(text)
        return text


def _csv_header(reader: "Iterator[list[str]]") -> list[str]:
    try:
        columns = next(reader)
    except StopIteration:
        raise MissingValue("the file holds no rows", field="file") from None
    except (csv.Error, _LineUnreadable) as error:
        raise UnsupportedFile("the file is not CSV in UTF-8", field="file") from error
    columns = [column.strip() for column in columns]
    if not all(columns) or len(set(columns)) != len(columns):
        raise UnsupportedFile("the first line must name each column once", field="file")
    return columns


def _csv_record(json: StrictJson, columns: list[str], cells: list[str], line: int) -> Record:
    if len(cells) != len(columns):
        problem = BadRow("the row has {found} cells and the header {expected}", found=len(cells), expected=len(columns))
        return Record(line=line, problem=problem)
    cells_by_column = zip(columns, cells, strict=True)
    return Record(line=line, value={column: _cell_value(json, column, cell) for column, cell in cells_by_column})


def _cell_value(json: StrictJson, column: str, cell: str) -> object:
    """Return the text of a cell, or the messages that it holds as JSON; a prompt may well begin with a bracket and be text."""
    if cell.lstrip()[:1] not in ("[", "{") or column not in _JSON_COLUMNS | _MESSAGE_COLUMNS:
        return cell
    record = _json_record(json, cell.strip(), 0)
    if record.problem is not None or (column in _MESSAGE_COLUMNS and not _are_messages(record.value)):
        return cell
    return record.value


def _are_messages(value: object) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and ("role" in first or "from" in first)


_READERS: dict[DatasetFormat, Callable[[BinaryIO], Iterator[Record]]] = {
    DatasetFormat.JSONL: _read_jsonl,
    DatasetFormat.JSON: _read_json,
    DatasetFormat.CSV: _read_csv,
}
