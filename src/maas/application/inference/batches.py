"""Batches: answered in place, or by and by."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from maas.application.actor import Actor
from maas.application.cancellation import Cancellation
from maas.application.inference.batch_answers import BatchAnswers
from maas.application.inference.batch_lines import item_line, result_in
from maas.application.inference.routing import Router
from maas.application.ports.clock import Clock
from maas.application.ports.file_store import FileStore
from maas.application.ports.repositories.batches import BatchFilter
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.application.stored_trees import committed
from maas.domain.errors import InferenceUnavailable, ModelUnavailable
from maas.domain.identifiers import new_id
from maas.domain.identity import Permission
from maas.domain.inference.batch import MOST_IN_ALL, MOST_IN_PLACE, Batch, BatchItem, BatchResult, checked_items
from maas.domain.paging import Page, PageRequest
from maas.domain.serving.deployment import Deployment, DeploymentStatus

BATCH_WORK = "run_batch"
REQUESTS_FILE = "requests.jsonl"
RESULTS_FILE = "results.jsonl"
MOST_FAILURES = 20


class Batches:
    """What a person does with many requests at once."""

    def __init__(
        self, *, unit_of_work: UnitOfWorkFactory, file_store: FileStore, router: Router, answers: BatchAnswers, clock: Clock
    ) -> None:
        self.unit_of_work = unit_of_work
        self.file_store = file_store
        self.router = router
        self.answers = answers
        self.clock = clock

    def answer(
        self, actor: Actor, deployment_id: UUID, items: Sequence[BatchItem], *, cancellation: Cancellation | None = None
    ) -> Sequence[BatchResult]:
        """Answer 1 to 100 requests and return what became of each, in their order."""
        actor.require(Permission.INFERENCE_CREATE)
        items = checked_items(items, most=MOST_IN_PLACE)
        self.router.ready(self.router.route(actor, deployment_id))
        results = self.answers.all(
            actor, items, route=lambda: self.router.known(deployment_id), cancellation=cancellation or Cancellation()
        )
        return [result for result in results if result is not None]

    def submit(self, actor: Actor, deployment_id: UUID, items: Sequence[BatchItem], *, name: str | None = None) -> Batch:
        """Take up to 50,000 requests that are answered by and by."""
        actor.require(Permission.INFERENCE_CREATE)
        items = checked_items(items, most=MOST_IN_ALL)
        _check_will_answer(self.router.route(actor, deployment_id).deployment)
        batch_id = new_id()
        batch = Batch.make(
            id=batch_id,
            owner_id=actor.user_id,
            deployment_id=deployment_id,
            name=str(batch_id) if name is None else name,
            files_key=f"batches/{batch_id}",
            total=len(items),
            at=self.clock.now(),
        )
        self._store(batch, items)
        return batch

    def get(self, actor: Actor, batch_id: UUID) -> Batch:
        actor.require(Permission.INFERENCE_READ)
        with self.unit_of_work(read_only=True) as work:
            return work.batches.get(batch_id, visible_to=actor)

    def page(self, actor: Actor, request: PageRequest, *, only: BatchFilter) -> Page[Batch]:
        actor.require(Permission.INFERENCE_READ)
        with self.unit_of_work(read_only=True) as work:
            return work.batches.page(request, visible_to=actor, only=only)

    def results(self, actor: Actor, batch_id: UUID) -> Iterator[BatchResult]:
        """Return what became of the requests that are done by now, in their order, to be read one by one."""
        actor.require(Permission.INFERENCE_READ)
        with self.unit_of_work(read_only=True) as work:
            batch = work.batches.get(batch_id, visible_to=actor)
            keys = [part.files_key for part in work.batches.parts(batch.id)]
        return self._read(keys)

    def cancel(self, actor: Actor, batch_id: UUID) -> Batch:
        """End a batch; what was answered stays, and nothing more is asked."""
        actor.require(Permission.INFERENCE_CREATE)
        with self.unit_of_work() as work:
            batch = work.batches.get(batch_id, visible_to=actor, for_update=True)
            work.publish(batch.cancel(at=self.clock.now()))
            work.leases.withdraw(batch.id, kinds=(BATCH_WORK,))
            return batch

    def _store(self, batch: Batch, items: Sequence[BatchItem]) -> None:
        with self.file_store.stage() as staging:
            file = staging.create(REQUESTS_FILE)
            for item in items:
                file.write(item_line(item))
            file.finish()
            with committed(self.file_store, staging, batch.files_key, has_row=lambda: self._has_row(batch.id)):
                with self.unit_of_work() as work:
                    work.batches.add(batch)
                    work.leases.offer(BATCH_WORK, batch.id, at=batch.created_at, max_failures=MOST_FAILURES)

    def _read(self, keys: Sequence[str]) -> Iterator[BatchResult]:
        for key in keys:
            with self.file_store.local_copy(f"{key}/{RESULTS_FILE}").open("rb") as lines:
                yield from (result_in(line) for line in lines)

    def _has_row(self, batch_id: UUID) -> bool:
        with self.unit_of_work(read_only=True) as work:
            return work.batches.find(batch_id) is not None


def _check_will_answer(deployment: Deployment) -> None:
    if deployment.status is DeploymentStatus.FAILED:
        reason = deployment.reason or "the log has more"
        raise ModelUnavailable("the model of this deployment could not be loaded: {reason}", reason=reason)
    if deployment.status in (DeploymentStatus.STOPPING, DeploymentStatus.STOPPED):
        raise InferenceUnavailable("the deployment is not ready to answer: it is {status}", status=deployment.status.value)
