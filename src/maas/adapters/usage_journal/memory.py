"""A journal of usage in a list, for tests."""

from collections.abc import Sequence

from maas.application.ports.usage_journal import JournalPart, UsageJournal
from maas.domain.usage import UsageEntry

_NAME = "memory"


class MemoryUsageJournal(UsageJournal):
    """Keeps what was recorded in `entries`; it is always being written."""

    def __init__(self) -> None:
        self.entries: list[UsageEntry] = []

    def record(self, entry: UsageEntry) -> None:
        self.entries.append(entry)

    def journals(self) -> Sequence[str]:
        return [_NAME]

    def read(self, journal: str, *, position: int) -> JournalPart:
        entries = self.entries[position:]
        return JournalPart(entries=entries, next_position=position + len(entries))

    def discard(self, journal: str, *, position: int) -> bool:
        return False
