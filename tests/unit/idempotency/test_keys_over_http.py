"""The Idempotency-Key of calls over HTTP."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from maas.domain.identity import Permission
from tests.forms import form
from tests.house import House
from tests.unit.catalog.archives import zipped
from tests.unit.catalog.model_files import llama_files

KEYS = "/api/v1/users/me/api-keys"
BODY = {"name": "mine", "permissions": ["model:read"]}


@pytest.fixture
def alice(house: House) -> dict[str, str]:
    return house.sign_up("alice")


def keyed(headers: dict[str, str], key: str = "k1") -> dict[str, str]:
    return {**headers, "Idempotency-Key": key}


def make_key(house: House, headers: dict[str, str], **changes: Any) -> Any:
    return house.client.post(KEYS, headers=headers, json={**BODY, **changes})


def conflict(answer: Any) -> tuple[int, str, str]:
    return answer.status_code, answer.json["error"]["code"], answer.json["error"]["details"][0]["field"]


CONFLICT = (409, "RESOURCE_002", "Idempotency-Key")


def test_a_repeated_call_has_one_effect_and_one_answer_secret_and_location_included(house: House, alice: dict[str, str]) -> None:
    first, second = (make_key(house, keyed(alice)) for _ in range(2))
    listed = house.client.get(KEYS, headers=alice).json["data"]

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.data == second.data
    assert first.headers["Location"] == second.headers["Location"]
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert listed["pagination"]["total"] == 1


def test_without_a_key_or_with_another_each_call_has_its_effect(house: House, alice: dict[str, str]) -> None:
    for headers in (alice, alice, keyed(alice, "a"), keyed(alice, "b")):
        make_key(house, headers)

    assert house.client.get(KEYS, headers=alice).json["data"]["pagination"]["total"] == 4


def test_the_secret_of_the_answer_is_kept_sealed(house: House, alice: dict[str, str]) -> None:
    secret = make_key(house, keyed(alice)).json["data"]["key"]

    kept = [row.answer or b"" for row in house.database.idempotent_calls.rows.values()]
    assert [answer for answer in kept if secret.encode() in answer] == []


def test_the_same_value_written_otherwise_is_the_same_call(house: House, alice: dict[str, str]) -> None:
    first = make_key(house, keyed(alice))
    raw = b'{ "permissions": ["model:read"],\n "name": "m\\u0069ne" }'
    second = house.client.post(KEYS, headers=keyed(alice), data=raw, content_type="application/json; charset=utf-8")

    assert second.data == first.data


@pytest.mark.parametrize("changes", [{"name": "other"}, {"permissions": []}, {"expires_at": None}])
def test_another_body_under_the_key_is_refused(house: House, alice: dict[str, str], changes: dict[str, Any]) -> None:
    make_key(house, keyed(alice))

    assert conflict(make_key(house, keyed(alice), **changes)) == CONFLICT


def test_another_address_under_the_key_is_refused(house: House, alice: dict[str, str]) -> None:
    make_key(house, keyed(alice))
    answer = house.client.post("/api/v1/models/00000000-0000-7000-8000-000000000001/like", headers=keyed(alice), json=BODY)

    assert conflict(answer) == CONFLICT


def test_keys_belong_to_their_person(house: House, alice: dict[str, str]) -> None:
    bob = house.sign_up("bob")
    answers = [make_key(house, keyed(headers)).json["data"]["id"] for headers in (alice, bob)]

    assert answers[0] != answers[1]


def test_a_refused_call_does_not_use_the_key_up(house: House, alice: dict[str, str]) -> None:
    wrong = [
        make_key(house, keyed(alice), name=""),
        house.client.post(KEYS, headers=keyed(alice), data=b"{"),
        house.client.post(KEYS, headers=keyed(alice), data=b"{", content_type="application/json"),
    ]
    right = make_key(house, keyed(alice))

    assert [answer.status_code for answer in wrong] == [422, 415, 400]
    assert right.status_code == 201


def test_a_key_is_forgotten_after_a_day(house: House, alice: dict[str, str]) -> None:
    first = make_key(house, keyed(alice)).json["data"]["id"]
    house.clock.advance(timedelta(hours=24))
    again = make_key(house, keyed(house.sign_in("alice"))).json["data"]["id"]

    assert first != again


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ключ"])
def test_a_key_has_a_form(house: House, alice: dict[str, str], key: str) -> None:
    answer = make_key(house, keyed(alice, key))

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (422, "Idempotency-Key")


def test_sign_in_comes_before_the_key(house: House, alice: dict[str, str]) -> None:
    make_key(house, keyed(alice))

    assert make_key(house, {"Idempotency-Key": "k1"}).status_code == 401
    assert make_key(house, keyed(house.key(alice, *Permission))).status_code == 403


def test_a_second_call_while_the_first_runs_is_refused(
    house: House, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_case = house.container.api_keys()
    create, running, go_on = use_case.create, threading.Event(), threading.Event()

    def create_slowly(*args: Any, **values: Any) -> Any:
        running.set()
        assert go_on.wait(10)
        return create(*args, **values)

    monkeypatch.setattr(use_case, "create", create_slowly)
    answers: list[Any] = []
    app = house.app
    first = threading.Thread(target=lambda: answers.append(app.test_client().post(KEYS, headers=keyed(alice), json=BODY)))
    first.start()
    assert running.wait(10)
    refused = make_key(house, keyed(alice))
    go_on.set()
    first.join()
    again = make_key(house, keyed(alice))

    assert conflict(refused) == CONFLICT
    assert answers[0].status_code == 201
    assert again.data == answers[0].data


def test_a_call_that_died_after_its_effect_has_no_second_one(house: House, alice: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.container.idempotency(), "finish", lambda *_args, **_options: None)
        make_key(house, keyed(alice))
    house.clock.advance(timedelta(minutes=2))
    refused = make_key(house, keyed(alice))

    assert conflict(refused) == CONFLICT
    assert house.client.get(KEYS, headers=alice).json["data"]["pagination"]["total"] == 1


def upload(house: House, headers: dict[str, str], files: dict[str, tuple[str, bytes]], **fields: str) -> Any:
    return house.client.post("/api/v1/models", headers=headers, **form({"name": "tiny", "type": "llm", **fields}, files))


def test_an_upload_is_told_by_its_fields_and_what_is_in_its_files(house: House, alice: dict[str, str]) -> None:
    archive = zipped(llama_files())
    first = upload(house, keyed(alice), {"model_file": ("model.zip", archive)})
    again = upload(house, keyed(alice), {"model_file": ("model.zip", archive)})
    other_field = upload(house, keyed(alice), {"model_file": ("model.zip", archive)}, description="other")
    other_name = upload(house, keyed(alice), {"model_file": ("other.zip", archive)})
    other_file = upload(house, keyed(alice), {"model_file": ("model.zip", archive + b"\0")})

    assert (first.status_code, again.status_code) == (201, 201), first.json
    assert again.data == first.data
    assert [conflict(answer) for answer in (other_field, other_name, other_file)] == [CONFLICT] * 3


def test_calls_without_a_body_are_told_by_their_address(house: House, alice: dict[str, str]) -> None:
    model = upload(house, alice, {"model_file": ("model.zip", zipped(llama_files()))}).json["data"]
    like = f"/api/v1/models/{model['id']}/like"
    first, again = (house.client.post(like, headers=keyed(alice)) for _ in range(2))
    other = house.client.post(like, headers=keyed(alice), json={"x": 1})

    assert first.status_code == 200
    assert again.data == first.data
    assert conflict(other) == CONFLICT


def test_signing_in_takes_no_key(house: House, alice: dict[str, str]) -> None:
    body = {"email": "alice@example.com", "password": "correct horse battery"}
    tokens = [house.client.post("/api/v1/auth/login", headers={"Idempotency-Key": "k"}, json=body) for _ in range(2)]

    assert tokens[0].json["data"]["access_token"] != tokens[1].json["data"]["access_token"]
    assert house.database.idempotent_calls.rows == {}


def test_the_document_tells_which_calls_take_a_key(house: House) -> None:
    paths = house.client.get("/openapi.json").json["paths"]

    def headers_of(path: str, method: str) -> list[str]:
        return [parameter["name"] for parameter in paths[path][method].get("parameters", []) if parameter["in"] == "header"]

    assert headers_of(KEYS, "post") == ["Idempotency-Key"]
    assert headers_of("/api/v1/models", "post") == ["Idempotency-Key"]
    assert headers_of(KEYS, "get") == []
    assert headers_of("/api/v1/auth/login", "post") == []
