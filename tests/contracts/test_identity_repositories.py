"""What every repository of accounts, sessions, API keys and mailed tokens does."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.domain.errors import AlreadyExists, NotFound, OutOfRange
from maas.domain.identifiers import new_id
from maas.domain.identity import MailPurpose, MailToken, Permission, Role, User
from maas.domain.paging import Order, PageRequest
from tests.builders import NOW, a_session, a_user, an_api_key


@pytest.fixture
def alice(units: UnitOfWorkFactory) -> User:
    return kept(units, a_user("alice"))


def kept(units: UnitOfWorkFactory, user: User) -> User:
    with units() as work:
        work.users.add(user)
    return user


def test_an_account_is_found_as_it_was_kept(units: UnitOfWorkFactory) -> None:
    user = kept(
        units,
        a_user(
            "Älice",
            email="Alice@Example.com",
            first_name="Alice",
            organization="Corp",
            roles=frozenset({Role.USER, Role.ADMIN}),
            email_verified_at=NOW,
        ),
    )

    with units(read_only=True) as work:
        found = [
            work.users.get(user.id),
            work.users.find(user.id),
            work.users.find_by_email("ALICE@example.COM"),
            work.users.find_by_username("äLICE"),
        ]
    assert [vars(one) for one in found if one] == [vars(user)] * 4


def test_an_account_that_is_not_there_is_not_found(units: UnitOfWorkFactory, alice: User) -> None:
    with units(read_only=True) as work:
        assert work.users.find(new_id()) is None
        assert work.users.find_by_email("alice@example.co") is None
        assert work.users.find_by_username("alic_") is None
        with pytest.raises(NotFound):
            work.users.get(new_id())


def test_changes_are_kept(units: UnitOfWorkFactory, alice: User) -> None:
    with units() as work:
        work.users.get(alice.id, for_update=True).change_profile({"last_name": "Smith"}, at=NOW + timedelta(seconds=1))

    with units(read_only=True) as work:
        found = work.users.get(alice.id)
        assert (found.last_name, found.updated_at) == ("Smith", NOW + timedelta(seconds=1))


@pytest.mark.parametrize(("username", "email"), [("bob", "ALICE@example.com"), ("ALICE", "bob@example.com")])
def test_names_and_addresses_are_kept_once(units: UnitOfWorkFactory, alice: User, username: str, email: str) -> None:
    with pytest.raises(AlreadyExists), units() as work:
        work.users.add(a_user(username, email=email))

    with units(read_only=True) as work:
        found = [work.users.find_by_username(username), work.users.find_by_email(email)]
        assert {user.id for user in found if user} == {alice.id}


def test_sessions_are_found_by_their_owner_alone(units: UnitOfWorkFactory, alice: User) -> None:
    session = a_session(alice, user_agent="curl")
    with units() as work:
        work.sessions.add(session)

    with units(read_only=True) as work:
        found = work.sessions.get(session.id, of_user=alice.id)
        assert vars(found) == vars(session)
        assert work.sessions.find(session.id) is not None
        assert work.sessions.find(new_id()) is None
        with pytest.raises(NotFound):
            work.sessions.get(session.id, of_user=new_id())


def test_a_revoked_or_expired_session_is_not_live(units: UnitOfWorkFactory, alice: User) -> None:
    bob = kept(units, a_user("bob"))
    live, older = a_session(alice, refreshed_at=NOW + timedelta(hours=1)), a_session(alice, user_agent="Firefox")
    revoked, expired = a_session(alice, revoked_at=NOW), a_session(alice, expires_at=NOW)
    with units() as work:
        for session in (live, older, revoked, expired, a_session(bob)):
            work.sessions.add(session)

    def page(work: UnitOfWork, **request: Any) -> list[UUID]:
        return [session.id for session in work.sessions.page(PageRequest(**request), of_user=alice.id, at=NOW).items]

    with units(read_only=True) as work:
        assert [session.id for session in work.sessions.live_of(alice.id, at=NOW)] == [older.id, live.id]
        assert page(work) == [older.id, live.id]
        assert page(work, sort="refreshed_at") == [live.id, older.id]
        assert page(work, sort="refreshed_at", order=Order.ASCENDING, limit=1, number=2) == [live.id]
        assert page(work, search="FIRE") == [older.id]
        with pytest.raises(OutOfRange):
            page(work, sort="refresh_hash")


def test_what_ended_long_ago_is_dropped(units: UnitOfWorkFactory, alice: User) -> None:
    later = NOW + timedelta(days=40)
    sessions = {
        "live": a_session(alice, expires_at=later + timedelta(days=1)),
        "revoked long ago": a_session(alice, expires_at=later + timedelta(days=1), revoked_at=NOW),
        "revoked now": a_session(alice, expires_at=later + timedelta(days=1), revoked_at=later),
        "expired long ago": a_session(alice, expires_at=NOW),
        "expired, then revoked": a_session(alice, expires_at=NOW, revoked_at=later),
        "expired now": a_session(alice, expires_at=later),
    }
    tokens = [
        MailToken(token_hash=name, user_id=alice.id, purpose=MailPurpose.VERIFY_EMAIL, created_at=NOW, expires_at=at)
        for name, at in (("old", NOW), ("new", later))
    ]
    with units() as work:
        for session in sessions.values():
            work.sessions.add(session)
        for token in tokens:
            work.mail_tokens.add(token)
    with units() as work:
        work.sessions.remove_ended(before=later)
        work.mail_tokens.remove_expired(before=later)

    with units(read_only=True) as work:
        kept_sessions = [name for name, session in sessions.items() if work.sessions.find(session.id)]
        assert kept_sessions == ["live", "revoked now", "expired now"]
        assert [token.token_hash for token in tokens if work.mail_tokens.find(token.token_hash)] == ["new"]


def test_a_rotated_session_is_kept(units: UnitOfWorkFactory, alice: User) -> None:
    session = a_session(alice)
    with units() as work:
        work.sessions.add(session)
    with units() as work:
        found = work.sessions.find(session.id, for_update=True)
        assert found is not None
        found.rotate(refresh_hash="newer", at=NOW + timedelta(days=1))

    with units(read_only=True) as work:
        found = work.sessions.get(session.id, of_user=alice.id)
        assert (found.refresh_hash, found.generation, found.expires_at) == ("newer", 2, NOW + timedelta(days=31))


def test_keys_are_found_by_hash_and_listed_by_owner(units: UnitOfWorkFactory, alice: User) -> None:
    bob = kept(units, a_user("bob"))
    permissions = frozenset({Permission.MODEL_READ, Permission.INFERENCE_CREATE})
    keys = [
        an_api_key(alice, name=name, created_at=NOW + timedelta(seconds=second), permissions=permissions)
        for second, name in enumerate(("b", "A%", "c_"))
    ]
    with units() as work:
        for key in (*keys, an_api_key(bob)):
            work.api_keys.add(key)

    def names(work: UnitOfWork, **request: Any) -> list[str]:
        return [key.name for key in work.api_keys.page(PageRequest(**request), of_user=alice.id).items]

    with units(read_only=True) as work:
        found = work.api_keys.find_by_hash(keys[0].key_hash)
        assert found is not None
        assert vars(found) == vars(keys[0])
        assert work.api_keys.find_by_hash("unknown") is None
        assert names(work) == ["c_", "A%", "b"]
        assert names(work, search="a%") == ["A%"]
        assert names(work, search="_") == ["c_"]
        assert work.api_keys.page(PageRequest(limit=2), of_user=alice.id).total == 3
        with pytest.raises(NotFound):
            work.api_keys.get(keys[0].id, of_user=bob.id)


def test_a_removed_key_is_gone(units: UnitOfWorkFactory, alice: User) -> None:
    key = an_api_key(alice)
    with units() as work:
        work.api_keys.add(key)
    with units() as work:
        work.api_keys.remove(work.api_keys.get(key.id, of_user=alice.id))

    with units(read_only=True) as work:
        assert work.api_keys.find_by_hash(key.key_hash) is None


def test_a_mailed_token_is_used_once(units: UnitOfWorkFactory, alice: User) -> None:
    token = MailToken(
        token_hash="hash",
        user_id=alice.id,
        purpose=MailPurpose.RESET_PASSWORD,
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    with units() as work:
        work.mail_tokens.add(token)
    with units() as work:
        found = work.mail_tokens.find("hash", for_update=True)
        assert found is not None
        assert vars(found) == vars(token)
        found.use(at=NOW)

    with units(read_only=True) as work:
        found = work.mail_tokens.find("hash")
        assert found is not None
        assert found.used_at == NOW
        assert work.mail_tokens.find("another") is None


def test_times_are_kept_to_the_microsecond(units: UnitOfWorkFactory) -> None:
    at = datetime.fromisoformat("2026-03-01T08:00:00.123456+08:00")
    user = kept(units, a_user("carol", created_at=at))

    with units(read_only=True) as work:
        assert work.users.get(user.id).created_at == at
