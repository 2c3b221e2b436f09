"""Accounts, sessions, API keys and mailed tokens in dictionaries."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from maas.adapters.persistence.memory.collections import MemoryStore, MemoryTable
from maas.application.ports.repositories.identity import ApiKeys, MailTokens, Sessions, Users
from maas.domain.identity import ApiKey, MailToken, Session, User
from maas.domain.paging import Page, PageRequest


def users_table() -> MemoryTable[User]:
    return MemoryTable(key=lambda user: user.id, unique=(lambda user: user.email_key, lambda user: ("name", user.username_key)))


def sessions_table() -> MemoryTable[Session]:
    return MemoryTable(key=lambda session: session.id)


def api_keys_table() -> MemoryTable[ApiKey]:
    return MemoryTable(key=lambda key: key.id, unique=(lambda key: key.key_hash,))


def mail_tokens_table() -> MemoryTable[MailToken]:
    return MemoryTable(key=lambda token: token.token_hash)


class MemoryUsers(Users):
    """Accounts in a dictionary."""

    def __init__(self, table: MemoryTable[User]) -> None:
        self.store = MemoryStore(table)

    def add(self, user: User) -> None:
        self.store.add(user)

    def get(self, user_id: UUID, *, for_update: bool = False) -> User:
        return self.store.get(lambda user: user.id == user_id)

    def find(self, user_id: UUID) -> User | None:
        return self.store.find(lambda user: user.id == user_id)

    def find_by_email(self, email: str) -> User | None:
        return self.store.find(lambda user: user.email_key == email.casefold())

    def find_by_username(self, username: str) -> User | None:
        return self.store.find(lambda user: user.username_key == username.casefold())


class MemorySessions(Sessions):
    """Sign-ins in a dictionary."""

    def __init__(self, table: MemoryTable[Session]) -> None:
        self.store = MemoryStore(table)

    def add(self, session: Session) -> None:
        self.store.add(session)

    def get(self, session_id: UUID, *, of_user: UUID, for_update: bool = False) -> Session:
        return self.store.get(lambda session: session.id == session_id and session.user_id == of_user)

    def find(self, session_id: UUID, *, for_update: bool = False) -> Session | None:
        return self.store.find(lambda session: session.id == session_id)

    def live_of(self, user_id: UUID, *, at: datetime) -> Sequence[Session]:
        live = self.store.all(lambda session: session.user_id == user_id and session.is_live(at=at))
        return sorted(live, key=lambda session: session.id, reverse=True)

    def page(self, request: PageRequest, *, of_user: UUID, at: datetime) -> Page[Session]:
        return self.store.page(
            request,
            lambda session: session.user_id == of_user and session.is_live(at=at),
            search_in=("user_agent",),
            sort_by=("created_at", "refreshed_at"),
        )

    def remove_ended(self, *, before: datetime) -> None:
        for session in self.store.all(lambda session: min(session.revoked_at or session.expires_at, session.expires_at) < before):
            self.store.remove(session)


class MemoryApiKeys(ApiKeys):
    """API keys in a dictionary."""

    def __init__(self, table: MemoryTable[ApiKey]) -> None:
        self.store = MemoryStore(table)

    def add(self, key: ApiKey) -> None:
        self.store.add(key)

    def get(self, key_id: UUID, *, of_user: UUID) -> ApiKey:
        return self.store.get(lambda key: key.id == key_id and key.user_id == of_user)

    def find_by_hash(self, key_hash: str) -> ApiKey | None:
        return self.store.find(lambda key: key.key_hash == key_hash)

    def page(self, request: PageRequest, *, of_user: UUID) -> Page[ApiKey]:
        return self.store.page(request, lambda key: key.user_id == of_user, search_in=("name",), sort_by=("created_at", "name"))

    def remove(self, key: ApiKey) -> None:
        self.store.remove(key)


class MemoryMailTokens(MailTokens):
    """Mailed tokens in a dictionary."""

    def __init__(self, table: MemoryTable[MailToken]) -> None:
        self.store = MemoryStore(table)

    def add(self, token: MailToken) -> None:
        self.store.add(token)

    def find(self, token_hash: str, *, for_update: bool = False) -> MailToken | None:
        return self.store.find(lambda token: token.token_hash == token_hash)

    def remove_expired(self, *, before: datetime) -> None:
        for token in self.store.all(lambda token: token.expires_at < before):
            self.store.remove(token)
