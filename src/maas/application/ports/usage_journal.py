"""The port for writing down what was used, before it is summed up."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from maas.domain.usage import UsageEntry


@dataclass(frozen=True, kw_only=True)
class JournalPart:
    """Entries of a journal, from one position to the next."""

    entries: Sequence[UsageEntry]
    next_position: int


class UsageJournal(ABC):
    """Each process writes entries into a journal of its own, at once and safe from the death of the process.

    A journal is summed up piece by piece; how far stands in the same transaction as the sums, so that each entry counts
    once whoever dies when. Journals of processes that died are summed up by those that live.
    """

    @abstractmethod
    def record(self, entry: UsageEntry) -> None:
        """Write an entry down; it is safe when this returns. Call it before the answer ends."""

    @abstractmethod
    def journals(self) -> Sequence[str]:
        """Return the names of the journals that this process sees to: its own, and those that nobody writes any more."""

    @abstractmethod
    def read(self, journal: str, *, position: int) -> JournalPart:
        """Return the entries after `position`, as many as one transaction may hold; none once all are read."""

    @abstractmethod
    def discard(self, journal: str, *, position: int) -> bool:
        """Remove a journal that nobody writes any more and that ends at `position`; False where it still stands."""
