"""A mapped file of fixed size that processes share: locked while it is used, made anew when it is lost or damaged."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import mmap
from pathlib import Path
from types import TracebackType

from maas.domain.errors import PlatformUnavailable


class SharedFile:
    """A file that begins with `header` and has `size` bytes, zeros at first.

    `with` holds it, against other threads and other processes, and gives its bytes. An OSError becomes PlatformUnavailable.
    """

    def __init__(self, path: Path, *, header: bytes, size: int) -> None:
        self._path = path
        self._header = header
        self._size = size
        self._lock = threading.Lock()
        self._file = -1
        self._bytes: mmap | None = None
        self._opened_by = 0

    def __enter__(self) -> mmap:
        self._lock.acquire()
        try:
            # A lock belongs to the opened file, which forked children share: each process opens it for itself.
            while self._bytes is None or self._opened_by != os.getpid() or not self._lock_whole():
                self._close()
                self._open()
        except BaseException as error:
            self._lock.release()
            if isinstance(error, OSError):
                raise _unavailable() from error
            raise
        return self._bytes

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._lock.release()

    def _lock_whole(self) -> bool:
        """Lock what is open; tell whether it still is the file that others see: touching one that was cut short kills."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        status = os.fstat(self._file)
        return status.st_nlink > 0 and status.st_size == self._size

    def _open(self) -> None:
        """Open the file at the path; where there is none, or a damaged one, make one."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            self._make(in_place_of=None)
            return
        status = os.fstat(file)
        if status.st_size == self._size and os.pread(file, len(self._header), 0) == self._header:
            self._file, self._bytes, self._opened_by = file, mmap(file, self._size), os.getpid()
            return
        try:
            self._make(in_place_of=status.st_ino)
        finally:
            # Not before: while it is open, no other file can get its number.
            os.close(file)

    def _close(self) -> None:
        if self._bytes is not None:
            self._bytes.close()
            os.close(self._file)
        self._file, self._bytes, self._opened_by = -1, None, 0

    def _make(self, *, in_place_of: int | None) -> None:
        """Put an empty file where nothing lies, or the damaged one of that number, unless another process was first."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, self._size)
            os.pwrite(file, self._header, 0)
            with _alone(self._path.with_name(f"{self._path.name}.lock")):
                if _inode_at(self._path) == in_place_of:
                    draft.replace(self._path)
        finally:
            os.close(file)
            draft.unlink(missing_ok=True)


def _unavailable() -> PlatformUnavailable:
    return PlatformUnavailable("the platform cannot answer now; try again in a moment")


def _inode_at(path: Path) -> int | None:
    with suppress(FileNotFoundError):
        return path.stat().st_ino
    return None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock of its own, so that of several processes one makes the file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
