"""People, their sessions and their API keys."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from maas.domain.errors import ApiKeyInvalid, Invalid, OutOfRange, Problem, Unauthenticated, WrongForm
from maas.domain.events import Event
from maas.domain.naming import checked_name

ACCESS_TOKEN_LIFETIME = timedelta(hours=1)
REFRESH_TOKEN_LIFETIME = timedelta(days=30)
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 128
LONGEST_NAME = 200
PROFILE = ("first_name", "last_name", "organization")

_USERNAME = re.compile(r"[A-Za-z0-9_.\-]{3,64}")
_EMAIL = re.compile(
    r"[^@\s\x00-\x1f\x7f,;<>()\[\]\"\\]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9\-]{1,63}"
)


class Role(StrEnum):
    """What a person may do at large."""

    USER = "user"
    ADMIN = "admin"


class Permission(StrEnum):
    """What an API key may do."""

    MODEL_READ = "model:read"
    MODEL_CREATE = "model:create"
    MODEL_UPDATE = "model:update"
    MODEL_DELETE = "model:delete"
    DATASET_READ = "dataset:read"
    DATASET_CREATE = "dataset:create"
    DATASET_UPDATE = "dataset:update"
    DATASET_DELETE = "dataset:delete"
    FINETUNE_READ = "finetune:read"
    FINETUNE_CREATE = "finetune:create"
    FINETUNE_UPDATE = "finetune:update"
    FINETUNE_DELETE = "finetune:delete"
    DEPLOYMENT_READ = "deployment:read"
    DEPLOYMENT_CREATE = "deployment:create"
    DEPLOYMENT_UPDATE = "deployment:update"
    DEPLOYMENT_DELETE = "deployment:delete"
    KNOWLEDGE_READ = "knowledge:read"
    KNOWLEDGE_CREATE = "knowledge:create"
    KNOWLEDGE_UPDATE = "knowledge:update"
    KNOWLEDGE_DELETE = "knowledge:delete"
    APPLICATION_READ = "application:read"
    APPLICATION_CREATE = "application:create"
    APPLICATION_UPDATE = "application:update"
    APPLICATION_DELETE = "application:delete"
    FILE_READ = "file:read"
    FILE_CREATE = "file:create"
    FILE_UPDATE = "file:update"
    FILE_DELETE = "file:delete"
    INFERENCE_CREATE = "inference:create"
    INFERENCE_READ = "inference:read"
    STATISTICS_READ = "statistics:read"
    NOTIFICATION_READ = "notification:read"


class MailPurpose(StrEnum):
    """What a token in a mail is good for."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a purpose


@dataclass(frozen=True, kw_only=True)
class UserRegistered(Event):
    """Somebody made an account."""


@dataclass(frozen=True, kw_only=True)
class CredentialRevoked(Event):
    """A session or an API key is dead from now on."""

    credential_id: UUID


def checked_username(username: str) -> str:
    """Return `username`, or raise WrongForm: 3 to 64 letters, digits, `_`, `-`, `.`."""
    if not _USERNAME.fullmatch(username):
        raise WrongForm("a user name has 3 to 64 letters, digits, '_', '-' or '.'", field="username")
    return username


def checked_email(email: str) -> str:
    """Return `email` as it was written, or raise WrongForm; only its form is checked."""
    if len(email) > 254 or not _EMAIL.fullmatch(email):
        raise WrongForm("this is not an e-mail address", field="email")
    return email


