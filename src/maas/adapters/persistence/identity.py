"""Accounts, sessions, API keys and mailed tokens in SQL."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, or_, select

from maas.adapters.persistence.aggregates import AggregateMapping, AggregateStore, dump_names
from maas.adapters.persistence.tables import identity as tables
from maas.application.ports.repositories.identity import ApiKeys, MailTokens, Sessions, Users
from maas.domain.identity import ApiKey, MailPurpose, MailToken, Permission, Role, Session, User
from maas.domain.paging import Page, PageRequest

_USERS = AggregateMapping(
    tables.users,
    User,
    dump={"roles": dump_names},
    load={"roles": lambda names: frozenset(Role(name) for name in names)},
)
_SESSIONS = AggregateMapping(tables.sessions, Session)
_API_KEYS = AggregateMapping(
    tables.api_keys,
    ApiKey,
    dump={"permissions": dump_names},
    load={"permissions": lambda names: frozenset(Permission(name) for name in names)},
)
_MAIL_TOKENS = AggregateMapping(
    tables.mail_tokens, MailToken, dump={"purpose": lambda purpose: purpose.value}, load={"purpose": MailPurpose}
)


class SqlUsers(Users):
    """Accounts in SQL."""

    def __init__(self, connection: Connection) -> None:
        self.store = AggregateStore(connection, _USERS)

    def add(self, user: User) -> None:
        self.store.add(user)

    def get(self, user_id: UUID, *, for_update: bool = False) -> User:
        return self.store.get(tables.users.c.id == user_id, for_update=for_update)

    def find(self, user_id: UUID) -> User | None:
        return self.store.find(tables.users.c.id == user_id)

    def find_by_email(self, email: str) -> User | None:
        return self.store.find(tables.users.c.email_key == email.casefold())

    def find_by_username(self, username: str) -> User | None:
        return self.store.find(tables.users.c.username_key == username.casefold())


class SqlSessions(Sessions):
    """Sign-ins in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.store = AggregateStore(connection, _SESSIONS)

    def add(self, session: Session) -> None:
        self.store.add(session)

    def get(self, session_id: UUID, *, of_user: UUID, for_update: bool = False) -> Session:
        columns = tables.sessions.c
        return self.store.get(columns.id == session_id, columns.user_id == of_user, for_update=for_update)

    def find(self, session_id: UUID, *, for_update: bool = False) -> Session | None:
        return self.store.find(tables.sessions.c.id == session_id, for_update=for_update)

    def live_of(self, user_id: UUID, *, at: datetime) -> Sequence[Session]:
        columns = tables.sessions.c
        return self.store.all(
            select(tables.sessions)
            .where(columns.user_id == user_id, columns.revoked_at.is_(None), columns.expires_at > at)
            .order_by(columns.id.desc())
        )

    def page(self, request: PageRequest, *, of_user: UUID, at: datetime) -> Page[Session]:
        columns = tables.sessions.c
        live = (columns.user_id == of_user, columns.revoked_at.is_(None), columns.expires_at > at)
        return self.store.page(request, *live, search_in=("user_agent",), sort_by=("created_at", "refreshed_at"))

    def remove_ended(self, *, before: datetime) -> None:
        columns = tables.sessions.c
        self._connection.execute(tables.sessions.delete().where(or_(columns.revoked_at < before, columns.expires_at < before)))


class SqlApiKeys(ApiKeys):
    """API keys in SQL."""

    def __init__(self, connection: Connection) -> None:
        self.store = AggregateStore(connection, _API_KEYS)

    def add(self, key: ApiKey) -> None:
        self.store.add(key)

    def get(self, key_id: UUID, *, of_user: UUID) -> ApiKey:
        return self.store.get(tables.api_keys.c.id == key_id, tables.api_keys.c.user_id == of_user)

    def find_by_hash(self, key_hash: str) -> ApiKey | None:
        return self.store.find(tables.api_keys.c.key_hash == key_hash)

    def page(self, request: PageRequest, *, of_user: UUID) -> Page[ApiKey]:
        owned = tables.api_keys.c.user_id == of_user
        return self.store.page(request, owned, search_in=("name",), sort_by=("created_at", "name"))

    def remove(self, key: ApiKey) -> None:
        self.store.remove(key)


class SqlMailTokens(MailTokens):
    """Mailed tokens in SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.store = AggregateStore(connection, _MAIL_TOKENS)

    def add(self, token: MailToken) -> None:
        self.store.add(token)

    def find(self, token_hash: str, *, for_update: bool = False) -> MailToken | None:
        return self.store.find(tables.mail_tokens.c.token_hash == token_hash, for_update=for_update)

    def remove_expired(self, *, before: datetime) -> None:
        self._connection.execute(tables.mail_tokens.delete().where(tables.mail_tokens.c.expires_at < before))
