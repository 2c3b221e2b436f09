"""Who may see a thing and who may change it, the same for every capability."""

from typing import Protocol
from uuid import UUID

from maas.application.actor import Actor
from maas.domain.errors import Forbidden
from maas.domain.visibility import Visibility


class Owned(Protocol):
    """A thing with an owner."""

    @property
    def owner_id(self) -> UUID: ...


class Visible(Owned, Protocol):
    """A thing that its owner may show to others."""

    @property
    def visibility(self) -> Visibility: ...


def may_see(actor: Actor, thing: Visible) -> bool:
    return actor.is_admin or thing.owner_id == actor.user_id or thing.visibility is Visibility.PUBLIC


def require_owner(actor: Actor, thing: Owned) -> None:
    """Raise Forbidden where `actor` may see the thing and not change it."""
    if thing.owner_id != actor.user_id and not actor.is_admin:
        raise Forbidden("only the owner may change this")
