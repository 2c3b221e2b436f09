"""Answering a batch by and by: leased work that goes on where it was left, whoever died."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from uuid import UUID

from maas.application.actor import Actor
from maas.application.cancellation import Cancellation
from maas.application.inference.batch_answers import BatchAnswers, Results
from maas.application.inference.batch_lines import item_in, result_line
from maas.application.inference.batches import BATCH_WORK, REQUESTS_FILE, RESULTS_FILE
from maas.application.inference.routing import Router
from maas.application.ports.clock import Clock
from maas.application.ports.file_store import FileStore
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.application.stored_trees import committed
from maas.application.work import Holding, WorkHandler, WorkInterrupted
from maas.domain.errors import MaasError, ModelUnavailable, NotFound
from maas.domain.identifiers import new_id
from maas.domain.inference.batch import Batch, BatchItem, BatchPart, BatchResult
from maas.domain.leases import Lease
from maas.domain.usage import summed

MOST_PER_PART = 100
_PART_SECONDS = 5.0
_GONE = (NotFound, ModelUnavailable)


class BatchWork(WorkHandler):
    """Answers the requests of a batch in their order, and keeps the results part by part.

    A part's results, its counts and what it used are stored in one transaction under the lease: a request counts once,
    with the part that holds its result, and what was answered for a part that was never stored costs nothing.
    """

    kinds = (BATCH_WORK,)
    is_long = True

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWorkFactory,
        file_store: FileStore,
        router: Router,
        answers: BatchAnswers,
        clock: Clock,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.file_store = file_store
        self.router = router
        self.answers = answers
        self.clock = clock

    def run(self, holding: Holding) -> None:
        batch = self._begin(holding)
        if batch is None:
            return
        cancellation = Cancellation()
        try:
            with closing(self._results(batch, cancellation)) as results:
                for part in _parts(results, holding):
                    if not self._keep(part, holding):
                        return
        except _GONE as error:
            self._fail(batch.id, "the deployment is gone" if isinstance(error, NotFound) else str(error))
            return
        if holding.is_ending:
            raise WorkInterrupted
        if not holding.is_lost:
            self._finish(holding)

    def give_up(self, lease: Lease, reason: str) -> None:
        self._fail(lease.subject_id, reason)

    def _begin(self, holding: Holding) -> Batch | None:
        with self.unit_of_work() as work:
            batch = work.batches.find(holding.lease.subject_id, for_update=True)
            if batch is None or batch.is_finished or not work.leases.holds(holding.lease):
                return None
            batch.start(at=self.clock.now())
            return batch

    def _results(self, batch: Batch, cancellation: Cancellation) -> Results:
        actor = Actor(user_id=batch.owner_id)
        with closing(self._items(batch)) as items:
            yield from self.answers.all(
                actor, items, route=lambda: self.router.known(batch.deployment_id), cancellation=cancellation, stands=False
            )

    def _items(self, batch: Batch) -> Generator[BatchItem, None, None]:
        path = self.file_store.local_copy(f"{batch.files_key}/{REQUESTS_FILE}")
        with path.open("rb") as lines:
            yield from (item_in(line) for line in islice(lines, batch.position, None))

    def _keep(self, results: Sequence[BatchResult], holding: Holding) -> bool:
        """Store the next results; return False where the work is somebody else's by now."""
        key = f"batch-parts/{new_id()}"
        with self.file_store.stage() as staging:
            file = staging.create(RESULTS_FILE)
            for result in results:
                file.write(result_line(result))
            file.finish()
            with committed(self.file_store, staging, key, has_row=lambda: self._has_part(holding.lease.subject_id, key)):
                with self.unit_of_work() as work:
                    kept = self._count(work, results, key, holding)
        if not kept:
            self.file_store.delete(key)
        return kept

    def _count(self, work: UnitOfWork, results: Sequence[BatchResult], key: str, holding: Holding) -> bool:
        batch = work.batches.find(holding.lease.subject_id, for_update=True)
        if batch is None or batch.is_finished or not work.leases.holds(holding.lease):
            return False
        failed = sum(result.error is not None for result in results)
        part = BatchPart(batch_id=batch.id, number=batch.parts, files_key=key, completed=len(results) - failed, failed=failed)
        batch.count(part, at=self.clock.now())
        work.batches.add_part(part)
        work.usage.add(summed(result.used for result in results if result.used is not None))
        return True

    def _has_part(self, batch_id: UUID, key: str) -> bool:
        with self.unit_of_work(read_only=True) as work:
            return any(part.files_key == key for part in work.batches.parts(batch_id))

    def _finish(self, holding: Holding) -> None:
        with self.unit_of_work() as work:
            batch = work.batches.find(holding.lease.subject_id, for_update=True)
            if batch is not None and not batch.is_finished and work.leases.holds(holding.lease):
                work.publish(batch.succeed(at=self.clock.now()))
                work.leases.finish(holding.lease)

    def _fail(self, batch_id: UUID, reason: str) -> None:
        with self.unit_of_work() as work:
            batch = work.batches.find(batch_id, for_update=True)
            if batch is not None and not batch.is_finished:
                work.publish(batch.fail(reason, at=self.clock.now()))


def _parts(results: Iterator[BatchResult | None], holding: Holding) -> Iterator[list[BatchResult]]:
    """Yield the results that are to be stored together; stop early where the process ends or the work is lost."""
    part: list[BatchResult] = []
    began = time.monotonic()
    try:
        for result in results:
            if result is not None:
                part.append(result)
            stops = holding.is_ending or holding.is_lost
            if part and (stops or len(part) >= MOST_PER_PART or time.monotonic() - began >= _PART_SECONDS):
                yield part
                part, began = [], time.monotonic()
            if stops:
                return
    except MaasError:
        # What was answered before the rest could not be is kept all the same.
        if part:
            yield part
        raise
    if part:
        yield part
