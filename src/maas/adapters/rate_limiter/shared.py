"""A rate limiter in a file that all processes of a host share."""

import fcntl
import hashlib
import logging
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from maas.application.ports.clock import Clock
from maas.application.ports.rate_limiter import LONGEST_WINDOW_SECONDS, Decision, RateLimiter
from maas.domain.errors import PlatformUnavailable

log = logging.getLogger(__name__)

SLOTS = 131_072
_MAGIC = b"maasrate"
_HEADER = struct.Struct("<8sII")
_HEADER_BYTES = 64
_SLOT = struct.Struct("<16sdq")
_REGION_SLOTS = 64
_REGION_BYTES = _SLOT.size * _REGION_SLOTS
_WARNED_EVERY_SECONDS = 60.0


class SharedRateLimiter(RateLimiter):
    """A table of counters of fixed size, one lock around each count: exact over processes, some microseconds a call.

    A key's hash names its region of 64 slots. A new key takes a slot whose window has ended; in a region that is full of
    running windows the smallest count gives way. The file may be lost or damaged at any time: it is made anew, and all
    windows with it. It is read and written by calls rather than mapped, since a mapped file that somebody cuts short
    kills the process.
    """

    def __init__(self, path: Path, clock: Clock, *, slots: int = SLOTS) -> None:
        self._path = path
        self._clock = clock
        self._regions = max(1, slots // _REGION_SLOTS)
        self._header = _HEADER.pack(_MAGIC, 1, self._regions).ljust(_HEADER_BYTES, b"\0")
        self._bytes = _HEADER_BYTES + self._regions * _REGION_BYTES
        self._lock = threading.Lock()
        self._file = -1
        self._opened_by = 0
        self._warned_at = float("-inf")

    def hit(self, key: str, *, limit: int, window_seconds: float, cost: int = 1) -> Decision:
        name = _name(key)
        with self._locked() as file:
            position, ends_at, count = self._window(file, name, window_seconds)
            allowed = count + cost <= limit
            if allowed:
                count += cost
                _write(file, position, _SLOT.pack(name, ends_at, count))
        return Decision(allowed, max(0, limit - count), ends_at)

    def peek(self, key: str, *, limit: int, window_seconds: float) -> Decision:
        with self._locked() as file:
            _, ends_at, count = self._window(file, _name(key), window_seconds)
        return Decision(count < limit, max(0, limit - count), ends_at)

    def give_back(self, key: str, decision: Decision, *, cost: int = 1) -> None:
        name = _name(key)
        with self._locked() as file:
            found = self._find(file, name)
            if found is not None and found[1] == decision.reset_at:
                _write(file, found[0], _SLOT.pack(name, found[1], max(0, found[2] - cost)))

    def reset(self, key: str) -> None:
        with self._locked() as file:
            found = self._find(file, _name(key))
            if found is not None:
                _write(file, found[0], bytes(_SLOT.size))

    def _window(self, file: int, name: bytes, window_seconds: float) -> tuple[int, float, int]:
        """Return the slot of a key, when its window ends, and what it has counted; a new window where none runs."""
        now = self._clock.now().timestamp()
        found = self._find(file, name)
        if found is not None and now < found[1] <= now + LONGEST_WINDOW_SECONDS:
            return found
        position = found[0] if found is not None else self._free_slot(file, name, now)
        return position, now + window_seconds, 0

    def _find(self, file: int, name: bytes) -> tuple[int, float, int] | None:
        start = self._start(name)
        region = _read(file, start)
        at = region.find(name)
        while at >= 0 and at % _SLOT.size:
            at = region.find(name, at + 1)
        if at < 0:
            return None
        _, ends_at, count = _SLOT.unpack_from(region, at)
        return start + at, ends_at, count

    def _free_slot(self, file: int, name: bytes, now: float) -> int:
        start = self._start(name)
        windows = list(_SLOT.iter_unpack(_read(file, start)))
        for index, (_, ends_at, _count) in enumerate(windows):
            if not now < ends_at <= now + LONGEST_WINDOW_SECONDS:
                return start + index * _SLOT.size
        self._warn_full()
        smallest = min(range(_REGION_SLOTS), key=lambda index: (windows[index][2], windows[index][1]))
        return start + smallest * _SLOT.size

    def _start(self, name: bytes) -> int:
        return _HEADER_BYTES + int.from_bytes(name[:4], "little") % self._regions * _REGION_BYTES

    def _warn_full(self) -> None:
        if time.monotonic() - self._warned_at >= _WARNED_EVERY_SECONDS:
            self._warned_at = time.monotonic()
            log.warning("the table of rate limits is full: small counts are forgotten before their time")

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the table, opened and whole."""
        with self._lock:
            try:
                file = self._hold()
                try:
                    yield file
                finally:
                    fcntl.flock(file, fcntl.LOCK_UN)
            except OSError as error:
                raise PlatformUnavailable("the platform cannot answer now; try again in a moment") from error

    def _hold(self) -> int:
        # A lock belongs to the opened file, which forked children share: each process opens it for itself.
        while self._opened_by != os.getpid() or not self._lock_whole():
            self._close()
            self._open()
        return self._file

    def _lock_whole(self) -> bool:
        """Lock what is open; tell whether it still is the table that others see."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        status = os.fstat(self._file)
        return status.st_nlink > 0 and status.st_size == self._bytes

    def _open(self) -> None:
        """Open the table at the path; where there is none, or a damaged one, make one."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            self._make(in_place_of=None)
            return
        status = os.fstat(file)
        if status.st_size == self._bytes and os.pread(file, _HEADER_BYTES, 0) == self._header:
            self._file, self._opened_by = file, os.getpid()
            return
        try:
            self._make(in_place_of=status.st_ino)
        finally:
            # Not before: while it is open, no other file can get its number.
            os.close(file)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._opened_by = -1, 0

    def _make(self, *, in_place_of: int | None) -> None:
        """Put an empty table where nothing lies, or the damaged file of that number, unless another process was first."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, self._bytes)
            os.pwrite(file, self._header, 0)
            with _alone(self._path.with_name(f"{self._path.name}.lock")):
                if _inode_at(self._path) == in_place_of:
                    draft.replace(self._path)
        finally:
            os.close(file)
            draft.unlink(missing_ok=True)


def _name(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _read(file: int, start: int) -> bytes:
    region = os.pread(file, _REGION_BYTES, start)
    if len(region) < _REGION_BYTES:
        raise OSError("the table of rate limits was cut short")
    return region


def _write(file: int, position: int, slot: bytes) -> None:
    if os.pwrite(file, slot, position) < len(slot):
        raise OSError("the table of rate limits cannot be written")


def _inode_at(path: Path) -> int | None:
    with suppress(FileNotFoundError):
        return path.stat().st_ino
    return None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock of its own, so that of several processes one makes the table."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
