"""Signing in and out, refreshing, sessions, and what is believed of credentials."""

from datetime import timedelta
from uuid import UUID

import pytest

from maas.application.actor import Actor
from maas.application.identity.authentication import LONGEST_CREDENTIAL
from maas.domain.errors import CredentialsWrong, Invalid, NotFound, RateLimited, TokenExpired, Unauthenticated
from maas.domain.identity import CredentialRevoked
from maas.domain.paging import Order, PageRequest
from tests.unit.identity.conftest import PASSWORD, Desk

ALL = PageRequest()


def fail(desk: Desk, times: int, *, username: str = "alice", address: str = "192.0.2.1") -> None:
    for _ in range(times):
        with pytest.raises(CredentialsWrong):
            desk.login(username, password="wrong password", address=address)


def test_signing_in_gives_tokens_of_the_person(desk: Desk) -> None:
    user = desk.register()
    signed_in = desk.sign_in.sign_in(email="ALICE@example.com", password=PASSWORD, address="192.0.2.1", user_agent="x" * 1000)
    actor = desk.authentication.authenticate(signed_in.tokens.access_token)

    assert (actor.user_id, actor.roles, actor.permissions) == (user.id, user.roles, None)
    assert signed_in.user.id == user.id
    assert signed_in.tokens.expires_in == 3600
    (session,) = desk.sign_in.sessions(actor, ALL).items
    assert session.id == actor.credential_id
    assert len(session.user_agent or "") == 300


def test_a_wrong_address_and_a_wrong_password_are_told_alike(desk: Desk) -> None:
    desk.register("alice")
    told = []
    for username in ("alice", "nobody"):
        with pytest.raises(CredentialsWrong) as refused:
            desk.login(username, password="wrong password")
        told.append((str(refused.value), refused.value.code, refused.value.problems))

    assert told[0] == told[1]


@pytest.mark.parametrize("password", ["", "x" * 129, "x" * 1_000_000, "\ud800", PASSWORD + " "])
def test_passwords_that_nobody_can_have_are_only_wrong(desk: Desk, password: str) -> None:
    desk.register()

    with pytest.raises(CredentialsWrong):
        desk.login(password=password)


def test_the_form_of_the_address_is_checked_first(desk: Desk) -> None:
    with pytest.raises(Invalid):
        desk.sign_in.sign_in(email="alice", password=PASSWORD, address="192.0.2.1")


def test_after_ten_failures_an_address_waits_even_with_the_right_password(desk: Desk) -> None:
    desk.register("alice")
    desk.register("bob")
    fail(desk, 10)

    with pytest.raises(RateLimited) as refused:
        desk.login()
    assert refused.value.retry_after_seconds in (900, 901)
    assert desk.login(address="192.0.2.2").user.username == "alice"
    assert desk.login("bob").user.username == "bob"
    desk.clock.advance(timedelta(minutes=15))
    assert desk.login().user.username == "alice"


def test_a_success_forgets_the_failures(desk: Desk) -> None:
    desk.register()
    for _ in range(3):
        fail(desk, 9)
        desk.login()


def test_failures_of_an_account_that_does_not_exist_count_as_well(desk: Desk) -> None:
    fail(desk, 10, username="nobody")

    with pytest.raises(RateLimited):
        desk.login("nobody")


def test_guesses_at_once_do_not_learn_more_than_ten_answers(desk: Desk) -> None:
    desk.register()
    fail(desk, 9)
    verify = desk.sign_in.passwords.verify

    def verify_while_another_fails(password: str, password_hash: str | None) -> bool:
        desk.sign_in.passwords.verify = verify  # type: ignore[method-assign]
        fail(desk, 1)
        return verify(password, password_hash)

    desk.sign_in.passwords.verify = verify_while_another_fails  # type: ignore[method-assign]

    with pytest.raises(RateLimited):
        desk.login()


def test_an_access_token_is_good_for_an_hour(desk: Desk) -> None:
    desk.register()
    token = desk.login().tokens.access_token
    desk.clock.advance(timedelta(minutes=59, seconds=59))
    desk.authentication.authenticate(token)
    desk.clock.advance(timedelta(seconds=1))

    with pytest.raises(TokenExpired):
        desk.authentication.authenticate(token)


def test_refreshing_gives_new_tokens_of_the_same_session(desk: Desk) -> None:
    desk.register()
    first = desk.login().tokens
    desk.clock.advance(timedelta(hours=2))
    second = desk.sign_in.refresh(first.refresh_token).tokens
    actor = desk.authentication.authenticate(second.access_token)

    assert second.refresh_token != first.refresh_token
    assert len(desk.sign_in.sessions(actor, ALL).items) == 1
    desk.sign_in.refresh(second.refresh_token)


def test_a_refresh_token_that_comes_twice_signs_its_whole_session_out(desk: Desk) -> None:
    desk.register()
    stolen = desk.login().tokens
    other = desk.login().tokens
    newest = desk.sign_in.refresh(stolen.refresh_token).tokens
    with pytest.raises(Unauthenticated):
        desk.sign_in.refresh(stolen.refresh_token)

    for token in (stolen.access_token, newest.access_token):
        with pytest.raises(Unauthenticated):
            desk.authentication.authenticate(token)
    with pytest.raises(Unauthenticated):
        desk.sign_in.refresh(newest.refresh_token)
    desk.authentication.authenticate(other.access_token)
    assert [type(event) for event in desk.database.events[-1:]] == [CredentialRevoked]


