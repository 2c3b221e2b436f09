"""What every journal of usage does."""

import errno
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from maas.adapters.usage_journal import file as file_journal
from maas.adapters.usage_journal.file import FileUsageJournal
from maas.adapters.usage_journal.memory import MemoryUsageJournal
from maas.application.ports.usage_journal import UsageJournal
from maas.domain.usage import UsageEntry
from tests.builders import a_usage_entry

CALL = UsageEntry(user_id=UUID(int=1), at=datetime(2026, 1, 1, 12, 30, 0, 250_000, tzinfo=UTC), kind="call")


@pytest.fixture(params=["memory", "file"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> UsageJournal:
    return MemoryUsageJournal() if request.param == "memory" else FileUsageJournal(tmp_path / "usage")


def entries_of(journal: UsageJournal) -> list[UsageEntry]:
    """Read all that the process sees to, from the beginning."""
    entries: list[UsageEntry] = []
    for name in journal.journals():
        position = 0
        while (part := journal.read(name, position=position)).next_position > position:
            entries.extend(part.entries)
            position = part.next_position
    return entries


def test_an_entry_is_read_as_it_was_written(journal: UsageJournal) -> None:
    written = [
        CALL,
        a_usage_entry(),
        a_usage_entry(kind="embedding", first_token_seconds=None, replica_id=None, failed=True, completion_tokens=0),
    ]
    for entry in written:
        journal.record(entry)

    assert entries_of(journal) == written


def test_reading_goes_on_where_it_ended(journal: UsageJournal) -> None:
    journal.record(CALL)
    (name,) = journal.journals()
    first = journal.read(name, position=0)
    nothing = journal.read(name, position=first.next_position)
    journal.record(a_usage_entry())
    second = journal.read(name, position=first.next_position)

    assert [len(part.entries) for part in (first, nothing, second)] == [1, 0, 1]
    assert nothing.next_position == first.next_position


def test_a_journal_that_is_written_is_not_discarded(journal: UsageJournal) -> None:
    journal.record(CALL)
    (name,) = journal.journals()

    assert not journal.discard(name, position=journal.read(name, position=0).next_position)
    assert entries_of(journal) == [CALL]


def test_threads_write_whole_entries(journal: UsageJournal) -> None:
    threads = [threading.Thread(target=lambda: [journal.record(a_usage_entry()) for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert entries_of(journal) == [a_usage_entry()] * 400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "usage"


def left_behind(folder: Path, *entries: UsageEntry, more: bytes = b"") -> str:
    """Leave a journal as a process does that dies; return its name."""
    before = set(folder.glob("*")) if folder.exists() else set()
    child = os.fork()
    if child == 0:
        journal = FileUsageJournal(folder)
        for entry in entries:
            journal.record(entry)
        if more:
            os.write(journal._file, more)
        os._exit(0)
    os.waitpid(child, 0)
    (path,) = set(folder.glob("*")) - before
    return path.name


def test_nobody_sees_to_the_journal_of_another_that_lives(folder: Path) -> None:
    one, other = FileUsageJournal(folder), FileUsageJournal(folder)
    one.record(CALL)

    assert len(one.journals()) == 1
    assert other.journals() == []


def test_what_a_dead_process_left_is_seen_to_and_discarded_once_it_is_read(folder: Path) -> None:
    name = left_behind(folder, CALL, CALL)
    journal = FileUsageJournal(folder)
    part = journal.read(name, position=0)

    assert journal.journals() == [name]
    assert list(part.entries) == [CALL, CALL]
    assert not journal.discard(name, position=part.next_position - 1)
    assert journal.discard(name, position=part.next_position)
    assert journal.journals() == []
    assert journal.discard(name, position=part.next_position)
    assert journal.read(name, position=0).entries == ()


@pytest.mark.parametrize("more", [b"0", b'12345678 ["call"', b"\xff\xfe\x00"])
def test_a_line_that_its_writer_did_not_end_counts_nothing(folder: Path, more: bytes) -> None:
    name = left_behind(folder, CALL, more=more)
    journal = FileUsageJournal(folder)
    part = journal.read(name, position=0)
    end = journal.read(name, position=part.next_position)

    assert list(part.entries) == [CALL]
    assert list(end.entries) == []
    assert journal.discard(name, position=end.next_position)


def test_a_damaged_line_counts_nothing_and_the_next_ones_do(folder: Path) -> None:
    name = left_behind(folder, CALL, a_usage_entry(), CALL)
    path = folder / name
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b"10,20", b"10,99")
    path.write_bytes(b"\n".join(lines))

    assert entries_of(FileUsageJournal(folder)) == [CALL, CALL]


def test_a_journal_that_grew_long_is_followed_by_another(folder: Path) -> None:
    journal = FileUsageJournal(folder, rotated_at_bytes=200)
    for _ in range(10):
        journal.record(CALL)
    names = journal.journals()

    assert len(names) > 2
    assert entries_of(journal) == [CALL] * 10
    for name in names[:-1]:
        assert journal.discard(name, position=(folder / name).stat().st_size)


def test_long_journals_are_read_in_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_journal, "_PART_BYTES", 500)
    journal = FileUsageJournal(folder)
    for _ in range(50):
        journal.record(a_usage_entry())

    assert entries_of(journal) == [a_usage_entry()] * 50


def test_a_forked_child_writes_a_journal_of_its_own(folder: Path) -> None:
    journal = FileUsageJournal(folder)
    journal.record(CALL)
    child = os.fork()
    if child == 0:
        journal.record(a_usage_entry())
        os._exit(0)
    os.waitpid(child, 0)
    journal.record(CALL)

    assert len(journal.journals()) == 2
    assert sorted(entry.kind for entry in entries_of(journal)) == ["call", "call", "chat"]


def test_journals_are_for_their_owner_alone(folder: Path) -> None:
    FileUsageJournal(folder).record(CALL)

    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


class FullDisk:
    """os.write on a disk that has room for `room` bytes."""

    def __init__(self, write: Callable[[int, bytes], int], room: int) -> None:
        self._write = write
        self.room = room

    def __call__(self, file: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(file, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 20, 62, 63, 100])
def test_a_full_disk_delays_entries_and_loses_none(folder: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    journal = FileUsageJournal(folder)
    journal.record(CALL)
    disk = FullDisk(os.write, room)
    monkeypatch.setattr(os, "write", disk)
    for _ in range(3):
        journal.record(a_usage_entry())
    disk.room = 10_000
    journal.record(CALL)

    assert [entry.kind for entry in entries_of(journal)] == ["call", "chat", "chat", "chat", "call"]
