"""The account, its password, sessions and API keys over HTTP."""

from typing import Any

import pytest

from tests.house import PASSWORD, Client, House
from tests.unit.identity.calls import JOHN, bearer, login, mailed_token, problems


@pytest.fixture
def client(house: House) -> Client:
    return house.client


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
