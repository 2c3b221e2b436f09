"""Which engine answers a call: known from rows that are read at most twice a second, not once a call."""

import random
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from maas.application.actor import Actor
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.errors import InferenceUnavailable, ModelUnavailable, NotFound
from maas.domain.serving.deployment import Deployment, DeploymentStatus
from maas.domain.serving.replica import Replica

FRESH_SECONDS = 0.5
# While one thread reads anew, the others go on with what is known.
_READING_SECONDS = 0.5
_SHUNNED_SECONDS = 1.0
_MOST_KNOWN = 10_000


@dataclass(frozen=True, kw_only=True)
class Route:
    """A deployment with its replicas that answer, as they stood when they were read."""

    deployment: Deployment
    replicas: tuple[Replica, ...]


class Router:
    """Finds deployments, and picks for each call the ready replica with the fewest calls of this process in flight."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, fresh_seconds: float = FRESH_SECONDS) -> None:
        self.unit_of_work = unit_of_work
        self._fresh_seconds = fresh_seconds
        self._known: dict[UUID, tuple[Route, float]] = {}
        self._names: dict[tuple[UUID, str], UUID] = {}
        self._in_flight: Counter[UUID] = Counter()
        self._shunned: dict[UUID, float] = {}
        self._lock = threading.Lock()

    def route(self, actor: Actor, deployment_id: UUID) -> Route:
        """Return the way to a deployment that `actor` may use, or raise NotFound."""
        route = self.known(deployment_id)
        if not actor.is_admin and route.deployment.owner_id != actor.user_id:
            raise NotFound
        return route

    def known(self, deployment_id: UUID) -> Route:
        """Return the way to a deployment, whoever may use it, or raise NotFound."""
        return self._fresh(deployment_id) or self._read(deployment_id)

    def route_by_name(self, actor: Actor, name: str) -> Route:
        """Return the way to the caller's own deployment of this name, or raise NotFound."""
        known = self._names.get((actor.user_id, name))
        if known is not None:
            route = self.route(actor, known)
            if route.deployment.name_key == name:
                return route
        with self.unit_of_work(read_only=True) as work:
            deployment = work.deployments.find_by_name(name, owner_id=actor.user_id)
        if deployment is None:
            raise NotFound
        if len(self._names) >= _MOST_KNOWN:
            self._names.clear()
        self._names[actor.user_id, name] = deployment.id
        return self.route(actor, deployment.id)

    def ready(self, route: Route) -> Route:
        """Return a route with replicas to ask. Refuses only by rows that were read for this call.

        Raises ModelUnavailable where the deployment has failed, InferenceUnavailable where it is not ready.
        """
        if not _is_ready(route):
            route = self._read(route.deployment.id)
        deployment = route.deployment
        if deployment.status is DeploymentStatus.FAILED:
            reason = deployment.reason or "the log has more"
            raise ModelUnavailable("the model of this deployment could not be loaded: {reason}", reason=reason)
        if not _is_ready(route):
            raise InferenceUnavailable("the deployment is not ready to answer: it is {status}", status=deployment.status.value)
        return route

    def reread(self, route: Route) -> Route:
        """Return the route as it stands now: replicas may have been replaced since."""
        return self._read(route.deployment.id)

    def pick(self, route: Route, *, tried: Collection[UUID]) -> Replica | None:
        """Return the replica to ask next, or None where all were tried; those that failed a moment ago come last."""
        untried = [replica for replica in route.replicas if replica.id not in tried]
        if len(untried) < 2:
            return untried[0] if untried else None
        now = time.monotonic()
        return min(untried, key=lambda one: (self._shunned.get(one.id, 0.0) > now, self._in_flight[one.id], random.random()))  # noqa: S311 - no secret

    @contextmanager
    def occupied(self, replica: Replica) -> Iterator[None]:
        """Count a call as in flight at a replica."""
        with self._lock:
            self._in_flight[replica.id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight[replica.id] -= 1
                if not self._in_flight[replica.id]:
                    del self._in_flight[replica.id]

    def shun(self, replica: Replica) -> None:
        """Ask others first for a moment: this one could not be reached, or is full."""
        with self._lock:
            now = time.monotonic()
            self._shunned = {key: until for key, until in self._shunned.items() if until > now}
            self._shunned[replica.id] = now + _SHUNNED_SECONDS

    def _fresh(self, deployment_id: UUID) -> Route | None:
        known = self._known.get(deployment_id)
        if known is None:
            return None
        route, fresh_until = known
        now = time.monotonic()
        if now < fresh_until:
            return route
        if now < fresh_until + _READING_SECONDS:
            self._known[deployment_id] = (route, now + _READING_SECONDS)
        return None

    def _read(self, deployment_id: UUID) -> Route:
        with self.unit_of_work(read_only=True) as work:
            deployment = work.deployments.find(deployment_id)
            replicas = work.replicas.of(deployment_id) if deployment is not None else ()
        if deployment is None:
            self._known.pop(deployment_id, None)
            raise NotFound
        answering = tuple(replica for replica in replicas if replica.is_running and replica.address is not None)
        route = Route(deployment=deployment, replicas=answering)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[deployment_id] = (route, time.monotonic() + self._fresh_seconds)
        return route


def _is_ready(route: Route) -> bool:
    return route.deployment.may_answer and bool(route.replicas)
