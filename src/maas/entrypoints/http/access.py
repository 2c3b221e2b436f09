"""Who may call a route: declared where the route is, enforced before anything is read."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from maas.application.actor import Actor
from maas.domain.errors import Forbidden
from maas.domain.identity import Permission


class Gate(StrEnum):
    """Accesses that are no permission of a key."""

    PUBLIC = "public"
    """Anyone; a credential that comes along is not looked at."""
    SIGNED_IN = "signed_in"
    """Any signed-in person, and any API key."""
    PERSON = "person"
    """A person with an access token; keys are refused."""
    ADMIN = "admin"
    """An administrator with an access token; keys are refused."""


Access = Gate | Permission


@dataclass(frozen=True, kw_only=True)
class RouteRules:
    """What holds for every call of a route.

    `locate` raises where the caller may not have what the path names. `idempotent`: it takes an Idempotency-Key.
    """

    access: Access
    locate: Callable[..., object] | None = None
    idempotent: bool = False


def check_access(access: Access, actor: Actor) -> None:
    """Raise Forbidden where `actor` may not call a route of this access."""
    if isinstance(access, Permission):
        actor.require(access)
    elif access is not Gate.SIGNED_IN:
        actor.require_person()
        if access is Gate.ADMIN and not actor.is_admin:
            raise Forbidden("only administrators may do this")
