"""Calls of the API: counted when they come, written down when they are answered."""

from maas.application.actor import Actor
from maas.application.ports.clock import Clock
from maas.application.ports.usage_journal import UsageJournal
from maas.application.usage.limits import CallAllowance, Limits
from maas.domain.usage import UsageEntry


class ApiCalls:
    """Counts calls of people, by whatever protocol they come."""

    def __init__(self, *, limits: Limits, journal: UsageJournal, clock: Clock) -> None:
        self.limits = limits
        self.journal = journal
        self.clock = clock

    def count(self, actor: Actor, address: str | None = None) -> CallAllowance | None:
        """Count a call that came, by its address too where that is given, or raise RateLimited; None without a limit."""
        return self.limits.count_call(actor, address)

    def record(self, actor: Actor) -> None:
        """Write down a call that was counted, before its answer ends."""
        self.journal.record(UsageEntry(user_id=actor.user_id, at=self.clock.now(), kind="call"))
