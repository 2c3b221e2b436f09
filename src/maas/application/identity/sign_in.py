"""Signing in and out, and refreshing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from maas.application.actor import Actor
from maas.application.identity.authentication import Authentication
from maas.application.identity.secrets import hashed
from maas.application.ports.clock import Clock
from maas.application.ports.password_hasher import PasswordHasher
from maas.application.ports.rate_limiter import RateLimiter
from maas.application.ports.token_signer import AccessClaims, RefreshClaims, TokenSigner
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.domain.errors import CredentialsWrong, RateLimited, Unauthenticated
from maas.domain.identifiers import new_id
from maas.domain.identity import (
    ACCESS_TOKEN_LIFETIME,
    LONGEST_PASSWORD,
    REFRESH_TOKEN_LIFETIME,
    Session,
    Tokens,
    User,
    checked_email,
)
from maas.domain.paging import Page, PageRequest

FAILURES_IN_A_ROW = 10
FAILURES_FORGOTTEN_AFTER_SECONDS = 15 * 60
_LONGEST_USER_AGENT = 300
_ENDED_KEPT_FOR = timedelta(days=1)
_NO_LONGER_GOOD = "the token is missing, malformed or no longer good; sign in again"


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """The tokens of a sign-in and whose it is."""

    tokens: Tokens
    user: User


class SignIn:
    """Signs people in and out."""

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWorkFactory,
        passwords: PasswordHasher,
        tokens: TokenSigner,
        limiter: RateLimiter,
        authentication: Authentication,
        clock: Clock,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.passwords = passwords
        self.tokens = tokens
        self.limiter = limiter
        self.authentication = authentication
        self.clock = clock

    def sign_in(self, *, email: str, password: str, address: str, user_agent: str | None = None) -> SignedIn:
        """Sign in by e-mail and password, from a network address.

        Raises CredentialsWrong, in the same time for a wrong address as for a wrong password, and RateLimited after ten
        failures in a row from that address for that account.
        """
        checked_email(email)
        throttle = f"sign-in:{address}:{email.casefold()}"
        self._check_throttle(throttle)
        with self.unit_of_work(read_only=True) as work:
            user = work.users.find_by_email(email)
        fits = self.passwords.verify(password[: LONGEST_PASSWORD + 1], user.password_hash if user else None)
        # Others may have guessed meanwhile: past the tenth failure, nobody learns whether a guess was right.
        self._check_throttle(throttle)
        if user is None or not fits:
            self.limiter.hit(throttle, limit=FAILURES_IN_A_ROW, window_seconds=FAILURES_FORGOTTEN_AFTER_SECONDS)
            raise CredentialsWrong("e-mail or password is wrong")
        self.limiter.reset(throttle)
        return self.open_session(user, user_agent=user_agent)

    def open_session(self, user: User, *, user_agent: str | None = None) -> SignedIn:
        """Sign in somebody who has proved who they are."""
        now = self.clock.now()
        session = Session(
            id=new_id(),
            user_id=user.id,
            refresh_hash="",
            created_at=now,
            refreshed_at=now,
            expires_at=now + REFRESH_TOKEN_LIFETIME,
            user_agent=user_agent[:_LONGEST_USER_AGENT] if user_agent else None,
        )
        tokens = self._tokens(session, user, now)
        session.refresh_hash = hashed(tokens.refresh_token)
        with self.unit_of_work() as work:
            if work.users.get(user.id, for_update=True).password_hash != user.password_hash:
                # The password was changed since it was compared, and all sessions were ended with it.
                raise CredentialsWrong("e-mail or password is wrong")
            work.sessions.add(session)
        return SignedIn(tokens=tokens, user=user)

    def refresh(self, refresh_token: str) -> SignedIn:
        """Trade a refresh token for new tokens. A token that was used before revokes its whole session."""
        now = self.clock.now()
        claims = self.tokens.read_refresh(refresh_token, at=now)
        with self.unit_of_work() as work:
            session = work.sessions.find(claims.session_id, for_update=True)
            if session is None or not session.is_live(at=now):
                raise Unauthenticated(_NO_LONGER_GOOD)
            signed_in = self._rotate(work, session, claims, refresh_token, now)
        if signed_in is None:
            self.authentication.forget(session.id)
            raise Unauthenticated("this refresh token was used before: its whole session is signed out")
        return signed_in

    def _rotate(
        self, work: UnitOfWork, session: Session, claims: RefreshClaims, refresh_token: str, now: datetime
    ) -> SignedIn | None:
        if claims.generation != session.generation or hashed(refresh_token) != session.refresh_hash:
            work.publish(session.revoke(at=now))
            return None
        user = work.users.get(session.user_id)
        session.rotate(refresh_hash="", at=now)
        tokens = self._tokens(session, user, now)
        session.refresh_hash = hashed(tokens.refresh_token)
        return SignedIn(tokens=tokens, user=user)

    def sign_out(self, actor: Actor) -> None:
        """End the session of the access token that was used."""
        actor.require_person()
        if actor.credential_id is not None:
            self.revoke(actor, actor.credential_id)

    def sessions(self, actor: Actor, request: PageRequest) -> Page[Session]:
        """Return a page of the actor's live sessions."""
        actor.require_person()
        if request.sort == "updated_at":
            request = replace(request, sort="refreshed_at")
        with self.unit_of_work(read_only=True) as work:
            return work.sessions.page(request, of_user=actor.user_id, at=self.clock.now())

    def revoke(self, actor: Actor, session_id: UUID) -> None:
        """End one of the actor's sessions."""
        actor.require_person()
        with self.unit_of_work() as work:
            session = work.sessions.get(session_id, of_user=actor.user_id, for_update=True)
            work.publish(session.revoke(at=self.clock.now()))
        self.authentication.forget(session_id)

    def revoke_all(self, work: UnitOfWork, user_id: UUID, *, but: UUID | None = None) -> Sequence[UUID]:
        """End all sessions of a person, except one, within `work`; `forget` what is returned once it is committed."""
        now = self.clock.now()
        revoked = [session.revoke(at=now) for session in work.sessions.live_of(user_id, at=now) if session.id != but]
        work.publish(*revoked)
        return [event.credential_id for event in revoked]

    def forget(self, session_ids: Sequence[UUID]) -> None:
        """Make sessions that were revoked dead at once in this process."""
        for session_id in session_ids:
            self.authentication.forget(session_id)

    def sweep(self) -> None:
        """Drop sessions and mailed tokens that ended more than a day ago."""
        before = self.clock.now() - _ENDED_KEPT_FOR
        with self.unit_of_work() as work:
            work.sessions.remove_ended(before=before)
            work.mail_tokens.remove_expired(before=before)

    def _check_throttle(self, key: str) -> None:
        decision = self.limiter.peek(key, limit=FAILURES_IN_A_ROW, window_seconds=FAILURES_FORGOTTEN_AFTER_SECONDS)
        if decision.remaining <= 0:
            wait = max(1, int(decision.reset_at - self.clock.now().timestamp()) + 1)
            raise RateLimited(retry_after_seconds=min(wait, 3600), limit=FAILURES_IN_A_ROW)

    def _tokens(self, session: Session, user: User, now: datetime) -> Tokens:
        access = AccessClaims(
            user_id=user.id,
            session_id=session.id,
            roles=tuple(sorted(role.value for role in user.roles)),
            token_id=new_id(),
            issued_at=now,
            expires_at=now + ACCESS_TOKEN_LIFETIME,
        )
        refresh = RefreshClaims(
            session_id=session.id,
            generation=session.generation,
            token_id=new_id(),
            issued_at=now,
            expires_at=session.expires_at,
        )
        return Tokens(access_token=self.tokens.sign_access(access), refresh_token=self.tokens.sign_refresh(refresh))
