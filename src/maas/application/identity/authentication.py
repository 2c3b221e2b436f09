"""Tells who calls, from an access token or an API key."""

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from uuid import UUID

from maas.application.actor import Actor
from maas.application.identity.secrets import API_KEY_PREFIX, hashed
from maas.application.ports.clock import Clock
from maas.application.ports.token_signer import TokenSigner
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.errors import ApiKeyInvalid, Unauthenticated
from maas.domain.identity import ApiKey, Permission

LONGEST_CREDENTIAL = 4096
_REMEMBERED = 10_000
_KEY_USE_NOTED_EVERY = timedelta(minutes=1)
REVOCATION_REACHES_WITHIN = timedelta(seconds=1)


class Authentication:
    """Turns a credential into an actor.

    An answer is remembered for at most a second, so that a revoked credential is dead everywhere within that time; in the
    process that revoked it, `forget` makes it dead at once.
    """

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, tokens: TokenSigner, clock: Clock) -> None:
        self.unit_of_work = unit_of_work
        self.tokens = tokens
        self.clock = clock
        self._remembered: OrderedDict[str, tuple[datetime, Actor]] = OrderedDict()
        self._forgotten = 0
        self._lock = threading.Lock()

    def authenticate(self, credential: str) -> Actor:
        """Return the actor of an access token or API key.

        Raises Unauthenticated, TokenExpired or ApiKeyInvalid.
        """
        if not credential or len(credential) > LONGEST_CREDENTIAL:
            raise Unauthenticated("the token is missing, malformed or no longer good; sign in again")
        now = self.clock.now()
        remembered = self._remembered.get(credential)
        if remembered is not None and now < remembered[0]:
            return remembered[1]
        forgotten, is_key = self._forgotten, self.is_key(credential)
        actor, good_until = self._key_actor(credential, now) if is_key else self._token_actor(credential, now)
        self._remember(credential, actor, until=min(good_until, now + REVOCATION_REACHES_WITHIN), forgotten=forgotten)
        return actor

    @staticmethod
    def is_key(credential: str) -> bool:
        """Tell whether a credential would be an API key rather than a token."""
        return credential.startswith(API_KEY_PREFIX)

    def forget(self, credential_id: UUID) -> None:
        """Stop believing what is remembered of a session or key that was revoked here."""
        with self._lock:
            self._forgotten += 1
            for credential in [c for c, (_, actor) in self._remembered.items() if actor.credential_id == credential_id]:
                del self._remembered[credential]

    def _remember(self, credential: str, actor: Actor, *, until: datetime, forgotten: int) -> None:
        with self._lock:
            # What was read before something was revoked may be that very thing.
            if forgotten != self._forgotten:
                return
            self._remembered[credential] = (until, actor)
            self._remembered.move_to_end(credential)
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)

    def _token_actor(self, token: str, now: datetime) -> tuple[Actor, datetime]:
        claims = self.tokens.read_access(token, at=now)
        with self.unit_of_work(read_only=True) as work:
            session = work.sessions.find(claims.session_id)
            user = work.users.find(claims.user_id)
        if session is None or user is None or session.user_id != user.id or not session.is_live(at=now):
            raise Unauthenticated("the token is missing, malformed or no longer good; sign in again")
        return Actor(user_id=user.id, roles=user.roles, credential_id=session.id), claims.expires_at

    def _key_actor(self, secret: str, now: datetime) -> tuple[Actor, datetime]:
        with self.unit_of_work(read_only=True) as work:
            key = work.api_keys.find_by_hash(hashed(secret))
            user = work.users.find(key.user_id) if key is not None else None
        if key is None or user is None:
            raise ApiKeyInvalid("the API key is unknown, revoked or expired")
        key.check_live(at=now)
        self._note_use(key, now)
        actor = Actor(
            user_id=user.id,
            roles=user.roles,
            permissions=frozenset(permission for permission in key.permissions if permission in Permission),
            credential_id=key.id,
        )
        return actor, key.expires_at or now + REVOCATION_REACHES_WITHIN

    def _note_use(self, key: ApiKey, now: datetime) -> None:
        if key.last_used_at is not None and now - key.last_used_at < _KEY_USE_NOTED_EVERY:
            return
        with self.unit_of_work() as work:
            used = work.api_keys.find_by_hash(key.key_hash)
            if used is not None:
                used.last_used_at = now
