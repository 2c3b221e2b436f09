"""Reads parquet files batch by batch."""

import math
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from maas.adapters.dataset_reader.text import LONGEST_ROW
from maas.application.ports.dataset_reader import Record
from maas.domain.datasets.rows import BadRow
from maas.domain.errors import UnsupportedFile

_ROWS_AT_ONCE = 256
_LARGEST_ROW_GROUP = 1024 * 1024 * 1024
_MOST_COLUMNS = 1_000


def parquet_records(path: Path) -> Iterator[Record]:
    """Yield the rows of a parquet file; a row group may have a GiB at most when unpacked."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, buffer_size=1024 * 1024, pre_buffer=False) as file:
            _check_sizes(file.metadata)
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield _record(number, row)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UnsupportedFile("the file is not parquet, or is corrupt", field="file") from error


def _check_sizes(metadata: Any) -> None:
    if metadata.num_columns > _MOST_COLUMNS:
        raise UnsupportedFile("the file has more than {limit} columns", field="file", limit=_MOST_COLUMNS)
    for index in range(metadata.num_row_groups):
        if metadata.row_group(index).total_byte_size > _LARGEST_ROW_GROUP:
            raise UnsupportedFile(
                "a row group has more than {limit} bytes; write smaller ones", field="file", limit=_LARGEST_ROW_GROUP
            )


def _record(number: int, row: dict[str, Any]) -> Record:
    if sum(len(value) for value in row.values() if isinstance(value, str)) > LONGEST_ROW:
        return Record(line=number, problem=BadRow("the row is longer than {limit} bytes", limit=LONGEST_ROW))
    return Record(line=number, value={name: plain(value) for name, value in row.items()})


def plain(value: object) -> object:
    """Return a value as JSON knows it."""
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (datetime, date, time, Decimal)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes"
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
