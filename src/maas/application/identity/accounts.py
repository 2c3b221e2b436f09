"""Accounts: registering, proving the address, the profile, the password."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from maas.application.actor import Actor
from maas.application.identity.secrets import hashed, new_mail_token
from maas.application.identity.sign_in import SignIn
from maas.application.ports.clock import Clock
from maas.application.ports.mailer import Mail, Mailer
from maas.application.ports.password_hasher import PasswordHasher
from maas.application.ports.rate_limiter import RateLimiter
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.domain.errors import AlreadyExists, CredentialsWrong, Forbidden, RateLimited, Unauthenticated
from maas.domain.identifiers import new_id
from maas.domain.identity import (
    MailPurpose,
    MailToken,
    Role,
    User,
    UserRegistered,
    check_account,
    checked_email,
    checked_password,
)

VERIFICATION_LIFETIME = timedelta(days=7)
RESET_LIFETIME = timedelta(hours=1)
GUESSES_AN_HOUR = 10
MAILS_AN_HOUR = 10
"""To one address, of one kind; past them nothing is sent, and nobody is told."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A new account, and whether a mail to prove its address went out."""

    user: User
    verification_sent: bool


class Accounts:
    """Makes accounts and changes them."""

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWorkFactory,
        passwords: PasswordHasher,
        mailer: Mailer,
        limiter: RateLimiter,
        sign_in: SignIn,
        clock: Clock,
        registration_open: bool,
        public_url: str,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.passwords = passwords
        self.mailer = mailer
        self.limiter = limiter
        self.sign_in = sign_in
        self.clock = clock
        self.registration_open = registration_open
        self.public_url = public_url.rstrip("/")

    def register(
        self, *, username: str, email: str, password: str, profile: Mapping[str, str | None] | None = None
    ) -> Registration:
        """Make an account, and mail a token that proves its address.

        Raises AlreadyExists where the name or the address is taken, Forbidden where registration is closed.
        """
        if not self.registration_open:
            raise Forbidden("registration is closed here; ask the operator for an account")
        user = self._new_user(username=username, email=email, password=password, profile=profile or {})
        with self.unit_of_work() as work:
            self._add(work, user)
            token = self._mail_token(work, user, MailPurpose.VERIFY_EMAIL, VERIFICATION_LIFETIME)
        return Registration(user=user, verification_sent=self._send_verification(user, token))

    def create(self, *, username: str, email: str, password: str, role: Role) -> User:
        """Make a verified account, as the operator does at the command line."""
        user = self._new_user(username=username, email=email, password=password, profile={})
        user.roles = frozenset({Role.USER, role})
        user.verify_email(at=user.created_at)
        with self.unit_of_work() as work:
            self._add(work, user)
        return user

    def verify_email(self, token: str) -> User:
        """Use a mailed token to prove the address; raise Unauthenticated where it is no longer good."""
        with self.unit_of_work() as work:
            user = self._use_token(work, token, MailPurpose.VERIFY_EMAIL)
            user.verify_email(at=self.clock.now())
            return user

    def resend_verification(self, email: str) -> None:
        """Mail another token, where the address has an account that is not verified; nobody is told which is the case."""
        checked_email(email)
        with self.unit_of_work() as work:
            user = work.users.find_by_email(email)
            if user is None or user.email_verified_at is not None or not self._may_mail(user, MailPurpose.VERIFY_EMAIL):
                return
            token = self._mail_token(work, user, MailPurpose.VERIFY_EMAIL, VERIFICATION_LIFETIME)
        self._send_verification(user, token)

    def forgot_password(self, email: str) -> None:
        """Mail a token that sets a new password, where the address has an account; nobody is told whether it has."""
        checked_email(email)
        with self.unit_of_work() as work:
            user = work.users.find_by_email(email)
            if user is None or not self._may_mail(user, MailPurpose.RESET_PASSWORD):
                return
            token = self._mail_token(work, user, MailPurpose.RESET_PASSWORD, RESET_LIFETIME)
        self.mailer.send(
            Mail(
                to=user.email,
                subject="Set a new password / 重置密码",
                text=_mail_text(token, f"POST {self.public_url}/api/v1/auth/reset-password"),
            )
        )

    def reset_password(self, *, token: str, new_password: str) -> None:
        """Set a new password by a mailed token, and end all sessions."""
        checked_password(new_password, field="new_password")
        password_hash = self.passwords.hash(new_password)
        with self.unit_of_work() as work:
            user = self._use_token(work, token, MailPurpose.RESET_PASSWORD)
            user.change_password(password_hash, at=self.clock.now())
            user.verify_email(at=self.clock.now())
            revoked = self.sign_in.revoke_all(work, user.id)
        self.sign_in.forget(revoked)

    def change_password(self, actor: Actor, *, old_password: str, new_password: str) -> None:
        """Set a new password, and end all other sessions; raise CredentialsWrong where the old one is wrong."""
        actor.require_person()
        checked_password(new_password, field="new_password")
        user = self.profile(actor)
        self._check_old_password(user, old_password)
        password_hash = self.passwords.hash(new_password)
        with self.unit_of_work() as work:
            work.users.get(user.id, for_update=True).change_password(password_hash, at=self.clock.now())
            revoked = self.sign_in.revoke_all(work, user.id, but=actor.credential_id)
        self.sign_in.forget(revoked)

    def profile(self, actor: Actor) -> User:
        actor.require_person()
        with self.unit_of_work(read_only=True) as work:
            return work.users.get(actor.user_id)

    def change_profile(self, actor: Actor, changes: Mapping[str, str | None]) -> User:
        """Set the given ones of first_name, last_name and organization; None clears."""
        actor.require_person()
        with self.unit_of_work() as work:
            user = work.users.get(actor.user_id, for_update=True)
            user.change_profile(changes, at=self.clock.now())
            return user

    def _new_user(self, *, username: str, email: str, password: str, profile: Mapping[str, str | None]) -> User:
        check_account(username=username, email=email, password=password, profile=profile)
        now = self.clock.now()
        return User(
            id=new_id(),
            username=username,
            email=email,
            password_hash=self.passwords.hash(password),
            first_name=profile.get("first_name"),
            last_name=profile.get("last_name"),
            organization=profile.get("organization"),
            created_at=now,
            updated_at=now,
        )

    def _add(self, work: UnitOfWork, user: User) -> None:
        if work.users.find_by_email(user.email) is not None:
            raise AlreadyExists("an account with this e-mail exists", field="email")
        if work.users.find_by_username(user.username) is not None:
            raise AlreadyExists("this user name is taken", field="username")
        work.users.add(user)
        work.publish(UserRegistered(owner_id=user.id))

    def _check_old_password(self, user: User, password: str) -> None:
        """Raise CredentialsWrong, or RateLimited after ten wrong ones: a token that was stolen must not become a password."""
        throttle = f"old-password:{user.id.hex}"
        decision = self.limiter.hit(throttle, limit=GUESSES_AN_HOUR, window_seconds=3600)
        if not decision.allowed:
            seconds = int(decision.reset_at - self.clock.now().timestamp()) + 1
            raise RateLimited(retry_after_seconds=min(3600, max(1, seconds)), limit=GUESSES_AN_HOUR)
        if not self.passwords.verify(password, user.password_hash):
            raise CredentialsWrong("the old password is wrong")
        self.limiter.reset(throttle)

    def _may_mail(self, user: User, purpose: MailPurpose) -> bool:
        return self.limiter.hit(f"mail:{purpose}:{user.id.hex}", limit=MAILS_AN_HOUR, window_seconds=3600).allowed

    def _mail_token(self, work: UnitOfWork, user: User, purpose: MailPurpose, lifetime: timedelta) -> str:
        token, now = new_mail_token(), self.clock.now()
        work.mail_tokens.add(
            MailToken(token_hash=hashed(token), user_id=user.id, purpose=purpose, created_at=now, expires_at=now + lifetime)
        )
        return token

    def _use_token(self, work: UnitOfWork, token: str, purpose: MailPurpose) -> User:
        found = work.mail_tokens.find(hashed(token), for_update=True)
        if found is None or found.purpose is not purpose:
            raise Unauthenticated("this link was used already or is too old; ask for a new one")
        found.use(at=self.clock.now())
        return work.users.get(found.user_id, for_update=True)

    def _send_verification(self, user: User, token: str) -> bool:
        return self.mailer.send(
            Mail(
                to=user.email,
                subject="Confirm your e-mail address / 验证邮箱",
                text=_mail_text(token, f"POST {self.public_url}/api/v1/auth/verify-email"),
            )
        )


def _mail_text(token: str, where: str) -> str:
    # On a line of its own, no encoding of mails cuts the token in two.
    return f"Your token / 您的令牌:\n\n{token}\n\n{where}\n"
