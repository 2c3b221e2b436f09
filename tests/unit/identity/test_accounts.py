"""Accounts: registering, proving the address, the profile, the password."""

import re
from datetime import timedelta

import pytest

from maas.application.actor import Actor
from maas.application.identity.accounts import MAILS_AN_HOUR
from maas.domain.errors import AlreadyExists, CredentialsWrong, Forbidden, Invalid, RateLimited, Unauthenticated
from maas.domain.identity import Permission, Role, UserRegistered
from tests.unit.identity.conftest import PASSWORD, Desk

NEW_PASSWORD = "battery horse correct"


def test_an_account_is_made_and_a_mail_proves_its_address(desk: Desk) -> None:
    registration = desk.accounts.register(
        username="john_doe", email="John@Example.com", password=PASSWORD, profile={"first_name": "John", "organization": "Corp"}
    )
    user = desk.accounts.verify_email(desk.mailed_token())

    assert registration.verification_sent
    assert (user.id, user.username, user.email) == (registration.user.id, "john_doe", "John@Example.com")
    assert (user.first_name, user.last_name, user.organization) == ("John", None, "Corp")
    assert user.roles == {Role.USER}
    assert user.email_verified_at == desk.clock.now()
    assert desk.database.events == [UserRegistered(owner_id=user.id)]


def test_the_mailed_token_can_be_copied_and_is_kept_as_a_hash(desk: Desk) -> None:
    desk.register()
    token = desk.mailed_token()

    assert re.fullmatch(r"[A-Za-z0-9_.-]{20,}", token)
    assert "https://maas.example/api/v1/auth/verify-email" in desk.mailer.sent[0].text
    assert token not in str([vars(kept) for kept in desk.database.mail_tokens.rows.values()])


def test_neither_password_nor_secrets_are_kept_in_clear(desk: Desk) -> None:
    actor = desk.actor()
    secret = desk.api_keys.create(actor, name="key", permissions=[]).secret
    tokens = desk.login().tokens
    tables = (desk.database.users, desk.database.sessions, desk.database.api_keys, desk.database.mail_tokens)
    kept = str([vars(row) for table in tables for row in table.rows.values()])

    assert [word for word in (PASSWORD, secret, tokens.refresh_token, tokens.access_token) if word in kept] == []


def test_nothing_is_sent_is_told(desk: Desk) -> None:
    desk.mailer.works = False

    assert not desk.accounts.register(username="alice", email="a@example.com", password=PASSWORD).verification_sent


@pytest.mark.parametrize(
    ("username", "email", "field"),
    [("other", "ALICE@EXAMPLE.COM", "email"), ("Alice", "other@example.com", "username")],
)
def test_names_and_addresses_are_taken_without_case(desk: Desk, username: str, email: str, field: str) -> None:
    desk.register("alice")

    with pytest.raises(AlreadyExists) as refused:
        desk.accounts.register(username=username, email=email, password=PASSWORD)
    assert refused.value.problems[0].field == field


def test_everything_that_is_wrong_is_told_at_once(desk: Desk) -> None:
    with pytest.raises(Invalid) as refused:
        desk.accounts.register(username="a b", email="nobody", password="short", profile={"organization": "x" * 201})

    found = [(problem.field, problem.code) for problem in refused.value.problems]
    assert found == [
        ("username", "VALIDATION_002"),
        ("email", "VALIDATION_002"),
        ("password", "VALIDATION_003"),
        ("organization", "VALIDATION_003"),
    ]


@pytest.mark.parametrize("username", ["ab", "a" * 65, "a b", "älice", "alice\n", "", "a/b"])
def test_user_names_have_a_form(desk: Desk, username: str) -> None:
    with pytest.raises(Invalid):
        desk.accounts.register(username=username, email="a@example.com", password=PASSWORD)


