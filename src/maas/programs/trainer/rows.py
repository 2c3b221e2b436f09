"""The rows of a run, kept on disk as tokens so that a large dataset takes little memory."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import numpy.typing

from maas.programs.trainer.encoding import Encoded, RowEncoder

Integers = numpy.typing.NDArray[numpy.int64]


class EncodedRows:
    """Rows of token sequences, by number. Tokens and marks lie in unlinked files that are mapped."""

    def __init__(self, *, longest: int, folder: Path) -> None:
        self._longest = longest
        self._tokens_file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (open as long as the rows are)
        self._learned_file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._sequence_ends = [0]
        self._row_ends = [0]
        self.cut_rows = 0
        self.rows_without_answer = 0

    def append(self, sequences: list[Encoded]) -> None:
        """Add one row, each of its sequences cut at the longest length allowed."""
        self.cut_rows += any(len(one.tokens) > self._longest for one in sequences)
        kept = [one.cut(self._longest) for one in sequences]
        self.rows_without_answer += not all(any(one.learned[1:]) for one in kept)
        for one in kept:
            self._tokens_file.write(numpy.asarray(one.tokens, dtype=numpy.int32).tobytes())
            self._learned_file.write(numpy.asarray(one.learned, dtype=numpy.bool_).tobytes())
            self._sequence_ends.append(self._sequence_ends[-1] + len(one.tokens))
        self._row_ends.append(len(self._sequence_ends) - 1)

    def close(self) -> "EncodedRows":
        """End the writing and map what was written; the mappings outlive the files."""
        with self._tokens_file as tokens, self._learned_file as learned:
            tokens.flush()
            learned.flush()
            empty = self._sequence_ends[-1] == 0
            self._tokens = numpy.zeros(0, numpy.int32) if empty else numpy.memmap(tokens, numpy.int32, "r")
            self._learned = numpy.zeros(0, numpy.bool_) if empty else numpy.memmap(learned, numpy.bool_, "r")
        return self

    def __len__(self) -> int:
        return len(self._row_ends) - 1

    @property
    def longest_row(self) -> int:
        """The number of tokens in the largest row."""
        ends = self._sequence_ends
        return max((ends[last] - ends[first] for first, last in zip(self._row_ends, self._row_ends[1:], strict=False)), default=0)

    def sequences(self, row: int) -> list[tuple[Integers, numpy.typing.NDArray[numpy.bool_]]]:
        """Return the tokens and marks of each sequence of a row."""
        first, last = self._row_ends[row], self._row_ends[row + 1]
        return [self._sequence(index) for index in range(first, last)]

    def _sequence(self, index: int) -> tuple[Integers, numpy.typing.NDArray[numpy.bool_]]:
        start, end = self._sequence_ends[index], self._sequence_ends[index + 1]
        return self._tokens[start:end].astype(numpy.int64), numpy.asarray(self._learned[start:end])


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the canonical rows of a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def encode_rows(
    path: Path, encoder: RowEncoder, *, longest: int, folder: Path, on_row: Callable[[int], None] = lambda _: None
) -> EncodedRows:
    """Encode a file's rows, calling `on_row` with the number done."""
    rows = EncodedRows(longest=longest, folder=folder)
    for number, row in enumerate(read_rows(path), start=1):
        rows.append(encoder.encode(row))
        on_row(number)
    return rows.close()
