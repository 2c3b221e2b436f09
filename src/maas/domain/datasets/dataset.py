"""A dataset: a file of rows that were all checked, with what is known about them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from maas.domain.datasets.rows import DatasetType
from maas.domain.events import Event
from maas.domain.naming import checked_description, checked_name, checked_tags
from maas.domain.visibility import Visibility


class DatasetFormat(StrEnum):
    """How the rows stand in the file; the value is also the ending of its name."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


class DatasetStatus(StrEnum):
    """A dataset is kept only once all of its rows are good."""

    READY = "ready"


@dataclass(frozen=True, kw_only=True)
class DatasetCreated(Event):
    """A dataset was uploaded and can be learned from."""

    dataset_id: UUID


@dataclass(frozen=True, kw_only=True)
class DatasetDeleted(Event):
    """A dataset is gone; its file may go too."""

    dataset_id: UUID
    files_key: str


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What was seen while every row was read.

    `tokens_estimate`: one token for each Chinese, Japanese or Korean character, 1.3 for each other word.
    `preview`: the first rows as they stand in the file. `statistics`: characters and tokens of a row: min, max and mean.
    """

    rows: int
    tokens_estimate: int
    columns: list[str] = field(default_factory=list)
    preview: list[Any] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False, kw_only=True)
class Dataset:
    """Rows to learn from, of one type, in one file."""

    id: UUID
    owner_id: UUID
    name: str
    description: str | None = None
    type: DatasetType
    format: DatasetFormat
    visibility: Visibility = Visibility.PRIVATE
    tags: list[str] = field(default_factory=list)
    status: DatasetStatus = DatasetStatus.READY
    files_key: str
    file_name: str
    file_size: int
    sha256: str
    rows: int
    tokens_estimate: int
    columns: list[str]
    preview: list[Any]
    statistics: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    def __post_init__(self) -> None:
        checked_name(self.name)
        checked_description(self.description)
        self.tags = checked_tags(self.tags)

    @property
    def file_key(self) -> str:
        """The key of the file itself."""
        return f"{self.files_key}/data.{self.format.value}"

    def change(self, changes: dict[str, Any], *, at: datetime) -> None:
        """Set the given ones of name, description, visibility and tags."""
        if "name" in changes:
            self.name = checked_name(changes["name"])
        if "description" in changes:
            self.description = checked_description(changes["description"])
        if "visibility" in changes:
            self.visibility = Visibility(changes["visibility"])
        if "tags" in changes:
            self.tags = checked_tags(changes["tags"] or [])
        self.updated_at = at

    def delete(self) -> DatasetDeleted:
        return DatasetDeleted(owner_id=self.owner_id, dataset_id=self.id, files_key=self.files_key)
