"""What a worker does with leased work: one handler a kind, which writes its results under the lease."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from maas.domain.leases import Lease


class WorkInterrupted(Exception):
    """The process is ending: the handler has put its work down, and the worker gives the lease back without counting a failure."""


class Holding(ABC):
    """A lease while its handler runs; a thread of the worker renews it."""

    lease: Lease

    @property
    @abstractmethod
    def is_lost(self) -> bool:
        """Whether somebody else holds the work by now, or it was withdrawn: whatever is written from here on must not count."""

    @property
    @abstractmethod
    def is_ending(self) -> bool:
        """Whether the process is about to end: long work puts itself down and raises WorkInterrupted."""


class WorkHandler(ABC):
    """Does leased work of some kinds.

    `is_long` keeps it to the threads for long work, so that short work is never behind it.
    """

    kinds: Sequence[str] = ()
    is_long: bool = False

    @abstractmethod
    def run(self, holding: Holding) -> None:
        """Do the work. Results are written in a unit of work that checks `work.leases.holds(holding.lease)`, and the last
        one calls `work.leases.finish(holding.lease)`; where the handler did not, the worker finishes the lease after it.
        Any error counts as a failure: the work is tried again after a pause, up to its `max_failures`."""

    @abstractmethod
    def give_up(self, lease: Lease, reason: str) -> None:
        """The failures are used up: bring the subject to its final state, with the reason. May be called again."""


Reaction = Callable[[Mapping[str, Any]], None]
"""What follows an event: it takes the event's fields as JSON values (ids as text), and may be called more than once."""
