"""The deployments of a person, as OpenAI's clients know them: models by name."""

from collections.abc import Sequence

from maas.application.actor import Actor
from maas.application.inference.routing import Route, Router
from maas.application.ports.repositories.serving import DeploymentFilter
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.errors import NotFound
from maas.domain.identifiers import id_in
from maas.domain.identity import Permission
from maas.domain.paging import LARGEST_PAGE, PageRequest
from maas.domain.serving.deployment import Deployment

_MOST_PAGES = 10


class ServedModels:
    """Finds a caller's own deployments by name or id."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, router: Router) -> None:
        self.unit_of_work = unit_of_work
        self.router = router

    def all(self, actor: Actor) -> Sequence[Deployment]:
        """Return the caller's deployments that have neither stopped nor failed, newest first; also an administrator's own alone."""
        actor.require(Permission.INFERENCE_CREATE)
        owner = Actor(user_id=actor.user_id)
        found: list[Deployment] = []
        with self.unit_of_work(read_only=True) as work:
            for number in range(1, _MOST_PAGES + 1):
                request = PageRequest(number=number, limit=LARGEST_PAGE)
                page = work.deployments.page(request, visible_to=owner, only=DeploymentFilter())
                found += page.items
                if len(found) >= page.total:
                    break
        return [deployment for deployment in found if deployment.is_live]

    def route(self, actor: Actor, model: str) -> Route:
        """Return the way to the deployment that `model` names, or raise NotFound."""
        actor.require(Permission.INFERENCE_CREATE)
        try:
            return self._route(actor, model)
        except NotFound:
            raise NotFound("there is no such model, or it is not visible to you", field="model") from None

    def _route(self, actor: Actor, model: str) -> Route:
        deployment_id = id_in(model)
        if deployment_id is not None:
            try:
                return self.router.route(actor, deployment_id)
            except NotFound:
                # A name may look like an id.
                return self.router.route_by_name(actor, model)
        return self.router.route_by_name(actor, model)
