"""The envelope of answers and of errors."""

import re

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug import exceptions

from maas.domain import errors
from maas.domain.errors import MaasError, Problem
from maas.entrypoints.http.errors import STATUS_AND_CODE
from tests.toy_api import FAILURES, KNOWN_THING, Client

ALICE = {"Authorization": "Bearer alice"}
ENGLISH = {**ALICE, "Accept-Language": "en"}
UUID_7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def all_errors(kind: type[MaasError] = MaasError) -> list[type[MaasError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in all_errors(child))]


@pytest.mark.parametrize("kind", [kind for kind in all_errors() if kind.__module__ == errors.__name__])
def test_every_error_of_the_domain_has_a_status(kind: type[MaasError]) -> None:
    assert kind in STATUS_AND_CODE


def test_a_success_wears_the_envelope(client: Client) -> None:
    answer = client.get(f"/api/v1/things/{KNOWN_THING}", headers=ALICE)

    assert answer.status_code == 200
    body = answer.json
    assert list(body) == ["success", "data", "message", "code", "timestamp", "request_id"]
    assert body["success"] is True
    assert body["data"] == {"id": str(KNOWN_THING), "name": "known"}
    assert body["message"] == "操作成功"
    assert body["code"] == 200
    assert TIMESTAMP.fullmatch(body["timestamp"])
    assert UUID_7.fullmatch(body["request_id"])
    assert answer.headers["X-Request-ID"] == body["request_id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_nothing_to_say_is_null(client: Client) -> None:
    answer = client.delete(f"/api/v1/things/{KNOWN_THING}", headers=ALICE)

    assert (answer.status_code, answer.json["data"]) == (200, None)


def test_a_creation_tells_where_the_new_thing_is(client: Client) -> None:
    answer = client.post("/api/v1/things", json={"name": "x"}, headers=ALICE)

    assert answer.status_code == 201
    assert answer.json["code"] == 201
    assert answer.headers["Location"] == f"/api/v1/things/{KNOWN_THING}"


def test_an_error_wears_the_envelope(client: Client) -> None:
    answer = client.post("/api/v1/things", json={}, headers=ENGLISH)

    body = answer.json
    assert body["success"] is False
    assert body["code"] == 422
    assert body["error"]["code"] == "VALIDATION_001"
    assert body["error"]["type"] == "VALIDATION_ERROR"
    assert body["error"]["message"] == "the input is not valid"
    assert body["error"]["details"] == [
        {"field": "name", "code": "VALIDATION_001", "message": "Missing data for required field."}
    ]


@pytest.mark.parametrize("given", ["abc", "A-b_c.1", "x" * 128])
def test_a_well_formed_request_id_is_kept(client: Client, given: str) -> None:
    answer = client.get("/api/v1/things", headers={**ALICE, "X-Request-ID": given})

    assert answer.json["request_id"] == answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a/b", "é"])
def test_any_other_request_id_is_replaced(client: Client, given: str) -> None:
    answer = client.get("/api/v1/things", headers={**ALICE, "X-Request-ID": given})

    assert UUID_7.fullmatch(answer.headers["X-Request-ID"])


@pytest.mark.parametrize(
    ("header", "english"),
    [
        (None, False),
        ("en", True),
        ("en-US,en;q=0.9", True),
        ("zh-CN,zh;q=0.9,en;q=0.8", False),
        ("zh;q=0.5, en;q=0.6", True),
        ("fr", False),
        ("fr, en;q=0.1", True),
        ("*", False),
        ("*;q=0.5, zh;q=0.1", True),
        ("en;q=0", False),
        ("english", False),
        ("en;q=abc", False),
        (",;=;,", False),
    ],
)
def test_the_language_follows_accept_language(client: Client, header: str | None, english: bool) -> None:
    headers = ALICE if header is None else {**ALICE, "Accept-Language": header}

    message = client.get("/api/v1/things", headers=headers).json["message"]

    assert message == ("done" if english else "操作成功")


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/api/v1/nothing", "GET", 404, "RESOURCE_001"),
        ("/nothing", "GET", 404, "RESOURCE_001"),
        ("/api/v1/things/", "GET", 404, "RESOURCE_001"),
        ("/api//v1/things", "GET", 404, "RESOURCE_001"),
        ("/api/v1/things", "PATCH", 405, "RESOURCE_001"),
        ("/api/v1/things", "OPTIONS", 405, "RESOURCE_001"),
    ],
)
def test_unknown_addresses_and_methods_wear_the_envelope(client: Client, path: str, method: str, status: int, code: str) -> None:
    answer = client.open(path, method=method)

    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)
    assert answer.json["request_id"]