@pytest.mark.parametrize("email", ["a", "a@", "@b.com", "a@b.com\n", " a@b.com", "a@b@c.com", "a@-b.com", "a@b..com", "a" * 255])
def test_addresses_have_a_form(desk: Desk, email: str) -> None:
    with pytest.raises(Invalid):
        desk.accounts.register(username="alice", email=email, password=PASSWORD)


@pytest.mark.parametrize(
    "email", ["a@b.com", "a.b+c@sub.example.co", "A@B.COM", "o'neil@example.com", "用户@example.com", "a@localhost"]
)
def test_addresses_of_any_reasonable_form_are_taken(desk: Desk, email: str) -> None:
    assert desk.accounts.register(username="alice", email=email, password=PASSWORD).user.email == email


def test_registration_may_be_closed() -> None:
    desk = Desk(registration_open=False)

    with pytest.raises(Forbidden):
        desk.register()
    assert desk.accounts.create(username="root", email="r@example.com", password=PASSWORD, role=Role.ADMIN).email_verified


def test_the_operator_makes_administrators(desk: Desk) -> None:
    user = desk.accounts.create(username="root", email="root@example.com", password=PASSWORD, role=Role.ADMIN)

    assert user.roles == {Role.USER, Role.ADMIN}
    assert desk.mailer.sent == []
    assert desk.authentication.authenticate(desk.login("root").tokens.access_token).is_admin


def test_a_mailed_token_is_good_once_and_for_a_week(desk: Desk) -> None:
    desk.register("alice")
    used, old = desk.mailed_token(), ""
    desk.accounts.verify_email(used)
    desk.register("bob")
    old = desk.mailed_token()
    desk.clock.advance(timedelta(days=7))

    for token in (used, old, "nonsense"):
        with pytest.raises(Unauthenticated):
            desk.accounts.verify_email(token)


def test_a_token_of_one_purpose_is_none_of_another(desk: Desk) -> None:
    desk.register()
    verification = desk.mailed_token()
    desk.accounts.forgot_password("alice@example.com")
    reset = desk.mailed_token()

    with pytest.raises(Unauthenticated):
        desk.accounts.verify_email(reset)
    with pytest.raises(Unauthenticated):
        desk.accounts.reset_password(token=verification, new_password=NEW_PASSWORD)


def test_another_verification_is_mailed_to_whom_it_may_help(desk: Desk) -> None:
    desk.register("alice")
    desk.accounts.verify_email(desk.mailed_token())
    desk.register("bob")
    for name in ("alice", "BOB", "nobody"):
        desk.accounts.resend_verification(f"{name}@example.com")

    assert [mail.to for mail in desk.mailer.sent] == ["alice@example.com", "bob@example.com", "bob@example.com"]
    assert desk.accounts.verify_email(desk.mailed_token()).username == "bob"


def test_nobody_is_flooded_with_mails(desk: Desk) -> None:
    desk.register()
    desk.mailer.sent.clear()
    for _ in range(3 * MAILS_AN_HOUR):
        desk.accounts.resend_verification("alice@example.com")
        desk.accounts.forgot_password("alice@example.com")

    assert len(desk.mailer.sent) == 2 * MAILS_AN_HOUR


def test_a_forgotten_password_is_set_anew_and_ends_all_sessions(desk: Desk) -> None:
    desk.register()
    old = desk.login().tokens
    desk.accounts.forgot_password("alice@example.com")
    desk.accounts.reset_password(token=desk.mailed_token(), new_password=NEW_PASSWORD)

    with pytest.raises(Unauthenticated):
        desk.authentication.authenticate(old.access_token)
    with pytest.raises(Unauthenticated):
        desk.sign_in.refresh(old.refresh_token)
    with pytest.raises(CredentialsWrong):
        desk.login()
    assert desk.login(password=NEW_PASSWORD).user.email_verified


