"""Who acts as the controller: one process at a time, by a row that it renews."""

from datetime import datetime, timedelta

from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

ROLE = "controller"
TERM = timedelta(seconds=6)


class Leadership:
    """The wish of one process to hold the role. What it knows from its last look it does not ask again before half its term is over."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, holder: str, role: str = ROLE, term: timedelta = TERM) -> None:
        self.unit_of_work = unit_of_work
        self.holder = holder
        self._role = role
        self._term = term
        self._until: datetime | None = None

    def hold(self, at: datetime) -> bool:
        """Hold the role, taking or renewing it where that is due; return False where another holds it."""
        if self._until is not None and at < self._until - self._term / 2:
            return True
        self._until = at + self._term if self._take(at) else None
        return self._until is not None

    def is_held(self, work: UnitOfWork, *, at: datetime) -> bool:
        """Tell whether the role is still held, within the transaction that counts on it: a process that slept may have lost it."""
        held = work.leaderships.holder(self._role, at=at)
        return held is not None and held[0] == self.holder

    def give_back(self) -> None:
        """Let another take the role at once."""
        self._until = None
        with self.unit_of_work() as work:
            work.leaderships.give_back(self._role, holder=self.holder)

    def _take(self, at: datetime) -> bool:
        with self.unit_of_work(read_only=True) as work:
            held = work.leaderships.holder(self._role, at=at)
        if held is not None and held[0] != self.holder:
            return False
        with self.unit_of_work() as work:
            return work.leaderships.take(self._role, holder=self.holder, at=at, duration=self._term)
