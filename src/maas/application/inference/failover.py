"""Asking one replica after another, until one has begun to answer."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from uuid import UUID

from maas.application.inference.routing import Route, Router
from maas.domain.errors import EngineLost, InferenceFailed, InferenceUnavailable
from maas.domain.serving.replica import Replica

# A call that its engine died of is not taken to every other.
_MOST_LOST = 2


class Failover:
    """Yields attempts to be made, each a context that hands out a replica; the first that does not fail is the last.

    An attempt fails where its replica cannot be reached, is full, or goes away before it `has_begun`; then the next is made,
    and where none is left the failure is raised.
    """

    def __init__(self, router: Router, route: Route) -> None:
        self.router = router
        self.replica_id: UUID | None = None
        self._route = route
        self._tried: set[UUID] = set()
        self._lost = 0
        self._has_reread = False

    def __iter__(self) -> Iterator["Attempt"]:
        failure: InferenceFailed = InferenceUnavailable("no engine of the deployment can be reached; try again in a moment")
        while (replica := self._next()) is not None:
            self._tried.add(replica.id)
            self.replica_id = replica.id
            attempt = Attempt(self.router, replica)
            yield attempt
            if attempt.failure is None:
                return
            failure = attempt.failure
            self._lost += isinstance(failure, EngineLost)
        raise failure

    def _next(self) -> Replica | None:
        if self._lost >= _MOST_LOST:
            return None
        replica = self.router.pick(self._route, tried=self._tried)
        if replica is None and not self._has_reread:
            # All that were known failed: there may be new ones by now.
            self._has_reread = True
            self._route = self.router.reread(self._route)
            replica = self.router.pick(self._route, tried=self._tried)
        return replica


class Attempt(AbstractContextManager[Replica]):
    """A call to one replica. It keeps a failure that another replica may make good, and lets others pass."""

    def __init__(self, router: Router, replica: Replica) -> None:
        self.has_begun = False
        self.failure: InferenceFailed | None = None
        self._router = router
        self._replica = replica
        self._occupied = router.occupied(replica)

    def __enter__(self) -> Replica:
        self._occupied.__enter__()
        return self._replica

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._occupied.__exit__(None, None, None)
        if self.has_begun or not isinstance(error, (InferenceUnavailable, EngineLost)):
            return False
        self.failure = error
        self._router.shun(self._replica)
        return True
