"""The port for stored files: trees of files under a key, whole and durable once committed."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from maas.domain.errors import WrongForm

_KEY = re.compile(r"[a-z][a-z0-9_-]*(?:/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)+")


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """A file that was written whole: its name within the tree, its bytes, its SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """A key that is in the store, with the time of its commit."""

    key: str
    stored_at: datetime


class FileWriter(ABC):
    """Takes the bytes of one file, counting and hashing them on the way."""

    @abstractmethod
    def write(self, data: bytes | memoryview) -> None:
        """Append `data`, which the caller must not change afterwards. Raises StorageFull."""

    @abstractmethod
    def finish(self) -> WrittenFile:
        """Close the file and say what it is."""

    @abstractmethod
    def abandon(self) -> None:
        """Close the file without a word; what was written goes with the staging."""


class Staging(ABC):
    """A tree of files in the making. Leaving its `with` block discards it, unless it was committed."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The folder on this machine where the tree grows; files put there by other means are committed too."""

    @abstractmethod
    def create(self, name: str) -> FileWriter:
        """Begin a new file; `name` is relative, its parts joined by '/', and must not exist yet."""

    @abstractmethod
    def commit(self, key: str) -> None:
        """Make the tree durable under `key`, which must be new: files synced, renamed, folder synced."""

    @abstractmethod
    def discard(self) -> None:
        """Remove all of it. Does nothing after a commit."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.discard()


class FileStore(ABC):
    """Keeps trees of files. A key such as `models/<id>` names a tree; `models/<id>/files` a part of it."""

    @abstractmethod
    def stage(self, *, expected_bytes: int = 0) -> Staging:
        """Begin a tree. Raises StorageFull where `expected_bytes` do not fit."""

    @abstractmethod
    def local_copy(self, key: str) -> Path:
        """Return a path on this machine with the file or folder under `key`, to be read only. Raises PlatformUnavailable
        where it is missing."""

    @abstractmethod
    def size(self, key: str) -> int:
        """Return the bytes of the file, or of all files of the folder, under `key`."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the tree under `key`; a missing one is fine."""

    @abstractmethod
    def keys(self, prefix: str) -> Iterator[StoredKey]:
        """Yield the keys of the trees directly under `prefix`."""

    @abstractmethod
    def sweep_staging(self) -> int:
        """Remove the trees whose makers died, and return how many there were."""


def checked_key(key: str) -> str:
    """Return `key`, or raise WrongForm where it could name something outside the store."""
    if not _KEY.fullmatch(key):
        raise WrongForm("this is no key of stored files")
    return key
