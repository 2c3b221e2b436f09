"""Where accounts, sessions, API keys and mailed tokens are kept."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from maas.domain.identity import ApiKey, MailToken, Session, User
from maas.domain.paging import Page, PageRequest


class Users(ABC):
    """All accounts."""

    @abstractmethod
    def add(self, user: User) -> None: ...

    @abstractmethod
    def get(self, user_id: UUID, *, for_update: bool = False) -> User: ...

    @abstractmethod
    def find(self, user_id: UUID) -> User | None: ...

    @abstractmethod
    def find_by_email(self, email: str) -> User | None:
        """Find the account of an address, compared without case."""

    @abstractmethod
    def find_by_username(self, username: str) -> User | None:
        """Find the account of a user name, compared without case."""


class Sessions(ABC):
    """All sign-ins."""

    @abstractmethod
    def add(self, session: Session) -> None: ...

    @abstractmethod
    def get(self, session_id: UUID, *, of_user: UUID, for_update: bool = False) -> Session: ...

    @abstractmethod
    def find(self, session_id: UUID, *, for_update: bool = False) -> Session | None: ...

    @abstractmethod
    def live_of(self, user_id: UUID, *, at: datetime) -> Sequence[Session]:
        """Return the sessions of a person that are neither revoked nor expired, newest first."""

    @abstractmethod
    def page(self, request: PageRequest, *, of_user: UUID, at: datetime) -> Page[Session]:
        """Return a page of those."""

    @abstractmethod
    def remove_ended(self, *, before: datetime) -> None:
        """Drop the sessions that were revoked or expired before a time."""


class ApiKeys(ABC):
    """All API keys."""

    @abstractmethod
    def add(self, key: ApiKey) -> None: ...

    @abstractmethod
    def get(self, key_id: UUID, *, of_user: UUID) -> ApiKey: ...

    @abstractmethod
    def find_by_hash(self, key_hash: str) -> ApiKey | None: ...

    @abstractmethod
    def page(self, request: PageRequest, *, of_user: UUID) -> Page[ApiKey]: ...

    @abstractmethod
    def remove(self, key: ApiKey) -> None: ...


class MailTokens(ABC):
    """Tokens that were mailed."""

    @abstractmethod
    def add(self, token: MailToken) -> None: ...

    @abstractmethod
    def find(self, token_hash: str, *, for_update: bool = False) -> MailToken | None: ...

    @abstractmethod
    def remove_expired(self, *, before: datetime) -> None:
        """Drop the tokens that expired before a time."""
