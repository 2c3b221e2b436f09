"""Who acts: a signed-in person, or a key that acts for one within its permissions."""

from dataclasses import dataclass, field
from uuid import UUID

from maas.domain.errors import Forbidden
from maas.domain.identity import Permission, Role


@dataclass(frozen=True, kw_only=True)
class Actor:
    """The caller of a use case.

    `permissions` is None for a person, who may do all that their roles allow; an API key lists what it may do.
    `credential_id` is the session of an access token, or the API key.
    """

    user_id: UUID
    roles: frozenset[Role] = frozenset({Role.USER})
    permissions: frozenset[Permission] | None = None
    credential_id: UUID | None = field(default=None, compare=False)

    @property
    def is_admin(self) -> bool:
        return Role.ADMIN in self.roles

    @property
    def is_key(self) -> bool:
        return self.permissions is not None

    def require(self, permission: Permission) -> None:
        """Raise Forbidden where this is a key without `permission`."""
        if self.permissions is not None and permission not in self.permissions:
            raise Forbidden("this API key lacks the permission {permission}", permission=permission.value)

    def require_person(self) -> None:
        """Raise Forbidden where this is a key: keys never touch the account or other keys."""
        if self.is_key:
            raise Forbidden("an API key cannot touch the account; sign in instead")
