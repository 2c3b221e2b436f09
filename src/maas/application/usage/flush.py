"""Summing up what processes wrote into their journals."""

from datetime import timedelta

from maas.application.ports.clock import Clock
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.application.ports.usage_journal import JournalPart, UsageJournal
from maas.domain.usage import summed

_ENDED_FOR = timedelta(days=1)


class UsageFlush:
    """Adds journals to the sums: every process its own once a second or so, and what dead processes left behind.

    A part counts in the transaction that moves its journal's position, from where this process believed it to stand;
    where another was first, nothing counts.
    """

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, journal: UsageJournal, clock: Clock) -> None:
        self.unit_of_work = unit_of_work
        self.journal = journal
        self.clock = clock
        self._positions: dict[str, int] = {}

    def flush(self) -> int:
        """Add all that is written by now; return the number of entries."""
        names = self.journal.journals()
        self._positions = {name: position for name, position in self._positions.items() if name in names}
        return sum(self._flush(name) for name in names)

    def _flush(self, name: str) -> int:
        position, counted = self._position(name), 0
        while (part := self.journal.read(name, position=position)).next_position > position:
            if not self._count(name, position, part):
                self._positions.pop(name, None)
                return counted
            position = self._positions[name] = part.next_position
            counted += len(part.entries)
        if self.journal.discard(name, position=position):
            now = self.clock.now()
            with self.unit_of_work() as work:
                work.usage.end(name, at=now)
                work.usage.forget_ended(before=now - _ENDED_FOR)
        return counted

    def _position(self, name: str) -> int:
        if name not in self._positions:
            with self.unit_of_work(read_only=True) as work:
                self._positions[name] = work.usage.position(name)
        return self._positions[name]

    def _count(self, name: str, position: int, part: JournalPart) -> bool:
        sums = summed(part.entries)
        with self.unit_of_work() as work:
            if not work.usage.advance(name, position=position, to=part.next_position):
                return False
            work.usage.add(sums)
            return True
