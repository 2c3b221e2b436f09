"""A file that is hashed by a second thread while it is written."""

import ctypes
import errno
import hashlib
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maas.application.ports.file_store import FileWriter, WrittenFile
from maas.domain.errors import StorageFull

RESERVE_BYTES = 64 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
_WAITING_BLOCKS = 8
_WRITE_BACK_BYTES = 16 * _BLOCK_BYTES
_SYNC_FILE_RANGE_WRITE = 2
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class HashingFile(FileWriter):
    """Gathers small writes into blocks; writes each block here and hashes it in a thread of its own."""

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._size = 0
        self._pending = bytearray()
        self._hasher = _Hasher()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        self._started = 0

    def write(self, data: bytes | memoryview) -> None:
        self._size += len(data)
        if not self._pending and len(data) >= _BLOCK_BYTES // 2:
            self._put(data)
            return
        self._pending += data
        if len(self._pending) >= _BLOCK_BYTES:
            self._flush()

    def finish(self) -> WrittenFile:
        self._flush()
        digest = self._hasher.finish()
        self._close()
        return WrittenFile(name=self._name, size=self._size, sha256=digest)

    def abandon(self) -> None:
        if self._fd >= 0:
            self._hasher.finish()
            self._close()

    def _flush(self) -> None:
        if self._pending:
            block, self._pending = self._pending, bytearray()
            self._put(block)

    def _put(self, block: bytes | bytearray | memoryview) -> None:
        self._hasher.put(block)
        view = memoryview(block)
        with disk_errors():
            while view:
                view = view[os.write(self._fd, view) :]
        if self._size - self._started >= _WRITE_BACK_BYTES:
            check_room(self._fd)
            start_write_back(self._fd, self._started, self._size - self._started)
            self._started = self._size

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1


class _Hasher:
    """SHA-256 of blocks; the thread starts with the second block, so that small files need none."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._first: bytes | bytearray | memoryview | None = None
        self._blocks: queue.Queue[bytes | bytearray | memoryview | None] | None = None
        self._thread: threading.Thread | None = None

    def put(self, block: bytes | bytearray | memoryview) -> None:
        if self._blocks is not None:
            self._blocks.put(block)
        elif self._first is None:
            self._first = block
        else:
            self._blocks = queue.Queue(_WAITING_BLOCKS)
            self._blocks.put(self._first)
            self._blocks.put(block)
            self._thread = threading.Thread(target=self._run, args=(self._blocks,), name="hash", daemon=True)
            self._thread.start()

    def finish(self) -> str:
        if self._blocks is not None and self._thread is not None:
            self._blocks.put(None)
            self._thread.join()
        elif self._first is not None:
            self._hash.update(self._first)
        return self._hash.hexdigest()

    def _run(self, blocks: "queue.Queue[bytes | bytearray | memoryview | None]") -> None:
        while (block := blocks.get()) is not None:
            self._hash.update(block)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Say StorageFull where the disk has no room."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("the disk has no room for this") from error
        raise


def check_room(fd: int) -> None:
    """Raise StorageFull while the disk still has room for the database's next pages: what is written may be larger than anyone
    declared, and others write too."""
    disk = os.fstatvfs(fd)
    if disk.f_bavail * disk.f_frsize < RESERVE_BYTES:
        raise StorageFull("the disk has no room for this")


def start_write_back(fd: int, offset: int, length: int) -> None:
    """Let the kernel begin to write a range to the disk, so that the fsync at the end finds little left to do.

    It is a hint: where the system has no `sync_file_range`, nothing is lost but time.
    """
    if _SYNC_FILE_RANGE is not None:
        _SYNC_FILE_RANGE(fd, ctypes.c_int64(offset), ctypes.c_int64(length), _SYNC_FILE_RANGE_WRITE)


_SYNC_FILE_RANGE = getattr(ctypes.CDLL(None), "sync_file_range", None)
