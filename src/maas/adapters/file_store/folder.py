"""A file store in a folder of this machine, or of a shared file system."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from maas.adapters.file_store.hashing_file import RESERVE_BYTES, HashingFile, disk_errors
from maas.application.ports.file_store import FileStore, FileWriter, Staging, StoredKey, checked_key
from maas.domain.errors import AlreadyExists, PlatformUnavailable, StorageFull


class FolderFileStore(FileStore):
    """Trees grow under `staging/` and are renamed to `kept/<key>`, on one file system.

    A staging folder is locked by its maker; the lock dies with the process, which tells the abandoned ones.
    """

    def __init__(self, root: Path, *, sync: bool = True) -> None:
        self._kept = root / "kept"
        self._staging = root / "staging"
        self._sync = sync
        for folder in (self._kept, self._staging):
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)

    def stage(self, *, expected_bytes: int = 0) -> "FolderStaging":
        free = shutil.disk_usage(self._staging).free
        if expected_bytes + RESERVE_BYTES > free:
            raise StorageFull("the disk has no room for this")
        with disk_errors():
            return FolderStaging(self._staging, self._kept, sync=self._sync)

    def local_copy(self, key: str) -> Path:
        path = self._kept / checked_key(key)
        if not path.exists():
            raise PlatformUnavailable("a stored file is missing")
        return path

    def size(self, key: str) -> int:
        path = self.local_copy(key)
        return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in _files(path))

    def delete(self, key: str) -> None:
        path = self._kept / checked_key(key)
        grave = self._staging / f"deleted-{uuid4().hex}"
        try:
            path.rename(grave)
        except FileNotFoundError:
            return
        remove_tree(grave)

    def keys(self, prefix: str) -> Iterator[StoredKey]:
        folder = self._kept / prefix
        if not folder.is_dir():
            return
        for entry in os.scandir(folder):
            stored_at = datetime.fromtimestamp(entry.stat().st_ctime, UTC)
            yield StoredKey(key=f"{prefix}/{entry.name}", stored_at=stored_at)

    def sweep_staging(self) -> int:
        return sum(_remove_if_abandoned(Path(entry.path)) for entry in os.scandir(self._staging))


class FolderStaging(Staging):
    """A locked folder; its tree is the folder `tree` within."""

    def __init__(self, parent: Path, kept: Path, *, sync: bool) -> None:
        self._kept = kept
        self._sync = sync
        self._writers: list[HashingFile] = []
        self._committed = False
        self._home, self._lock_fd = _make_locked(parent)
        self._tree = self._home / "tree"
        self._tree.mkdir(mode=0o750)

    @property
    def folder(self) -> Path:
        return self._tree

    def create(self, name: str) -> FileWriter:
        path = self._tree / name
        try:
            with disk_errors():
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
                writer = HashingFile(path, name)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise AlreadyExists("two files are named {name}", name=name) from error
        self._writers.append(writer)
        return writer

    def commit(self, key: str) -> None:
        target = self._kept / checked_key(key)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        if target.exists():
            raise AlreadyExists("the store has this key already")
        with disk_errors():
            if self._sync:
                _sync_tree(self._tree)
            self._tree.rename(target)
            if self._sync:
                _sync_folders(target.parent, self._kept)
        self._committed = True
        self._close()

    def discard(self) -> None:
        if self._lock_fd >= 0:
            for writer in self._writers:
                writer.abandon()
            self._close()

    def _close(self) -> None:
        remove_tree(self._home)
        os.close(self._lock_fd)
        self._lock_fd = -1


def remove_tree(path: Path) -> None:
    """Remove `path` with all below it; a missing one is fine."""
    shutil.rmtree(path, ignore_errors=False, onerror=_ignore_missing)


def _ignore_missing(function: object, path: str, info: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(info[1], FileNotFoundError):
        raise info[1]


def _make_locked(parent: Path) -> tuple[Path, int]:
    """Make a folder that no sweep takes for abandoned; a sweep may win the moment between making and locking."""
    while True:
        home = parent / uuid4().hex
        home.mkdir(mode=0o750)
        try:
            fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if home.exists():
                return home, fd
        except BlockingIOError:
            # A sweep holds it and is about to remove it.
            os.close(fd)
            continue
        os.close(fd)


def _remove_if_abandoned(home: Path) -> bool:
    try:
        fd = os.open(home, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        remove_tree(home)
        return True
    finally:
        os.close(fd)


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def _sync_folders(folder: Path, top: Path) -> None:
    """Sync `folder` and what it stands in, up to `top`: any of them may be new."""
    _sync(folder)
    while folder != top:
        folder = folder.parent
        _sync(folder)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
