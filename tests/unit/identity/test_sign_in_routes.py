"""Registering, signing in and out, and mailed tokens over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from tests.house import Client, House
from tests.unit.identity.calls import JOHN, bearer, login, mailed_token, problems


@pytest.fixture
def client(house: House) -> Client:
    return house.client


def test_registering_answers_as_the_document_says(house: House) -> None:
    answer = house.client.post("/api/v1/auth/register", json=JOHN)

    assert answer.status_code == 201
    assert answer.json["message"] == "注册成功，请查收验证邮件"
    assert answer.headers["Location"] == "/api/v1/users/me"
    assert answer.json["data"].keys() == {"user_id", "username", "email", "verification_sent"}
    assert answer.json["data"]["username"] == "john_doe"
    assert answer.json["data"]["verification_sent"] is True
    assert [mail.to for mail in house.mailer.sent] == ["john@example.com"]


def test_signing_in_answers_as_the_document_says(house: House) -> None:
    house.client.post("/api/v1/auth/register", json=JOHN)
    answer = login(house.client, email="John@Example.com", password="SecurePass123!")

    data = answer.json["data"]
    assert answer.status_code == 200
    assert data.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert (data["token_type"], data["expires_in"]) == ("Bearer", 3600)
    assert data["user"].keys() == {"id", "username", "email", "roles"}
    assert data["user"]["roles"] == ["user"]


def test_each_wrong_field_of_a_registration_is_told(client: Client) -> None:
    wrong = client.post("/api/v1/auth/register", json={"username": "a", "email": "a@b.com\n", "password": "short"})
    missing = client.post("/api/v1/auth/register", json={})
    strange = client.post("/api/v1/auth/register", json={**JOHN, "roles": ["admin"], "first_name": 5})

    assert problems(wrong) == [("username", "VALIDATION_002"), ("email", "VALIDATION_002"), ("password", "VALIDATION_003")]
    assert sorted(problems(missing)) == [(name, "VALIDATION_001") for name in ("email", "password", "username")]
    assert sorted(problems(strange)) == [("first_name", "VALIDATION_002"), ("roles", "VALIDATION_002")]


def test_what_is_taken_is_409_and_names_the_field(client: Client) -> None:
    client.post("/api/v1/auth/register", json=JOHN)
    answer = client.post("/api/v1/auth/register", json={**JOHN, "username": "other"})

    assert (answer.status_code, answer.json["error"]["code"]) == (409, "RESOURCE_002")
    assert problems(answer) == [("email", "RESOURCE_002")]


def test_registration_may_be_closed(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"registration": "closed"})

    assert house.client.post("/api/v1/auth/register", json=JOHN).status_code == 403


def test_a_wrong_sign_in_is_the_same_for_either_reason(house: House) -> None:
    house.sign_up()
    answers = [login(house.client, password="wrong"), login(house.client, email="nobody@example.com")]

    assert [(answer.status_code, answer.json["error"]["code"]) for answer in answers] == [(401, "AUTH_005")] * 2
    assert answers[0].json["error"] == answers[1].json["error"]
    assert login(house.client, email="nobody").status_code == 422


def test_refresh_tokens_rotate_and_a_second_use_ends_the_session(house: House) -> None:
    house.sign_up()
    first = login(house.client).json["data"]
    second = house.client.post("/api/v1/auth/refresh", headers=bearer(first["refresh_token"]))
    reused = house.client.post("/api/v1/auth/refresh", headers=bearer(first["refresh_token"]))

    assert second.status_code == 200
    assert second.json["data"]["user"]["username"] == "alice"
    assert (reused.status_code, reused.json["error"]["code"]) == (401, "AUTH_001")
    for token in (first["access_token"], second.json["data"]["access_token"]):
        assert house.client.get("/api/v1/users/me", headers=bearer(token)).status_code == 401
    assert house.client.post("/api/v1/auth/refresh", headers=bearer(second.json["data"]["refresh_token"])).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, bearer("nonsense"), {"Authorization": "Basic YTpi"}])
def test_refreshing_asks_for_a_refresh_token(client: Client, headers: dict[str, str]) -> None:
    answer = client.post("/api/v1/auth/refresh", headers=headers)

    assert (answer.status_code, answer.json["error"]["code"]) == (401, "AUTH_001")


def test_tokens_of_one_kind_are_none_of_the_other(house: House) -> None:
    house.sign_up()
    tokens = login(house.client).json["data"]

    assert house.client.post("/api/v1/auth/refresh", headers=bearer(tokens["access_token"])).status_code == 401
    assert house.client.get("/api/v1/users/me", headers=bearer(tokens["refresh_token"])).status_code == 401


def test_signing_out_kills_both_tokens(house: House) -> None:
    house.sign_up()
    tokens = login(house.client).json["data"]
    signed_out = house.client.post("/api/v1/auth/logout", headers=bearer(tokens["access_token"]))

    assert (signed_out.status_code, signed_out.json["data"]) == (200, None)
    assert house.client.post("/api/v1/auth/logout", headers=bearer(tokens["access_token"])).status_code == 401
    assert house.client.post("/api/v1/auth/refresh", headers=bearer(tokens["refresh_token"])).status_code == 401


def test_an_expired_token_is_told_apart(house: House) -> None:
    alice = house.sign_up()
    house.clock.advance(timedelta(hours=1))
    answer = house.client.get("/api/v1/users/me", headers=alice)

    assert (answer.status_code, answer.json["error"]["code"]) == (401, "AUTH_002")


def test_an_address_is_confirmed_by_the_mailed_token(house: House) -> None:
    house.client.post("/api/v1/auth/register", json=JOHN)
    token = mailed_token(house)
    answer = house.client.post("/api/v1/auth/verify-email", json={"token": token})
    again = house.client.post("/api/v1/auth/verify-email", json={"token": token})

    assert (answer.status_code, answer.json["data"]["email"]) == (200, "john@example.com")
    assert again.status_code == 401


def test_mails_that_may_not_go_out_are_answered_like_those_that_do(house: House) -> None:
    house.client.post("/api/v1/auth/register", json=JOHN)
    for route in ("resend-verification", "forgot-password"):
        answers = [
            house.client.post(f"/api/v1/auth/{route}", json={"email": f"{name}@example.com"}) for name in ("john", "nobody")
        ]

        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json["message"] == answers[1].json["message"]
        assert house.client.post(f"/api/v1/auth/{route}", json={"email": "nobody"}).status_code == 422


def test_no_secret_reaches_the_log(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.client.post("/api/v1/auth/register", json=JOHN)
    secrets = [JOHN["password"], mailed_token(house)]
    tokens = login(house.client, email=JOHN["email"], password=JOHN["password"]).json["data"]
    alice = bearer(tokens["access_token"])
    secrets += [tokens["access_token"], tokens["refresh_token"]]
    secrets.append(
        house.client.post("/api/v1/users/me/api-keys", headers=alice, json={"name": "k", "permissions": []}).json["data"]["key"]
    )
    login(house.client, email=JOHN["email"], password="a wrong password")
    house.client.post("/api/v1/auth/refresh", headers=bearer(tokens["refresh_token"]))
    house.client.get("/api/v1/models", headers={"X-API-Key": secrets[-1]})
    house.client.post("/api/v1/auth/verify-email", json={"token": secrets[1]})
    logged = "".join(capsys.readouterr())

    assert "/api/v1/auth/login" in logged
    assert [secret for secret in (*secrets, "a wrong password") if secret in logged] == []
