"""The threads of a worker."""

import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from maas.application.ports.broadcaster import Broadcaster
from maas.application.ports.clock import Clock
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.application.reactions import REACTION_KIND, WORK_TOPIC
from maas.application.work import Holding, Reaction, WorkHandler, WorkInterrupted
from maas.domain.errors import MaasError
from maas.domain.leases import Lease
from maas.entrypoints.worker.holdings import HeldLease, Holdings

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 2.0
_EXHAUSTED_SECONDS = 3.0
_BROKEN_SECONDS = 1.0
_DIED = "the processes that worked on this died, too many times"


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How many threads take long and short work, and for how long a silent holder keeps it."""

    long_threads: int = 4
    short_threads: int = 2
    lease: timedelta = timedelta(seconds=30)


class ReactionHandler(WorkHandler):
    """Runs the reactions that the container binds."""

    def __init__(self, reactions: Mapping[str, Reaction]) -> None:
        self._reactions = {REACTION_KIND + name: reaction for name, reaction in reactions.items()}
        self.kinds = tuple(self._reactions)

    def run(self, holding: Holding) -> None:
        self._reactions[holding.lease.kind](holding.lease.payload)

    def give_up(self, lease: Lease, reason: str) -> None:
        log.error("a reaction failed for good", kind=lease.kind, work=str(lease.work_id), reason=reason)


class Worker:
    """Takes work that is due and hands it to its handler, until the process ends."""

    def __init__(
        self,
        *,
        handlers: Sequence[WorkHandler],
        reactions: Mapping[str, Reaction],
        unit_of_work: UnitOfWorkFactory,
        broadcaster: Broadcaster,
        clock: Clock,
        options: WorkerOptions,
        ending: threading.Event,
    ) -> None:
        everything = [*handlers, ReactionHandler(reactions)]
        self._handlers = {kind: handler for handler in everything for kind in handler.kinds}
        self._unit_of_work = unit_of_work
        self._broadcaster = broadcaster
        self._clock = clock
        self._options = options
        self._ending = ending
        self._holdings = Holdings(unit_of_work=unit_of_work, clock=clock, duration=options.lease, ending=ending)
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def run(self, patience_seconds: float) -> bool:
        """Work until `ending` is set; return whether all put their work down within the patience."""
        threading.Thread(target=self._holdings.renew_forever, name="lease-renewal", daemon=True).start()
        threading.Thread(target=self._close_exhausted_forever, name="exhausted-work", daemon=True).start()
        threads = [*self._start("long", self._options.long_threads, is_long=True)]
        threads += self._start("short", self._options.short_threads, is_long=False)
        self._ending.wait()
        deadline = time.monotonic() + patience_seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _start(self, name: str, count: int, *, is_long: bool) -> list[threading.Thread]:
        kinds = [kind for kind, handler in self._handlers.items() if handler.is_long is is_long]
        if not kinds:
            return []
        names = [f"{name}-work-{number}" for number in range(count)]
        threads = [threading.Thread(target=self._take_forever, args=(kinds,), name=one, daemon=True) for one in names]
        for thread in threads:
            thread.start()
        return threads

    def _take_forever(self, kinds: Sequence[str]) -> None:
        with self._broadcaster.listen(WORK_TOPIC) as listener:
            while not self._ending.is_set():
                try:
                    took = self.take_one(kinds)
                except Exception:
                    log.exception("work could not be taken")
                    self._ending.wait(_BROKEN_SECONDS)
                    continue
                if not took:
                    listener.wait(_LOOK_SECONDS)

    def take_one(self, kinds: Sequence[str] | None = None) -> bool:
        """Do one piece of work that is due; return False where there is none."""
        wanted = list(self._handlers) if kinds is None else kinds
        with self._unit_of_work(read_only=True) as work:
            if not work.leases.is_due(wanted, at=self._clock.now()):
                return False
        with self._unit_of_work() as work:
            lease = work.leases.claim(wanted, worker=self._name, at=self._clock.now(), duration=self._options.lease)
        if lease is None:
            return False
        held = self._holdings.hold(lease)
        try:
            with structlog.contextvars.bound_contextvars(work=str(lease.work_id), kind=lease.kind, attempt=lease.attempt):
                self._run(held)
        finally:
            self._holdings.let_go(held)
        return True

    def _run(self, held: HeldLease) -> None:
        lease = held.lease
        try:
            self._handlers[lease.kind].run(held)
        except WorkInterrupted:
            with self._unit_of_work() as work:
                work.leases.give_back(lease, at=self._clock.now())
        except Exception as error:
            self._fail(lease, error)
        else:
            with self._unit_of_work() as work:
                work.leases.finish(lease)

    def _fail(self, lease: Lease, error: Exception) -> None:
        expected = isinstance(error, MaasError)
        log.warning("work failed", exc_info=not expected, reason=str(error) if expected else None)
        reason = str(error) if expected else "an unexpected error; the log has more under this work's id"
        with self._unit_of_work() as work:
            over = work.leases.fail(lease, reason=reason, at=self._clock.now())
        if over:
            self._handlers[lease.kind].give_up(lease, reason)

    def _close_exhausted_forever(self) -> None:
        while not self._ending.wait(_EXHAUSTED_SECONDS):
            try:
                self.close_exhausted()
            except Exception:
                log.exception("exhausted work could not be closed")

    def close_exhausted(self) -> None:
        """Fail for good what died with its workers too often."""
        with self._unit_of_work(read_only=True) as work:
            items = [item for item in work.leases.exhausted(at=self._clock.now()) if item.kind in self._handlers]
        for item in items:
            lease = Lease(
                work_id=item.id,
                kind=item.kind,
                subject_id=item.subject_id,
                payload=item.payload,
                attempt=item.attempt,
                failures=item.failures,
                until=item.lease_until or item.due_at,
            )
            self._handlers[item.kind].give_up(lease, _DIED)
            with self._unit_of_work() as work:
                work.leases.close_failed(item.id, reason=_DIED)