def checked_password(password: str, *, field: str = "password") -> str:
    """Return `password`, or raise OutOfRange: 8 to 128 characters."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise OutOfRange("a password has 8 to 128 characters", field=field)
    return password


def check_account(*, username: str, email: str, password: str, profile: Mapping[str, str | None]) -> None:
    """Raise Invalid, with a problem for each value that an account cannot have."""
    problems: list[Problem] = []
    for check, value in ((checked_username, username), (checked_email, email), (checked_password, password)):
        try:
            check(value)
        except Invalid as error:
            problems.extend(error.problems)
    problems.extend(_profile_problems(profile))
    if problems:
        raise Invalid("the input is not valid", problems=problems)


def check_profile(profile: Mapping[str, str | None]) -> None:
    """Raise Invalid, with a problem for each text that is too long."""
    problems = _profile_problems(profile)
    if problems:
        raise Invalid("the input is not valid", problems=problems)


def _profile_problems(profile: Mapping[str, str | None]) -> list[Problem]:
    return [
        Problem(
            field=name,
            template="this text has at most {limit} characters",
            code=OutOfRange.code,
            values={"limit": LONGEST_NAME},
        )
        for name in PROFILE
        if len(profile.get(name) or "") > LONGEST_NAME
    ]


@dataclass(eq=False, kw_only=True)
class User:
    """A person with an account. `email_key` is the address as it is compared, in lower case."""

    id: UUID
    username: str
    email: str
    password_hash: str
    first_name: str | None = None
    last_name: str | None = None
    organization: str | None = None
    roles: frozenset[Role] = frozenset({Role.USER})
    email_verified_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def email_key(self) -> str:
        return self.email.casefold()

    @property
    def username_key(self) -> str:
        return self.username.casefold()

    @property
    def email_verified(self) -> bool:
        return self.email_verified_at is not None

    def verify_email(self, *, at: datetime) -> None:
        if self.email_verified_at is None:
            self.email_verified_at = at
            self.updated_at = at

    def change_profile(self, changes: Mapping[str, str | None], *, at: datetime) -> None:
        """Set the given ones of first_name, last_name and organization; None clears."""
        check_profile(changes)
        for name in PROFILE:
            if name in changes:
                setattr(self, name, changes[name])
        self.updated_at = at

    def change_password(self, password_hash: str, *, at: datetime) -> None:
        self.password_hash = password_hash
        self.updated_at = at


@dataclass(eq=False, kw_only=True)
class Session:
    """A sign-in: a family of refresh tokens of which only the newest is good.

    A token that comes a second time means that it was copied: the whole family dies.
    """

    id: UUID
    user_id: UUID
    refresh_hash: str
    generation: int = 1
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    user_agent: str | None = None

    def is_live(self, *, at: datetime) -> bool:
        return self.revoked_at is None and at < self.expires_at

    def rotate(self, *, refresh_hash: str, at: datetime) -> None:
        """Replace the refresh token by a newer one."""
        self.refresh_hash = refresh_hash
        self.generation += 1
        self.refreshed_at = at
        self.expires_at = at + REFRESH_TOKEN_LIFETIME

    def revoke(self, *, at: datetime) -> CredentialRevoked:
        if self.revoked_at is None:
            self.revoked_at = at
        return CredentialRevoked(owner_id=self.user_id, credential_id=self.id)


@dataclass(eq=False, kw_only=True)
class ApiKey:
    """A key that acts for its owner within its permissions. The key itself is shown once and kept as a hash."""

    id: UUID
    user_id: UUID
    name: str
    prefix: str
    key_hash: str
    permissions: frozenset[Permission]
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    created_at: datetime

    def __post_init__(self) -> None:
        checked_name(self.name)

    def check_live(self, *, at: datetime) -> None:
        """Raise ApiKeyInvalid once the key has expired."""
        if self.expires_at is not None and at >= self.expires_at:
            raise ApiKeyInvalid("the API key is unknown, revoked or expired")


@dataclass(eq=False, kw_only=True)
class MailToken:
    """A token that was mailed to prove the address; good once."""

    token_hash: str
    user_id: UUID
    purpose: MailPurpose
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None

    def use(self, *, at: datetime) -> None:
        if self.used_at is not None or at >= self.expires_at:
            raise Unauthenticated("this link was used already or is too old; ask for a new one")
        self.used_at = at


def permissions_from(names: list[str]) -> frozenset[Permission]:
    """Read permission names; raise Invalid naming each unknown one."""
    known = {permission.value for permission in Permission}
    problems = [
        Problem(field=f"permissions.{index}", template="there is no permission {name}", values={"name": name})
        for index, name in enumerate(names)
        if name not in known
    ]
    if problems:
        raise WrongForm("the permissions are not right", problems=problems)
    return frozenset(Permission(name) for name in names)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What a sign-in hands out; the lifetime is in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int = field(default=int(ACCESS_TOKEN_LIFETIME.total_seconds()))
