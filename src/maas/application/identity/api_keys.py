"""A person's API keys."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from maas.application.actor import Actor
from maas.application.identity.authentication import Authentication
from maas.application.identity.secrets import API_KEY_PREFIX, hashed, new_api_key
from maas.application.ports.clock import Clock
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.errors import OutOfRange
from maas.domain.identifiers import new_id
from maas.domain.identity import ApiKey, CredentialRevoked, permissions_from
from maas.domain.paging import Page, PageRequest

_SHOWN = len(API_KEY_PREFIX) + 6


@dataclass(frozen=True, kw_only=True)
class ApiKeyCreated:
    """A new key, with the secret that is shown this once."""

    key: ApiKey
    secret: str


class PersonalApiKeys:
    """Makes, lists and revokes API keys. Only a person may: a key never touches keys."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, authentication: Authentication, clock: Clock) -> None:
        self.unit_of_work = unit_of_work
        self.authentication = authentication
        self.clock = clock

    def create(self, actor: Actor, *, name: str, permissions: list[str], expires_at: datetime | None = None) -> ApiKeyCreated:
        actor.require_person()
        now = self.clock.now()
        if expires_at is not None and expires_at <= now:
            raise OutOfRange("the key would have expired already", field="expires_at")
        secret = new_api_key()
        key = ApiKey(
            id=new_id(),
            user_id=actor.user_id,
            name=name,
            prefix=secret[:_SHOWN],
            key_hash=hashed(secret),
            permissions=permissions_from(permissions),
            expires_at=expires_at,
            created_at=now,
        )
        with self.unit_of_work() as work:
            work.api_keys.add(key)
        return ApiKeyCreated(key=key, secret=secret)

    def get(self, actor: Actor, key_id: UUID) -> ApiKey:
        actor.require_person()
        with self.unit_of_work(read_only=True) as work:
            return work.api_keys.get(key_id, of_user=actor.user_id)

    def page(self, actor: Actor, request: PageRequest) -> Page[ApiKey]:
        actor.require_person()
        if request.sort == "updated_at":
            # Keys do not change.
            request = replace(request, sort="created_at")
        with self.unit_of_work(read_only=True) as work:
            return work.api_keys.page(request, of_user=actor.user_id)

    def revoke(self, actor: Actor, key_id: UUID) -> None:
        """Make a key dead: here at once, in other processes within a second."""
        actor.require_person()
        with self.unit_of_work() as work:
            key = work.api_keys.get(key_id, of_user=actor.user_id)
            work.api_keys.remove(key)
            work.publish(CredentialRevoked(owner_id=actor.user_id, credential_id=key_id))
        self.authentication.forget(key_id)
