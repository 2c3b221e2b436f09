"""The port for reading the rows of dataset files in flat memory."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maas.domain.datasets.dataset import DatasetFormat
from maas.domain.datasets.rows import BadRow, DatasetType, Row, canonical_row


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row as it stands in the file: its value, or what is wrong with it.

    `line` counts from 1: the line of the file in jsonl and csv, the number of the row in json and parquet.
    """

    line: int
    value: object = None
    problem: BadRow | None = None


class DatasetReader(ABC):
    """Reads files that users brought."""

    @abstractmethod
    def records(self, path: Path, dataset_format: DatasetFormat) -> Iterator[Record]:
        """Yield row after row. What cannot be read as a row comes as a record with a problem; after one from which the
        reader cannot go on, the iteration ends. Raises UnsupportedFile where the file is not of this format at all."""

    def rows(self, path: Path, dataset_format: DatasetFormat, dataset_type: DatasetType) -> Iterator[Row]:
        """Yield the canonical rows of a file that was checked before; a bad row raises BadRow."""
        for record in self.records(path, dataset_format):
            if record.problem is not None:
                raise record.problem
            yield canonical_row(dataset_type, record.value)