def test_a_refresh_token_is_good_for_thirty_days_from_its_making(desk: Desk) -> None:
    desk.register()
    tokens = desk.login().tokens
    desk.clock.advance(timedelta(days=29))
    tokens = desk.sign_in.refresh(tokens.refresh_token).tokens
    desk.clock.advance(timedelta(days=29))
    tokens = desk.sign_in.refresh(tokens.refresh_token).tokens
    desk.clock.advance(timedelta(days=30))

    with pytest.raises(TokenExpired):
        desk.sign_in.refresh(tokens.refresh_token)


def test_tokens_of_one_kind_are_none_of_the_other(desk: Desk) -> None:
    desk.register()
    tokens = desk.login().tokens

    with pytest.raises(Unauthenticated):
        desk.sign_in.refresh(tokens.access_token)
    with pytest.raises(Unauthenticated):
        desk.authentication.authenticate(tokens.refresh_token)


@pytest.mark.parametrize("harm", ["", "a.b.c", "maas_", "maas_unknown", "ä", "\x00", "x" * (LONGEST_CREDENTIAL + 1)])
def test_what_is_no_credential_is_refused(desk: Desk, harm: str) -> None:
    with pytest.raises(Unauthenticated):
        desk.authentication.authenticate(harm)


def test_forged_tokens_are_refused(desk: Desk) -> None:
    desk.register()
    head, payload, signature = desk.login().tokens.access_token.split(".")
    none_head = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"

    for forged in (f"{head}.{payload}.{signature[:-2]}AA", f"{none_head}.{payload}.", f"{head}.{payload[:-2]}.{signature}"):
        with pytest.raises(Unauthenticated):
            desk.authentication.authenticate(forged)


def test_signing_out_kills_both_tokens_at_once_here_and_within_a_second_elsewhere(desk: Desk) -> None:
    desk.register()
    tokens = desk.login().tokens
    elsewhere = desk.another_process()
    actor = elsewhere.authenticate(tokens.access_token)
    desk.authentication.authenticate(tokens.access_token)
    desk.sign_in.sign_out(actor)

    with pytest.raises(Unauthenticated):
        desk.authentication.authenticate(tokens.access_token)
    with pytest.raises(Unauthenticated):
        desk.sign_in.refresh(tokens.refresh_token)
    desk.clock.advance(timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        elsewhere.authenticate(tokens.access_token)


def test_what_was_read_before_a_revocation_is_not_believed_after_it(desk: Desk) -> None:
    desk.register()
    token = desk.login().tokens.access_token
    read_access = desk.tokens.read_access

    def read_slowly(credential: str, **options: object) -> object:
        claims = read_access(credential, **options)  # type: ignore[arg-type]
        desk.authentication.forget(UUID(int=1))
        return claims

    desk.authentication.tokens.read_access = read_slowly  # type: ignore[method-assign,assignment]
    desk.authentication.authenticate(token)

    assert desk.authentication._remembered == {}


def test_sessions_are_listed_and_ended_one_by_one(desk: Desk) -> None:
    desk.register()
    actors = []
    for _ in range(3):
        desk.clock.advance(timedelta(minutes=1))
        actors.append(desk.authentication.authenticate(desk.login().tokens.access_token))
    desk.sign_in.revoke(actors[0], actors[1].credential_id or UUID(int=0))

    newest_first = [session.id for session in desk.sign_in.sessions(actors[0], ALL).items]
    by_use = PageRequest(sort="updated_at", order=Order.ASCENDING, limit=1)
    assert newest_first == [actors[2].credential_id, actors[0].credential_id]
    assert [session.id for session in desk.sign_in.sessions(actors[0], by_use).items] == [actors[0].credential_id]


def test_nobody_sees_or_ends_another_s_session(desk: Desk) -> None:
    alice, bob = desk.actor("alice"), desk.actor("bob")

    with pytest.raises(NotFound):
        desk.sign_in.revoke(alice, bob.credential_id or UUID(int=0))
    with pytest.raises(NotFound):
        desk.sign_in.revoke(alice, UUID(int=1))
    assert [session.user_id for session in desk.sign_in.sessions(alice, ALL).items] == [alice.user_id]


def test_sessions_that_ended_by_themselves_are_not_listed(desk: Desk) -> None:
    desk.register()
    desk.login()
    desk.clock.advance(timedelta(days=30))
    actor = desk.authentication.authenticate(desk.login().tokens.access_token)

    assert len(desk.sign_in.sessions(actor, ALL).items) == 1


def test_an_actor_is_compared_by_who_it_is_not_by_its_credential() -> None:
    assert Actor(user_id=UUID(int=1), credential_id=UUID(int=2)) == Actor(user_id=UUID(int=1), credential_id=UUID(int=3))


def test_sessions_that_ended_are_dropped_a_day_later(desk: Desk) -> None:
    desk.sign_in.sign_out(desk.actor())
    desk.login()
    desk.clock.advance(timedelta(days=1, seconds=1))
    desk.sign_in.sweep()

    assert len(desk.database.sessions.rows) == 1
    assert len(desk.database.mail_tokens.rows) == 1
