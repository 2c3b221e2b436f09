"""The leases that this process holds, and the thread that renews them."""

import threading
from datetime import timedelta

import structlog

from maas.application.ports.clock import Clock
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.application.work import Holding
from maas.domain.leases import Lease

log = structlog.get_logger(__name__)

_RENEWALS_PER_LEASE = 4


class HeldLease(Holding):
    """A lease that a thread of this process works under."""

    def __init__(self, lease: Lease, ending: threading.Event) -> None:
        self.lease = lease
        self._ending = ending
        self._lost = threading.Event()

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    @property
    def is_ending(self) -> bool:
        return self._ending.is_set()

    def lose(self) -> None:
        self._lost.set()


class Holdings:
    """Renews every lease of the process, a few times within each one's duration."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, clock: Clock, duration: timedelta, ending: threading.Event) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._duration = duration
        self._ending = ending
        self._held: set[HeldLease] = set()
        self._lock = threading.Lock()

    def hold(self, lease: Lease) -> HeldLease:
        held = HeldLease(lease, self._ending)
        with self._lock:
            self._held.add(held)
        return held

    def let_go(self, held: HeldLease) -> None:
        with self._lock:
            self._held.discard(held)

    def renew_forever(self) -> None:
        """Renew until the process ends; a lease that cannot be renewed in time is lost."""
        pause = threading.Event()
        while not pause.wait(self._duration.total_seconds() / _RENEWALS_PER_LEASE):
            with self._lock:
                held = list(self._held)
            if held:
                self._renew(held)

    def _renew(self, held: list[HeldLease]) -> None:
        now = self._clock.now()
        try:
            with self._unit_of_work() as work:
                lost = [one for one in held if not work.leases.renew(one.lease, at=now, duration=self._duration)]
        except Exception:
            log.exception("leases could not be renewed")
            return
        for one in lost:
            log.warning("a lease was lost", kind=one.lease.kind, subject=str(one.lease.subject_id))
            one.lose()
