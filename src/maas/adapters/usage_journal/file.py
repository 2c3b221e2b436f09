"""Journals of usage in files: one that each process writes, and those that dead processes left."""

import fcntl
import logging
import os
import threading
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from maas.application.ports.usage_journal import JournalPart, UsageJournal
from maas.domain.identifiers import new_id
from maas.domain.usage import UsageEntry

log = logging.getLogger(__name__)

_SUFFIX = ".journal"
_ROTATED_AT_BYTES = 8 * 1024 * 1024
_PART_BYTES = 1024 * 1024
_MOST_WAITING = 100_000


class FileUsageJournal(UsageJournal):
    """A line an entry, with its checksum, appended by one call: it is there whole once the call returns, and survives the
    death of the process (not the loss of power).

    The writer holds a lock on its file, so a file without one was left behind. Where the disk takes nothing, lines wait in
    memory for the next that it takes.
    """

    def __init__(self, folder: Path, *, rotated_at_bytes: int = _ROTATED_AT_BYTES) -> None:
        self._folder = folder
        self._rotated_at_bytes = rotated_at_bytes
        self._lock = threading.Lock()
        self._file = -1
        self._name = ""
        self._opened_by = 0
        self._bytes = 0
        self._is_torn = False
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)

    def record(self, entry: UsageEntry) -> None:
        line = _line(entry)
        with self._lock:
            if self._waiting:
                self._waiting.append(line)
                self._write_waiting()
            elif not self._write(line):
                self._waiting.append(line)

    def journals(self) -> Sequence[str]:
        with self._lock:
            self._write_waiting()
            own = self._name if self._opened_by == os.getpid() else ""
        names = sorted(path.name for path in self._folder.glob(f"*{_SUFFIX}"))
        return [name for name in names if name == own or self._is_left_behind(name)]

    def read(self, journal: str, *, position: int) -> JournalPart:
        with suppress(FileNotFoundError), _opened(self._folder / journal) as file:
            chunk = os.pread(file, _PART_BYTES, position)
            whole = chunk.rfind(b"\n") + 1
            if not whole and chunk and (len(chunk) == _PART_BYTES or journal != self._name):
                # The last line of a writer that died in the midst of it, whose call was never answered; or nonsense.
                whole = len(chunk)
            entries = [entry for line in chunk[:whole].split(b"\n") if line and (entry := _entry(line, journal)) is not None]
            return JournalPart(entries=entries, next_position=position + whole)
        return JournalPart(entries=(), next_position=position)

    def discard(self, journal: str, *, position: int) -> bool:
        path = self._folder / journal
        try:
            with _opened(path) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file).st_size != position:
                    return False
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        return True

    def _write_waiting(self) -> None:
        while self._waiting and self._write(self._waiting[0]):
            self._waiting.popleft()

    def _write(self, line: bytes) -> bool:
        """Append a line; tell whether the disk took it."""
        try:
            if self._opened_by != os.getpid() or self._bytes >= self._rotated_at_bytes:
                self._open()
            if self._is_torn:
                line = b"\n" + line
            written = os.write(self._file, line)
        except OSError:
            log.exception("an entry of usage cannot be written; it is kept until it can")
            return False
        self._bytes += written
        self._is_torn = written < len(line)
        return not self._is_torn

    def _open(self) -> None:
        """Begin a new journal; the old one is then anybody's to sum up."""
        if self._file >= 0:
            os.close(self._file)
            self._file, self._opened_by = -1, 0
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            name = f"{new_id()}{_SUFFIX}"
            file = os.open(self._folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file).st_nlink:
                break
            # Somebody took it for one that was left behind, before it was locked.
            os.close(file)
        self._file, self._name, self._opened_by, self._bytes, self._is_torn = file, name, os.getpid(), 0, False

    def _is_left_behind(self, name: str) -> bool:
        try:
            with _opened(self._folder / name) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            return False
        return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def _line(entry: UsageEntry) -> bytes:
    values: list[object] = [entry.kind, entry.user_id.hex, entry.at.timestamp()]
    if entry.kind != "call":
        values += [entry.deployment_id, entry.replica_id, entry.model_id, entry.prompt_tokens, entry.completion_tokens]
        values += [entry.latency_seconds, entry.first_token_seconds, entry.failed]
    content = orjson.dumps(values)
    return b"%08x %b\n" % (zlib.crc32(content), content)


def _entry(line: bytes, journal: str) -> UsageEntry | None:
    checksum, _, content = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(content):
            raise ValueError("the checksum is another")
        kind, user_id, at, *more = orjson.loads(content)
        entry = UsageEntry(user_id=UUID(user_id), at=datetime.fromtimestamp(at, UTC), kind=kind)
        return _with_inference(entry, more) if more else entry
    except (ValueError, TypeError):
        log.warning("a line of usage cannot be read: journal %s", journal)
        return None


def _with_inference(entry: UsageEntry, values: list[Any]) -> UsageEntry:
    deployment_id, replica_id, model_id, prompt_tokens, completion_tokens, latency_seconds, first_token_seconds, failed = values
    return UsageEntry(
        user_id=entry.user_id,
        at=entry.at,
        kind=entry.kind,
        deployment_id=_id(deployment_id),
        replica_id=_id(replica_id),
        model_id=_id(model_id),
        prompt_tokens=int(prompt_tokens),
        completion_tokens=int(completion_tokens),
        latency_seconds=float(latency_seconds),
        first_token_seconds=None if first_token_seconds is None else float(first_token_seconds),
        failed=bool(failed),
    )


def _id(value: str | None) -> UUID | None:
    return None if value is None else UUID(value)