def test_a_reset_token_is_good_once_and_for_an_hour(desk: Desk) -> None:
    desk.register()
    desk.accounts.forgot_password("alice@example.com")
    used = desk.mailed_token()
    desk.accounts.reset_password(token=used, new_password=NEW_PASSWORD)
    desk.accounts.forgot_password("alice@example.com")
    old = desk.mailed_token()
    desk.clock.advance(timedelta(hours=1))

    for token in (used, old):
        with pytest.raises(Unauthenticated):
            desk.accounts.reset_password(token=token, new_password=NEW_PASSWORD)


def test_a_password_that_is_too_short_uses_no_token_up(desk: Desk) -> None:
    desk.register()
    desk.accounts.forgot_password("alice@example.com")
    with pytest.raises(Invalid) as refused:
        desk.accounts.reset_password(token=desk.mailed_token(), new_password="short")

    assert refused.value.problems[0].field == "new_password"
    desk.accounts.reset_password(token=desk.mailed_token(), new_password=NEW_PASSWORD)


def test_a_changed_password_ends_all_other_sessions(desk: Desk) -> None:
    actor = desk.actor()
    other = desk.login().tokens
    desk.accounts.change_password(actor, old_password=PASSWORD, new_password=NEW_PASSWORD)

    with pytest.raises(Unauthenticated):
        desk.authentication.authenticate(other.access_token)
    assert [session.id for session in desk.database.sessions.rows.values() if session.revoked_at is None] == [actor.credential_id]
    assert desk.login(password=NEW_PASSWORD).user.id == actor.user_id


def test_the_old_password_cannot_be_guessed(desk: Desk) -> None:
    actor = desk.actor()
    for _ in range(10):
        with pytest.raises(CredentialsWrong):
            desk.accounts.change_password(actor, old_password="wrong", new_password=NEW_PASSWORD)

    with pytest.raises(RateLimited) as refused:
        desk.accounts.change_password(actor, old_password=PASSWORD, new_password=NEW_PASSWORD)
    assert refused.value.retry_after_seconds == 3600


def test_a_sign_in_that_began_with_the_old_password_opens_no_session(desk: Desk) -> None:
    user = desk.register()
    desk.accounts.forgot_password("alice@example.com")
    desk.accounts.reset_password(token=desk.mailed_token(), new_password=NEW_PASSWORD)

    with pytest.raises(CredentialsWrong):
        desk.sign_in.open_session(user)


def test_the_profile_changes_in_the_given_fields(desk: Desk) -> None:
    actor = desk.actor()
    desk.accounts.change_profile(actor, {"first_name": "Alice", "organization": "Corp"})
    desk.clock.advance(timedelta(minutes=1))
    user = desk.accounts.change_profile(actor, {"last_name": "Smith", "organization": None})

    assert (user.first_name, user.last_name, user.organization) == ("Alice", "Smith", None)
    assert user.updated_at == desk.clock.now()
    assert vars(desk.accounts.profile(actor)) == vars(user)


def test_texts_of_the_profile_are_bounded(desk: Desk) -> None:
    actor = desk.actor()
    with pytest.raises(Invalid) as refused:
        desk.accounts.change_profile(actor, {"first_name": "x" * 201, "last_name": "y" * 200, "organization": "z" * 500})

    assert [problem.field for problem in refused.value.problems] == ["first_name", "organization"]
    assert desk.accounts.profile(actor).last_name is None


def test_keys_never_touch_the_account(desk: Desk) -> None:
    person = desk.actor()
    key = Actor(user_id=person.user_id, permissions=frozenset(Permission))

    for refused in (
        lambda: desk.accounts.profile(key),
        lambda: desk.accounts.change_profile(key, {}),
        lambda: desk.accounts.change_password(key, old_password=PASSWORD, new_password=NEW_PASSWORD),
        lambda: desk.sign_in.sign_out(key),
        lambda: desk.sign_in.revoke(key, person.credential_id or person.user_id),
        lambda: desk.api_keys.create(key, name="more", permissions=[]),
    ):
        with pytest.raises(Forbidden):
            refused()
