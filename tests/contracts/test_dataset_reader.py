"""What every dataset reader keeps to, and how files of each format are read."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maas.adapters.dataset_reader.files import FileDatasetReader
from maas.adapters.dataset_reader.memory import MemoryDatasetReader
from maas.adapters.dataset_reader.parquet import parquet_records
from maas.application.datasets.examination import examine
from maas.application.ports.dataset_reader import DatasetReader
from maas.domain.datasets.dataset import DatasetFormat
from maas.domain.datasets.rows import BadRow, DatasetType
from maas.domain.errors import Invalid, MaasError, MissingValue, UnsupportedFile

ROWS: list[dict[str, Any]] = [
    {"prompt": '你好，\n"世界"', "completion": "Hi, there"},
    {"prompt": "2", "completion": "[1, 2]"},
]


def _jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _json(rows: list[Any]) -> bytes:
    return json.dumps(rows, indent=1).encode()


def _csv(rows: list[Any]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode("utf-8-sig")


def _parquet(rows: list[Any]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


WRITERS: dict[DatasetFormat, Callable[[list[Any]], bytes]] = {
    DatasetFormat.JSONL: _jsonl,
    DatasetFormat.JSON: _json,
    DatasetFormat.CSV: _csv,
    DatasetFormat.PARQUET: _parquet,
}


@pytest.fixture(params=["files", "memory"])
def reader(request: pytest.FixtureRequest) -> DatasetReader:
    if request.param == "files":
        return FileDatasetReader(parquet_records)
    return MemoryDatasetReader({write(ROWS): ROWS for write in WRITERS.values()})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.mark.parametrize("dataset_format", DatasetFormat)
def test_rows_come_out_as_they_went_in(reader: DatasetReader, file: Path, dataset_format: DatasetFormat) -> None:
    file.write_bytes(WRITERS[dataset_format](ROWS))

    rows = list(reader.rows(file, dataset_format, DatasetType.INSTRUCTION))

    assert rows == ROWS


def _examined(file: Path, content: bytes, dataset_format: DatasetFormat, kind: DatasetType = DatasetType.TEXT) -> Any:
    file.write_bytes(content)
    return examine(FileDatasetReader(parquet_records), file, dataset_format, kind)


def _problems(
    file: Path, content: bytes, dataset_format: DatasetFormat, kind: DatasetType = DatasetType.TEXT
) -> list[tuple[int | None, str]]:
    with pytest.raises(Invalid) as caught:
        _examined(file, content, dataset_format, kind)
    return [(problem.line, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"text": NaN}', "NaN is no JSON value"),
        (b'{"text": "a", "text": "b"}', "twice"),
        (b'{"text": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"text": "a"', "not JSON"),
        (b'{"text": "a"} x', "not JSON"),
        (b'["a"]', "object with named columns"),
        (b"null", "object with named columns"),
        (b'{"text": 5}', "must be text"),
        (b'{"text": "  "}', "empty"),
        (b'{"txt": "a"}', "missing"),
        ('{"text": "中文"}'.encode("gbk"), "not UTF-8"),
        (b'{"text": "a", "n": 1e999}', "out of range"),
        (b'{"text": "a", "n": ' + b"9" * 5_000 + b"}", "not JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_reason(file: Path, bad: bytes, reason: str) -> None:
    content = b'{"text": "good"}\n\n' + bad + b'\n{"text": "good \\ud83d\\ude00"}\n'

    problems = _problems(file, content, DatasetFormat.JSONL)

    assert [line for line, _ in problems] == [3]
    assert reason in problems[0][1]


def test_the_first_twenty_bad_rows_are_named_and_all_are_counted(file: Path) -> None:
    content = b'{"text": "a"}\n' + b"{}\n" * 1_000

    with pytest.raises(Invalid, match="1000 bad rows") as caught:
        _examined(file, content, DatasetFormat.JSONL)

    assert [problem.line for problem in caught.value.problems] == list(range(2, 22))
    assert caught.value.code == "VALIDATION_001"


def test_a_bad_element_of_an_array_is_named_by_its_number(file: Path) -> None:
    content = json.dumps([{"text": "a"}, {"text": 1}, {"text": "b"}, {}]).encode()

    assert [line for line, _ in _problems(file, content, DatasetFormat.JSON)] == [2, 4]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'[{"text": "a"}, {"text": "b"', 2),
        (b'[{"text": "a"}', 2),
        (b'[{"text": "a"} {"text": "b"}]', 2),
        (b'[{"text": "a"},]', 2),
        (b'[{"text": "a"}] {}', 2),
        (b'[{"text": "a"}, {"text": ' + b"[" * 100_000, 2),
        (b'[{"text": "a"}, nonsense, {"text": "b"}]', 2),
    ],
)
def test_an_array_that_is_not_json_is_refused_where_it_breaks(file: Path, content: bytes, line: int) -> None:
    assert [found for found, _ in _problems(file, content, DatasetFormat.JSON)] == [line]


def test_a_bad_value_in_an_array_does_not_hide_the_next(file: Path) -> None:
    content = b'[{"text": NaN}, {"text": "a", "text": "b"}, {"text": "c"}, {"text": "\\udc00"}]'

    assert [line for line, _ in _problems(file, content, DatasetFormat.JSON)] == [1, 2, 4]


def test_elements_larger_than_a_chunk_are_read(file: Path) -> None:
    rows = [{"text": "长" * 3_000_000}, {"text": "b" * 5_000_000}, {"text": "c"}]

    facts = _examined(file, json.dumps(rows, ensure_ascii=False).encode(), DatasetFormat.JSON)

    assert facts.rows == 3
    assert len(facts.preview[0]["text"]) == 2_001


def test_a_line_without_end_is_a_bad_row(file: Path) -> None:
    content = b'{"text": "' + b"x" * 17_000_000 + b'"}\n{"text": "a"}\n{}\n'

    assert [line for line, _ in _problems(file, content, DatasetFormat.JSONL)] == [1, 3]


def test_a_csv_row_with_a_missing_cell_is_named_by_its_line(file: Path) -> None:
    content = b'prompt,completion\n"a\nb",c\nd\ne,f\n'

    assert [line for line, _ in _problems(file, content, DatasetFormat.CSV, DatasetType.INSTRUCTION)] == [4]


def test_messages_in_a_csv_cell_are_read_as_json(file: Path) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]

    facts = _examined(file, _csv([{"messages": json.dumps(messages)}]), DatasetFormat.CSV, DatasetType.CONVERSATION)

    assert facts.preview == [{"messages": messages}]


def test_an_open_quote_is_a_bad_row(file: Path) -> None:
    assert _problems(file, b'text\n"abc\ndef\n', DatasetFormat.CSV)[0][0] == 2


@pytest.mark.parametrize(
    ("content", "dataset_format"),
    [
        ('{"text": "a"}'.encode("utf-16"), DatasetFormat.JSONL),
        (b"PAR1xxxx", DatasetFormat.JSONL),
        (b'{"text": "a"}', DatasetFormat.JSON),
        (b'{"text": "a"}\n', DatasetFormat.PARQUET),
        (_parquet([{"text": "a"}])[:-20], DatasetFormat.PARQUET),
        (b"\xd6\xd0\xce\xc4,b\n1,2\n", DatasetFormat.CSV),
        (b"text,text\na,b\n", DatasetFormat.CSV),
    ],
)
def test_a_file_of_another_format_is_refused(file: Path, content: bytes, dataset_format: DatasetFormat) -> None:
    with pytest.raises(UnsupportedFile):
        _examined(file, content, dataset_format)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_refused(file: Path, content: bytes) -> None:
    with pytest.raises(MissingValue):
        _examined(file, content, DatasetFormat.JSONL)


def test_a_preview_can_be_shown_and_stored_whatever_the_row_holds(file: Path) -> None:
    nested = "[" * 500 + "]" * 500
    content = f'{{"text": "a\\u0000", "deep": {nested}, "big": {2**70}}}\n'.encode()

    row = _examined(file, content, DatasetFormat.JSONL).preview[0]

    assert row["text"] == "a\ufffd"
    assert row["big"] == str(2**70)
    assert "…" in json.dumps(row["deep"], ensure_ascii=False)


def test_facts_are_counted(file: Path) -> None:
    facts = _examined(file, b'{"text": "hello world"}\n{"text": "\xe4\xbd\xa0\xe5\xa5\xbd"}\n', DatasetFormat.JSONL)

    assert (facts.rows, facts.columns) == (2, ["text"])
    assert facts.statistics["characters"] == {"min": 2, "max": 11, "mean": 6.5}
    assert facts.tokens_estimate == 5


def test_damage_never_breaks_a_reader(file: Path) -> None:
    import random

    chance = random.Random(2)
    for dataset_format, write in WRITERS.items():
        content = write(ROWS * 20)
        # Each parquet file has a process of its own.
        for _ in range(8 if dataset_format is DatasetFormat.PARQUET else 60):
            damaged = bytearray(content)
            for _ in range(chance.randint(1, 6)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            try:
                _examined(file, bytes(damaged), dataset_format, DatasetType.INSTRUCTION)
            except (MaasError, BadRow):
                continue


def test_a_parquet_file_that_takes_the_reader_down_takes_nobody_else(file: Path) -> None:
    file.write_bytes(_parquet(ROWS))

    with pytest.raises(UnsupportedFile):
        list(parquet_records(file, memory_bytes=64 * 1024 * 1024))

    assert len(list(parquet_records(file))) == len(ROWS)


def test_memory_stays_flat_however_large_the_file(file: Path) -> None:
    import tracemalloc

    line = json.dumps({"text": "word " * 200}).encode() + b"\n"
    with file.open("wb") as stream:
        for _ in range(40):
            stream.write(line * 1_000)
    reader = FileDatasetReader(parquet_records)

    tracemalloc.start()
    for _ in reader.records(file, DatasetFormat.JSONL):
        continue
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert file.stat().st_size > 40_000_000
    assert peak < 8_000_000
