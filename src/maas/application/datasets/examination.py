"""Reads every row of a dataset once, and says what is wrong or what there is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maas.application.ports.dataset_reader import DatasetReader, Record
from maas.domain.datasets.dataset import DatasetFacts, DatasetFormat
from maas.domain.datasets.rows import BadRow, DatasetType, Row, canonical_row, texts_of
from maas.domain.errors import Invalid, MissingValue, Problem

MOST_PROBLEMS = 20
_PREVIEW_ROWS = 5
_PREVIEW_CHARACTERS = 2_000
_PREVIEW_DEPTH = 8
_MOST_COLUMNS = 100
_LONGEST_COLUMN = 200
_LARGEST_INTEGER = 2**53
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+")
_WORD = re.compile(r"[^\W_]+|[^\w\s]")
_TOKENS_PER_WORD = 1.3


def examine(reader: DatasetReader, path: Path, dataset_format: DatasetFormat, dataset_type: DatasetType) -> DatasetFacts:
    """Read all rows; raise Invalid with the first 20 bad ones and their number, MissingValue where there is no row."""
    problems: list[Problem] = []
    bad_rows = 0
    sums = _Sums()
    for record, row, problem in _judged(reader.records(path, dataset_format), dataset_type):
        if row is not None:
            sums.add(record.value, row)
            continue
        bad_rows += 1
        if problem is not None and len(problems) < MOST_PROBLEMS:
            problems.append(_problem(record.line, problem))
    if bad_rows:
        raise Invalid("the file has {count} bad rows; nothing was stored", problems=problems, count=bad_rows)
    if not sums.rows:
        raise MissingValue("the file holds no rows", field="file")
    return sums.facts()


def _judged(records: Iterator[Record], dataset_type: DatasetType) -> Iterator[tuple[Record, Row | None, BadRow | None]]:
    for record in records:
        if record.problem is not None:
            yield record, None, record.problem
            continue
        try:
            row = canonical_row(dataset_type, record.value)
        except BadRow as problem:
            yield record, None, problem
        else:
            yield record, row, None


def _problem(line: int, bad: BadRow) -> Problem:
    return Problem(field="file", line=line, code=bad.code, template=bad.template, values=bad.values)


class _Sums:
    """What adds up row by row, in flat memory."""

    def __init__(self) -> None:
        self.rows = 0
        self.columns: dict[str, None] = {}
        self.preview: list[Any] = []
        self.characters = _Spread()
        self.tokens = _Spread()

    def add(self, value: object, row: Row) -> None:
        self.rows += 1
        if isinstance(value, dict) and len(self.columns) < _MOST_COLUMNS:
            self.columns.update(dict.fromkeys(_shortened_text(str(name), _LONGEST_COLUMN) for name in value))
        if len(self.preview) < _PREVIEW_ROWS:
            self.preview.append(_shortened(value))
        texts = texts_of(row)
        self.characters.add(sum(map(len, texts)))
        self.tokens.add(round(sum(map(estimated_tokens, texts))))

    def facts(self) -> DatasetFacts:
        return DatasetFacts(
            rows=self.rows,
            tokens_estimate=self.tokens.total,
            columns=list(self.columns)[:_MOST_COLUMNS],
            preview=self.preview,
            statistics={"characters": self.characters.summary(), "tokens": self.tokens.summary()},
        )


class _Spread:
    """The least, the largest and the mean of numbers."""

    def __init__(self) -> None:
        self.count = self.total = self.largest = 0
        self.least: int | None = None

    def add(self, number: int) -> None:
        self.count += 1
        self.total += number
        self.least = number if self.least is None else min(self.least, number)
        self.largest = max(self.largest, number)

    def summary(self) -> dict[str, float | int | None]:
        return {"min": self.least, "max": self.largest, "mean": round(self.total / max(self.count, 1), 1)}


def estimated_tokens(text: str) -> float:
    """Estimate tokens without a tokenizer: one for each CJK character, 1.3 for each other word or sign."""
    if text.isascii():
        return _TOKENS_PER_WORD * len(_WORD.findall(text))
    others, runs = _CJK.subn(" ", text)
    ideographs = len(text) - (len(others) - runs)
    return ideographs + _TOKENS_PER_WORD * len(_WORD.findall(others))


def _shortened(value: Any, depth: int = 0) -> Any:
    """Return a row with long texts, long lists and deep nesting cut, so that any database and any client can take it."""
    if isinstance(value, str):
        return _shortened_text(value, _PREVIEW_CHARACTERS)
    if isinstance(value, (list, dict)) and depth >= _PREVIEW_DEPTH:
        return "…"
    if isinstance(value, list):
        return [_shortened(item, depth + 1) for item in value[:_MOST_COLUMNS]]
    if isinstance(value, dict):
        items = list(value.items())[:_MOST_COLUMNS]
        return {_shortened_text(str(name), _LONGEST_COLUMN): _shortened(item, depth + 1) for name, item in items}
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return str(value)
    return value


def _shortened_text(text: str, limit: int) -> str:
    clean = text.replace("\0", "\ufffd")
    return clean if len(clean) <= limit else clean[:limit] + "…"
