"""Asking embedding models."""

from collections.abc import Sequence
from uuid import UUID

from maas.application.actor import Actor
from maas.application.cancellation import Cancellation
from maas.application.inference.failover import Failover
from maas.application.inference.metering import Metering
from maas.application.inference.routing import Route, Router
from maas.application.ports.embedder import Embedder
from maas.domain.errors import ModelUnsuitable
from maas.domain.identity import Permission
from maas.domain.inference.answers import EmbeddedTexts
from maas.domain.inference.conversation import Embeddings, checked_texts
from maas.domain.usage import UsageKind

EMBEDDING_TASK = "feature-extraction"


class Embedding:
    """Makes vectors of texts."""

    def __init__(self, *, router: Router, embedder: Embedder, metering: Metering) -> None:
        self.router = router
        self.embedder = embedder
        self.metering = metering

    def embed(
        self, actor: Actor, deployment_id: UUID, *, texts: Sequence[str], cancellation: Cancellation | None = None
    ) -> EmbeddedTexts:
        """Return a vector for each text, in order; `cancellation` gives the call up."""
        actor.require(Permission.INFERENCE_CREATE)
        return self.embed_on(actor, self.router.route(actor, deployment_id), texts=texts, cancellation=cancellation)

    def embed_on(
        self,
        actor: Actor,
        route: Route,
        *,
        texts: Sequence[str],
        cancellation: Cancellation | None = None,
        kind: UsageKind = "embedding",
        field: str = "texts",
    ) -> EmbeddedTexts:
        deployment = route.deployment
        if deployment.task != EMBEDDING_TASK:
            raise ModelUnsuitable("this model makes no embeddings: it is for {task}", task=deployment.task)
        texts = checked_texts(texts, field=field)
        cancellation = cancellation or Cancellation()
        failover = Failover(self.router, self.router.ready(route))
        meter = self.metering.begin(actor, deployment, kind)
        try:
            embeddings = self._embeddings(failover, texts, cancellation)
            meter.count(embeddings.usage)
        except Exception as error:
            if not cancellation.is_cancelled:
                meter.fail(error)
            raise
        finally:
            meter.end(replica_id=failover.replica_id)
        return EmbeddedTexts(model=deployment.name, embeddings=embeddings)

    def _embeddings(self, failover: Failover, texts: Sequence[str], cancellation: Cancellation) -> Embeddings:
        for attempt in failover:
            with attempt as replica:
                return self.embedder.embed(replica.address or "", texts, cancellation=cancellation)
        raise AssertionError("a failover ends in an answer or a failure")