def test_a_wrong_method_tells_the_right_ones(client: Client) -> None:
    allowed = client.patch("/api/v1/things").headers["Allow"]

    assert set(allowed.split(", ")) >= {"GET", "POST"}


@pytest.mark.parametrize(
    ("made", "status", "code"),
    [
        (exceptions.BadRequest, 400, "VALIDATION_002"),
        (exceptions.LengthRequired, 411, "VALIDATION_002"),
        (exceptions.PreconditionFailed, 412, "RESOURCE_003"),
        (exceptions.RequestEntityTooLarge, 413, "VALIDATION_003"),
        (exceptions.RequestURITooLarge, 414, "VALIDATION_002"),
        (exceptions.UnsupportedMediaType, 415, "VALIDATION_004"),
        (exceptions.RequestedRangeNotSatisfiable, 416, "VALIDATION_003"),
        (exceptions.RequestHeaderFieldsTooLarge, 431, "VALIDATION_003"),
        (exceptions.InternalServerError, 500, "SYSTEM_001"),
        (exceptions.ServiceUnavailable, 503, "SYSTEM_002"),
        (lambda: errors.StorageFull("there is no room on the disk"), 507, "SYSTEM_002"),
    ],
)
def test_statuses_of_the_framework_have_codes_of_ours(client: Client, made: object, status: int, code: str) -> None:
    FAILURES["it"] = made  # type: ignore[assignment]

    answer = client.get("/api/v1/things/raise/it")

    assert (answer.status_code, answer.json["code"], answer.json["error"]["code"]) == (status, status, code)
    assert ("Retry-After" in answer.headers) == (status in (503, 507))


@pytest.mark.parametrize("made", [lambda: OperationalError("SELECT secret", {}, Exception("x")), lambda: PoolTimeout("pool")])
def test_a_database_out_of_reach_is_503_with_retry_after(client: Client, made: object) -> None:
    FAILURES["it"] = made  # type: ignore[assignment]

    answer = client.get("/api/v1/things/raise/it")

    assert (answer.status_code, answer.json["error"]["code"]) == (503, "SYSTEM_002")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "secret" not in answer.text


def test_a_bug_tells_its_request_id_and_nothing_else(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    answer = client.get("/api/v1/things/bug", headers={"X-Request-ID": "find-me", "Accept-Language": "en"})

    assert (answer.status_code, answer.json["error"]["code"]) == (500, "SYSTEM_001")
    assert "secret" not in answer.text
    assert "passwd" not in answer.text
    log = "".join(capfd.readouterr())
    assert "find-me" in log
    assert "RuntimeError" in log


def test_problems_are_told_with_their_lines(client: Client) -> None:
    problems = [Problem(field="file", template="the input is not valid", line=7)]
    FAILURES["it"] = lambda: errors.Invalid("the input is not valid", problems=problems)

    details = client.get("/api/v1/things/raise/it").json["error"]["details"]

    assert details[0]["line"] == 7
    assert details[0]["field"] == "file"


def test_a_range_that_cannot_be_given_tells_the_size(client: Client) -> None:
    FAILURES["it"] = lambda: errors.RangeNotSatisfiable(size=10)

    answer = client.get("/api/v1/things/raise/it")

    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */10")


def test_v1_errs_in_the_shape_of_openai(client: Client) -> None:
    unknown = client.get("/v1/nothing")
    anonymous = client.get("/v1/things/stream/1/1", headers={"Accept-Language": "zh"})

    assert unknown.status_code == 404
    assert set(unknown.json) == {"error"}
    assert set(unknown.json["error"]) == {"message", "type", "param", "code"}
    assert anonymous.status_code == 401
    assert anonymous.json["error"]["type"] == "authentication_error"
    assert anonymous.json["error"]["message"].isascii()


def test_a_page_is_answered_with_its_place_in_the_list(client: Client) -> None:
    data = client.get("/api/v1/things?page=2&limit=10", headers=ALICE).json["data"]

    assert data["things"] == [{"id": str(KNOWN_THING), "name": "known"}]
    assert data["pagination"] == {"page": 2, "limit": 10, "total": 41, "pages": 5}
