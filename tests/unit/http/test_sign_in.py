"""Who may call, and in which order this is checked."""

import pytest

from tests.toy_api import KNOWN_THING, LIMIT, Client, Sessions

UNKNOWN_THING = "01900000-0000-7000-8000-00000000ffff"
THING = f"/api/v1/things/{KNOWN_THING}"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AUTH_001"),
        ({"Authorization": ""}, "AUTH_001"),
        ({"Authorization": "alice"}, "AUTH_001"),
        ({"Authorization": "Basic alice"}, "AUTH_001"),
        ({"Authorization": "Bearer "}, "AUTH_001"),
        ({"Authorization": "Bearer  alice"}, "AUTH_001"),
        ({"Authorization": "Bearer älice"}, "AUTH_001"),
        ({"Authorization": "Bearer forged"}, "AUTH_001"),
        ({"Authorization": "Bearer old"}, "AUTH_002"),
        ({"X-API-Key": ""}, "AUTH_001"),
    ],
)
def test_without_a_good_credential_a_call_is_401(client: Client, headers: dict[str, str], code: str) -> None:
    answer = client.get(THING, headers=headers)

    assert (answer.status_code, answer.json["error"]["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("headers", [bearer("alice"), {"Authorization": "bearer alice"}, {"X-API-Key": "maas_reader"}])
def test_a_token_or_a_key_signs_in(client: Client, headers: dict[str, str]) -> None:
    assert client.get(THING, headers=headers).status_code == 200


def test_a_key_without_the_permission_is_403_whatever_it_asks_for(client: Client) -> None:
    key = bearer("maas_nothing")
    answers = [
        client.get(THING, headers=key),
        client.get(f"/api/v1/things/{UNKNOWN_THING}", headers=key),
        client.get("/api/v1/things/no-uuid", headers=key),
        client.get("/api/v1/things?limit=0", headers=key),
        client.post("/api/v1/things", data=b"{", headers=key),
    ]

    assert [(answer.status_code, answer.json["error"]["code"]) for answer in answers] == [(403, "AUTH_003")] * 5


def test_keys_never_touch_what_is_for_persons(client: Client) -> None:
    assert client.get("/api/v1/things/mine", headers=bearer("maas_reader")).status_code == 403
    assert client.get("/api/v1/things/mine", headers=bearer("alice")).status_code == 200


def test_administration_is_for_administrators(client: Client) -> None:
    assert client.get("/api/v1/things/all", headers=bearer("alice")).status_code == 403
    assert client.get("/api/v1/things/all", headers=bearer("maas_reader")).status_code == 403
    assert client.get("/api/v1/things/all", headers=bearer("ada")).status_code == 200


def test_sign_in_comes_before_the_form(client: Client) -> None:
    assert client.put(THING, data=b"{").status_code == 401


def test_the_path_comes_before_the_form(client: Client) -> None:
    for path in (f"/api/v1/things/{UNKNOWN_THING}", "/api/v1/things/no-uuid"):
        for body, content_type in ((b"{", "application/json"), (b"{}", "text/plain"), (b'{"x": 1}', "application/json")):
            answer = client.put(path, data=body, content_type=content_type, headers=bearer("alice"))

            assert answer.status_code == 404


@pytest.mark.parametrize("name", ["no-uuid", UNKNOWN_THING, "{01900000-0000-7000-8000-000000000001}", "%00", "0"])
def test_an_id_that_is_malformed_and_one_that_is_unknown_are_told_alike(client: Client, name: str) -> None:
    answer = client.get(f"/api/v1/things/{name}", headers=bearer("alice"))

    assert (answer.status_code, answer.json["error"]["code"]) == (404, "RESOURCE_001")
    assert name not in answer.json["error"]["message"]


def test_every_signed_in_answer_tells_what_is_left_of_the_hour(client: Client, sessions: Sessions) -> None:
    answers = [
        client.get(THING, headers=bearer("alice")),
        client.get("/api/v1/things?limit=0", headers=bearer("alice")),
        client.get("/api/v1/nothing", headers=bearer("alice")),
        client.get(THING, headers=bearer("maas_nothing")),
    ]

    assert [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers] == [LIMIT - 1, LIMIT - 2, LIMIT - 3, LIMIT - 4]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {str(LIMIT)}
    assert sessions.calls_left == LIMIT - 4


def test_a_call_beyond_the_limit_is_429_and_tells_when_to_come_again(client: Client, sessions: Sessions) -> None:
    sessions.calls_left = 0

    answer = client.get("/api/v1/things/mine", headers=bearer("maas_nothing"))

    assert (answer.status_code, answer.json["error"]["code"]) == (429, "RATE_001"), "the limit comes before the permission"
    assert answer.headers["Retry-After"] == "17"
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert answer.headers["X-RateLimit-Limit"] == str(LIMIT)
    assert "X-RateLimit-Reset" in answer.headers


def test_administrators_have_no_limit(client: Client, sessions: Sessions) -> None:
    sessions.calls_left = 0

    answer = client.get(THING, headers=bearer("ada"))

    assert answer.status_code == 200
    assert "X-RateLimit-Limit" not in answer.headers


def test_public_routes_look_at_no_credential(client: Client) -> None:
    assert client.get("/api/v1/things/bug", headers=bearer("forged")).status_code == 500
    assert client.get("/healthz", headers=bearer("forged")).status_code == 200
