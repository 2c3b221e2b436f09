"""Reads parquet files batch by batch."""

import math
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from maas.programs.child import Child

_ROWS_AT_ONCE = 256
_REPORT_CHARACTERS = 512 * 1024
_LARGEST_ROW_GROUP = 1024 * 1024 * 1024
_MOST_COLUMNS = 1_000


class Refused(Exception):
    """The file is none that can be read; `template` says why, filled from `values`."""

    def __init__(self, template: str, **values: object) -> None:
        super().__init__(template)
        self.template = template
        self.values = values


def report_rows(child: Child, path: Path, *, longest_row: int) -> None:
    """Report the rows of a parquet file; a row group may have a GiB at most when unpacked."""
    import pyarrow
    from pyarrow import parquet

    reports = _Reports(child)
    try:
        with parquet.ParquetFile(path, buffer_size=1024 * 1024, pre_buffer=False) as file:
            _check_sizes(file.metadata)
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False):
                for row in batch.to_pylist():
                    reports.add(row, longest_row)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        raise Refused("the file is not parquet, or is corrupt") from error
    reports.send()


class _Reports:
    """Gathers rows into reports of a good size."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._number = 0
        self._rows: list[Any] = []
        self._characters = 0

    def add(self, row: dict[str, Any], longest_row: int) -> None:
        self._number += 1
        characters = sum(len(value) for value in row.values() if isinstance(value, str))
        if characters > longest_row:
            self.send()
            template, values = "the row is longer than {limit} bytes", {"limit": longest_row}
            self._child.report("bad", number=self._number, template=template, values=values)
            return
        self._rows.append({name: plain(value) for name, value in row.items()})
        self._characters += characters
        if self._characters > _REPORT_CHARACTERS or len(self._rows) >= _ROWS_AT_ONCE:
            self.send()

    def send(self) -> None:
        # A row that was too long is counted already, and stands behind those that wait.
        if self._rows:
            self._child.report("rows", rows=self._rows)
        self._rows, self._characters = [], 0


def _check_sizes(metadata: Any) -> None:
    if metadata.num_columns > _MOST_COLUMNS:
        raise Refused("the file has more than {limit} columns", limit=_MOST_COLUMNS)
    for index in range(metadata.num_row_groups):
        if metadata.row_group(index).total_byte_size > _LARGEST_ROW_GROUP:
            raise Refused("a row group has more than {limit} bytes; write smaller ones", limit=_LARGEST_ROW_GROUP)


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
