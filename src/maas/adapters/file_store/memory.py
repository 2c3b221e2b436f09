"""A file store that keeps bytes in a dictionary, and lends copies of them in a temporary folder."""

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from maas.application.ports.file_store import FileStore, FileWriter, Staging, StoredKey, WrittenFile, checked_key
from maas.domain.errors import AlreadyExists, PlatformUnavailable, StorageFull


class MemoryFileStore(FileStore):
    """Forgets all at its end. `capacity_bytes` bounds what it takes."""

    def __init__(self, *, capacity_bytes: int = 2**40) -> None:
        self.capacity_bytes = capacity_bytes
        self.trees: dict[str, dict[str, bytes]] = {}
        self._stored_at: dict[str, datetime] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="maas-files-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._stagings = 0

    def stage(self, *, expected_bytes: int = 0) -> "MemoryStaging":
        used = sum(len(content) for tree in self.trees.values() for content in tree.values())
        if used + expected_bytes > self.capacity_bytes:
            raise StorageFull("the disk has no room for this")
        self._stagings += 1
        folder = Path(self._folder, f"staging-{self._stagings}")
        folder.mkdir()
        return MemoryStaging(self, folder, room_bytes=self.capacity_bytes - used)

    def local_copy(self, key: str) -> Path:
        tree, _ = self._find(key)
        path = Path(self._folder, "copies", checked_key(key))
        if not path.exists():
            for name, content in self.trees[tree].items():
                file = Path(self._folder, "copies", tree, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        return path

    def size(self, key: str) -> int:
        tree, inner = self._find(key)
        return sum(len(content) for name, content in self.trees[tree].items() if _is_below(name, inner))

    def delete(self, key: str) -> None:
        self.trees.pop(checked_key(key), None)
        shutil.rmtree(Path(self._folder, "copies", key), ignore_errors=True)

    def keys(self, prefix: str) -> Iterator[StoredKey]:
        for key in list(self.trees):
            if key.rpartition("/")[0] == prefix:
                yield StoredKey(key=key, stored_at=self._stored_at[key])

    def sweep_staging(self) -> int:
        return 0

    def keep(self, key: str, folder: Path) -> None:
        """Take the files of `folder` in under `key`."""
        if key in self.trees:
            raise AlreadyExists("the store has this key already")
        files = (path for path in folder.rglob("*") if path.is_file())
        self.trees[key] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        self._stored_at[key] = datetime.now(UTC)

    def _find(self, key: str) -> tuple[str, str]:
        checked_key(key)
        for tree, files in self.trees.items():
            inner = key[len(tree) + 1 :]
            if (key == tree or key.startswith(f"{tree}/")) and any(_is_below(name, inner) for name in files):
                return tree, inner
        raise PlatformUnavailable("a stored file is missing")


class MemoryStaging(Staging):
    """A temporary folder."""

    def __init__(self, store: MemoryFileStore, folder: Path, *, room_bytes: int) -> None:
        self._store = store
        self._folder = folder
        self.room_bytes = room_bytes

    @property
    def folder(self) -> Path:
        return self._folder

    def create(self, name: str) -> FileWriter:
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=False)
        except (FileExistsError, NotADirectoryError) as error:
            raise AlreadyExists("two files are named {name}", name=name) from error
        return _MemoryWriter(self, path, name)

    def commit(self, key: str) -> None:
        self._store.keep(checked_key(key), self._folder)
        self.discard()

    def discard(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class _MemoryWriter(FileWriter):
    def __init__(self, staging: MemoryStaging, path: Path, name: str) -> None:
        self._staging = staging
        self._path = path
        self._name = name
        self._content = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        if len(data) > self._staging.room_bytes:
            raise StorageFull("the disk has no room for this")
        self._staging.room_bytes -= len(data)
        self._content += data

    def finish(self) -> WrittenFile:
        self._path.write_bytes(self._content)
        digest = hashlib.sha256(self._content).hexdigest()
        return WrittenFile(name=self._name, size=len(self._content), sha256=digest)

    def abandon(self) -> None:
        self._content.clear()


def _is_below(name: str, inner: str) -> bool:
    return not inner or name == inner or name.startswith(f"{inner}/")
