"""Accounts, signing in, sessions and API keys over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from maas.domain.identity import Role
from tests.house import PASSWORD, Client, House

ENGLISH = {"Accept-Language": "en"}
JOHN = {
    "username": "john_doe",
    "email": "john@example.com",
    "password": "SecurePass123!",
    "first_name": "John",
    "last_name": "Doe",
    "organization": "Example Corp",
}


@pytest.fixture
def client(house: House) -> Client:
    return house.client


def login(client: Client, **changes: str) -> Any:
    body = {"email": "alice@example.com", "password": PASSWORD, **changes}
    return client.post("/api/v1/auth/login", json=body, headers=ENGLISH)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def mailed_token(house: House) -> str:
    return house.mailer.sent[-1].text.split("\n")[2]


def problems(answer: Any) -> list[tuple[str, str]]:
    return [(entry["field"], entry["code"]) for entry in answer.json["error"]["details"]]


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


def test_an_account_shows_everything_but_the_password(house: House) -> None:
    house.client.post("/api/v1/auth/register", json=JOHN)
    token = login(house.client, email="john@example.com", password="SecurePass123!").json["data"]["access_token"]
    answer = house.client.get("/api/v1/users/me", headers=bearer(token))

    data = answer.json["data"]
    assert {name: data[name] for name in ("username", "email", "first_name", "last_name", "organization")} == {
        name: value for name, value in JOHN.items() if name != "password"
    }
    assert (data["avatar_url"], data["roles"], data["email_verified"]) == (None, ["user"], False)
    assert data["quota"] == {"api_calls_limit": 1000, "api_calls_used": 1, "storage_limit": 100 * 1024**3, "storage_used": 0}
    assert data["created_at"] == "2026-01-01T00:00:00Z"
    assert "password" not in answer.text


def test_calls_are_counted_as_they_are_answered(house: House) -> None:
    alice = house.sign_up()
    for path in ("/api/v1/users/me", "/api/v1/nothing", "/api/v1/models?limit=0"):
        house.client.get(path, headers=alice)
    house.client.get("/api/v1/models", headers=house.key(alice))
    answer = house.client.get("/api/v1/users/me", headers=alice)

    assert answer.json["data"]["quota"]["api_calls_used"] == 5
    assert answer.headers["X-RateLimit-Remaining"] == "995"
    house.container.usage_flush().flush()
    today = house.clock.now().date()
    with house.database(read_only=True) as work:
        (day,) = work.usage.days_of(house.user_id(alice), first=today, last=today)
    assert (day.calls, day.inference_calls) == (5, 0)


def test_the_hour_s_calls_come_to_an_end(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"limit_api_calls": 2})
    alice = house.sign_up()
    house.clock.advance(timedelta(minutes=10))
    statuses = [house.client.get("/api/v1/users/me", headers=alice).status_code for _ in range(2)]
    house.clock.advance(timedelta(minutes=20))
    refused = house.client.get("/api/v1/users/me", headers=alice)
    house.clock.advance(timedelta(minutes=40))

    assert statuses == [200, 200]
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "RATE_001")
    assert (refused.headers["Retry-After"], refused.headers["X-RateLimit-Limit"]) == ("2400", "2")
    assert house.client.get("/api/v1/users/me", headers=house.sign_in("alice")).status_code == 200


def test_an_address_has_its_own_limit_signed_in_or_not_but_administrators_pass(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"limit_address_calls": 3})
    alice, root = house.sign_up("alice"), house.sign_up("root", role=Role.ADMIN)
    statuses = [
        house.client.get("/api/v1/users/me", headers=alice).status_code,
        house.client.get("/api/v1/users/me", headers=bearer("forged")).status_code,
        login(house.client).status_code,
        login(house.client).status_code,
        house.client.get("/api/v1/users/me", headers=alice).status_code,
        house.client.get("/api/v1/users/me", headers=bearer("forged")).status_code,
        house.client.get("/api/v1/users/me", headers=root).status_code,
        house.client.get("/healthz").status_code,
    ]
    elsewhere = house.client.get("/api/v1/users/me", headers=alice, environ_base={"REMOTE_ADDR": "192.0.2.9"})

    assert statuses == [200, 401, 200, 429, 429, 429, 200, 200]
    assert elsewhere.status_code == 200


def test_only_a_trusted_proxy_says_who_calls(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"limit_address_calls": 2, "trusted_proxies": "10.0.0.0/8"})

    def call(peer: str, forwarded_for: str) -> int:
        options = {"environ_base": {"REMOTE_ADDR": peer}, "headers": {"X-Forwarded-For": forwarded_for}}
        status: int = house.client.post("/api/v1/auth/login", json={}, **options).status_code
        return status

    assert [call("10.1.1.1", f"192.0.2.{number}") for number in range(4)] == [422] * 4
    assert [call("10.1.1.1", f"{number}.1.1.1, 192.0.2.50") for number in range(1, 4)] == [422, 422, 429]
    assert [call("192.0.2.99", f"192.0.2.{number}") for number in range(100, 103)] == [422, 422, 429]


def test_registrations_of_an_address_come_to_an_end_but_mistakes_cost_nothing(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"limit_registrations": 2})

    def register(**changes: str) -> Any:
        return house.client.post("/api/v1/auth/register", json={**JOHN, **changes})

    statuses = [
        register(email="nonsense").status_code,
        register(password="short").status_code,
        house.client.post("/api/v1/auth/register", data=b"{").status_code,
        register().status_code,
        register().status_code,
        register(email="other@example.com").status_code,
        register(username="other", email="other@example.com").status_code,
    ]
    refused = [register(username="third", email="third@example.com"), register(email="nonsense"), register(unknown="x")]

    assert statuses == [422, 422, 415, 201, 409, 409, 201]
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in refused] == [(429, "3600")] * 3


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


def test_ten_failures_slow_an_address_down_for_that_account_alone(house: House) -> None:
    house.sign_up("alice")
    house.sign_up("bob")
    statuses = [login(house.client, password="wrong").status_code for _ in range(11)]
    refused = login(house.client)

    assert statuses == [401] * 10 + [429]
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "RATE_001")
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    assert login(house.client, email="bob@example.com").status_code == 200


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


def test_a_forgotten_password_is_set_anew(house: House) -> None:
    alice = house.sign_up()
    house.client.post("/api/v1/auth/forgot-password", json={"email": "alice@example.com"})
    body = {"token": mailed_token(house), "new_password": "another password"}
    short = house.client.post("/api/v1/auth/reset-password", json={**body, "new_password": "short"})
    done = house.client.post("/api/v1/auth/reset-password", json=body)

    assert (short.status_code, problems(short)) == (422, [("new_password", "VALIDATION_003")])
    assert done.status_code == 200
    assert house.client.get("/api/v1/users/me", headers=alice).status_code == 401
    assert login(house.client, password="another password").status_code == 200
    assert house.client.post("/api/v1/auth/reset-password", json=body).status_code == 401


def test_the_account_changes_in_the_given_fields(house: House) -> None:
    alice = house.sign_up()
    first = house.client.put("/api/v1/users/me", headers=alice, json={"first_name": "Alice", "organization": "New Corp"})
    second = house.client.put("/api/v1/users/me", headers=alice, json={"last_name": "Smith", "organization": None})
    third = house.client.put("/api/v1/users/me", headers=alice, json={})

    assert first.json["data"]["organization"] == "New Corp"
    for answer in (second, third):
        data = answer.json["data"]
        assert (data["first_name"], data["last_name"], data["organization"]) == ("Alice", "Smith", None)
        assert "quota" in data


@pytest.mark.parametrize("field", ["email", "roles", "username", "password", "id"])
def test_what_may_not_be_changed_is_refused(house: House, field: str) -> None:
    answer = house.client.put("/api/v1/users/me", headers=house.sign_up(), json={field: "x"})

    assert (answer.status_code, problems(answer)) == (422, [(field, "VALIDATION_002")])


def test_the_password_is_changed_by_the_old_one(house: House) -> None:
    alice, other = house.sign_up(), house.sign_in("alice")
    body = {"old_password": PASSWORD, "new_password": "another password"}
    wrong = house.client.put("/api/v1/users/me/password", headers=alice, json={**body, "old_password": "wrong"})
    done = house.client.put("/api/v1/users/me/password", headers=alice, json=body)

    assert (wrong.status_code, wrong.json["error"]["code"]) == (401, "AUTH_005")
    assert done.status_code == 200
    assert house.client.get("/api/v1/users/me", headers=alice).status_code == 200
    assert house.client.get("/api/v1/users/me", headers=other).status_code == 401


def test_sessions_are_listed_and_ended(house: House) -> None:
    alice = house.sign_up()
    tokens = login(house.client).json["data"]
    listed = house.client.get("/api/v1/users/me/sessions", headers=alice).json["data"]
    other = next(session for session in listed["sessions"] if not session["current"])
    ended = house.client.delete(f"/api/v1/users/me/sessions/{other['id']}", headers=alice)

    assert listed["pagination"]["total"] == 2
    assert other.keys() == {"id", "user_agent", "current", "created_at", "updated_at", "expires_at"}
    assert other["user_agent"].startswith("Werkzeug")
    assert ended.status_code == 200
    assert house.client.get("/api/v1/users/me", headers=bearer(tokens["access_token"])).status_code == 401
    assert house.client.get("/api/v1/users/me", headers=alice).status_code == 200


def test_a_key_is_made_shown_once_and_deleted(house: House) -> None:
    alice = house.sign_up()
    body = {"name": "My App", "permissions": ["model:read", "inference:create"], "expires_at": "2027-01-01T00:00:00+08:00"}
    made = house.client.post("/api/v1/users/me/api-keys", headers=alice, json=body)
    data = made.json["data"]
    secret = data.pop("key")
    shown = house.client.get(made.headers["Location"], headers=alice)
    listed = house.client.get("/api/v1/users/me/api-keys", headers=alice)
    used = house.client.get("/api/v1/models", headers={"X-API-Key": secret})
    deleted = house.client.delete(made.headers["Location"], headers=alice)
    dead = house.client.get("/api/v1/models", headers={"X-API-Key": secret})

    assert made.status_code == 201
    assert data["expires_at"] == "2026-12-31T16:00:00Z"
    assert data["permissions"] == ["model:read", "inference:create"]
    assert shown.json["data"] == data == listed.json["data"]["api_keys"][0]
    assert secret not in shown.text + listed.text
    assert (used.status_code, deleted.status_code) == (200, 200)
    assert (dead.status_code, dead.json["error"]["code"]) == (401, "AUTH_004")
    assert house.client.delete(made.headers["Location"], headers=alice).status_code == 404


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"permissions": ["model:read", "model:*"]}, "permissions.1", "VALIDATION_003"),
        ({"permissions": "model:read"}, "permissions", "VALIDATION_002"),
        ({"expires_at": "2025-12-31T00:00:00Z"}, "expires_at", "VALIDATION_003"),
        ({"expires_at": "tomorrow"}, "expires_at", "VALIDATION_002"),
        ({"expires_at": "2027-01-01T00:00:00"}, "expires_at", "VALIDATION_002"),
        ({"name": ""}, "name", "VALIDATION_003"),
        ({"user_id": "x"}, "user_id", "VALIDATION_002"),
    ],
)
def test_a_wrong_key_is_told_by_field(house: House, changes: dict[str, Any], field: str, code: str) -> None:
    body = {"name": "My App", "permissions": [], **changes}
    answer = house.client.post("/api/v1/users/me/api-keys", headers=house.sign_up(), json=body)

    assert (answer.status_code, problems(answer)) == (422, [(field, code)])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/auth/register"),
        ("POST", "/auth/login"),
        ("POST", "/auth/refresh"),
        ("POST", "/auth/logout"),
        ("POST", "/auth/verify-email"),
        ("POST", "/auth/forgot-password"),
        ("GET", "/users/me"),
        ("PUT", "/users/me"),
        ("PUT", "/users/me/password"),
        ("GET", "/users/me/sessions"),
        ("GET", "/users/me/api-keys"),
        ("POST", "/users/me/api-keys"),
    ],
)
def test_keys_are_kept_out_of_accounts(house: House, method: str, path: str) -> None:
    key = house.key(house.sign_up(), "model:read", "inference:create")
    as_bearer = {"Authorization": f"Bearer {key['X-API-Key']}"}
    answers = [house.client.open(f"/api/v1{path}", method=method, headers=headers, json={}) for headers in (key, as_bearer)]

    assert [(answer.status_code, answer.json["error"]["code"]) for answer in answers] == [(403, "AUTH_003")] * 2


def test_a_dead_key_is_told_where_keys_are_kept_out(client: Client) -> None:
    answer = client.post("/api/v1/auth/login", headers={"X-API-Key": "maas_unknown"}, json={})

    assert (answer.status_code, answer.json["error"]["code"]) == (401, "AUTH_004")


def test_the_document_lists_the_permissions(client: Client) -> None:
    schemas = client.get("/openapi.json").json["components"]["schemas"]

    permissions = schemas["ApiKeyForm"]["properties"]["permissions"]["items"]["enum"]
    assert "inference:create" in permissions
    assert "model:*" not in permissions


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
