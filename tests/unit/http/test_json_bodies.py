"""What the gate for JSON bodies lets through, and how it refuses the rest."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas.domain.errors import Invalid, Malformed
from maas.entrypoints.http.body import parse_json
from tests.toy_api import KNOWN_THING, Client, seen

THINGS = "/api/v1/things"
ALICE = {"Authorization": "Bearer alice", "Accept-Language": "en"}
JSON = {**ALICE, "Content-Type": "application/json"}


def post(client: Client, body: bytes, **headers: str) -> Any:
    return client.post(THINGS, data=body, headers={**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"{'name': 'x'}", id="single quotes"),
        pytest.param(b'{"name": "x",}', id="trailing comma"),
        pytest.param(b'{"name": "x"} {}', id="two values"),
        pytest.param(b'{"name": "\xff"}', id="not UTF-8"),
        pytest.param('{"name": "x"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"name": "x"}', id="byte order mark"),
        pytest.param(b'{"name": "a\nb"}', id="a raw line break in text"),
        pytest.param(b'{"name": "x", "ratio": NaN}', id="NaN"),
        pytest.param(b'{"name": "x", "ratio": -Infinity}', id="infinity"),
        pytest.param(b'{"name": "x", "name": "y"}', id="a key twice"),
        pytest.param(b'{"name": "\\ud800"}', id="half a surrogate pair"),
        pytest.param(b'{"\\udc00": 1}', id="half a surrogate pair in a key"),
        pytest.param(b"[" * 100_000, id="100,000 brackets"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="100,000 brackets, closed"),
        pytest.param(b'{"metadata": ' + b'{"a":' * 64 + b"1" + b"}" * 65, id="66 deep"),
    ],
)
def test_what_is_no_json_of_ours_is_400(client: Client, body: bytes) -> None:
    answer = post(client, body)

    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "VALIDATION_002"
    assert not seen


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        pytest.param(b"[]", "body", "VALIDATION_002", id="a list"),
        pytest.param(b"null", "body", "VALIDATION_002", id="null"),
        pytest.param(b'"text"', "body", "VALIDATION_002", id="text"),
        pytest.param(b"7", "body", "VALIDATION_002", id="a number"),
        pytest.param(b'{"name": "a\\u0000b"}', "name", "VALIDATION_002", id="NUL in text"),
        pytest.param(b'{"name": "x", "metadata": {"a": ["\\u0000"]}}', "metadata.a.0", "VALIDATION_002", id="NUL deep within"),
        pytest.param(b'{"name": "x", "size": 9223372036854775808}', "size", "VALIDATION_003", id="2**63"),
        pytest.param(b'{"name": "x", "size": -9223372036854775809}', "size", "VALIDATION_003", id="less than -2**63"),
        pytest.param(b'{"name": "x", "size": 1' + b"0" * 10_000 + b"}", "size", "VALIDATION_003", id="ten thousand digits"),
        pytest.param(b'{"name": "x", "ratio": 1e999}', "ratio", "VALIDATION_003", id="a float that is too large"),
        pytest.param(b'{"name": "x", "metadata": {"n": 18446744073709551616}}', "metadata.n", "VALIDATION_003", id="2**64 deep"),
        pytest.param(b"{}", "name", "VALIDATION_001", id="a missing field"),
        pytest.param(b'{"name": null}', "name", "VALIDATION_002", id="null for text"),
        pytest.param(b'{"name": 7}', "name", "VALIDATION_002", id="a number for text"),
        pytest.param(b'{"name": ""}', "name", "VALIDATION_003", id="too short"),
        pytest.param(b'{"name": "x", "size": "3"}', "size", "VALIDATION_002", id="a number in quotes"),
        pytest.param(b'{"name": "x", "size": 1.5}', "size", "VALIDATION_002", id="no whole number"),
        pytest.param(b'{"name": "x", "size": true}', "size", "VALIDATION_002", id="true for a number"),
        pytest.param(b'{"name": "x", "size": 0}', "size", "VALIDATION_003", id="too small"),
        pytest.param(b'{"name": "x", "ratio": "0.5"}', "ratio", "VALIDATION_002", id="a float in quotes"),
        pytest.param(b'{"name": "x", "ratio": 1.01}', "ratio", "VALIDATION_003", id="a float out of range"),
        pytest.param(b'{"name": "x", "public": 1}', "public", "VALIDATION_002", id="1 for true"),
        pytest.param(b'{"name": "x", "public": "true"}', "public", "VALIDATION_002", id="true in quotes"),
        pytest.param(b'{"name": "x", "expires_at": "2030-01-01T00:00:00"}', "expires_at", "VALIDATION_002", id="no zone"),
        pytest.param(b'{"name": "x", "expires_at": "20300101T000000Z"}', "expires_at", "VALIDATION_002", id="basic format"),
        pytest.param(b'{"name": "x", "expires_at": "0001-01-01T00:00:00+23:59"}', "expires_at", "VALIDATION_002", id="too early"),
        pytest.param(
            b'{"name": "x", "parts": [{"size": 1}, {"size": "2"}]}', "parts.1.size", "VALIDATION_002", id="within a list"
        ),
        pytest.param(b'{"name": "x", "parts": {"size": 1}}', "parts", "VALIDATION_002", id="an object for a list"),
        pytest.param(b'{"name": "x", "parts": [7]}', "parts.0", "VALIDATION_002", id="no object"),
        pytest.param(b'{"name": "x", "metadata": []}', "metadata", "VALIDATION_002", id="a list for an object"),
        pytest.param(b'{"name": "x", "nmae": "y"}', "nmae", "VALIDATION_002", id="an unknown field"),
        pytest.param(b'{"name": "x", "id": "y"}', "id", "VALIDATION_002", id="a field that only goes out"),
        pytest.param(b'{"name": "x", "parts": [{"szie": 1}]}', "parts.0.szie", "VALIDATION_002", id="an unknown field within"),
    ],
)
def test_json_of_the_wrong_content_is_422_and_names_its_field(client: Client, body: bytes, field: str, code: str) -> None:
    answer = post(client, body)

    assert answer.status_code == 422
    assert answer.json["error"]["code"] == code
    assert [(entry["field"], entry["code"]) for entry in answer.json["error"]["details"]] == [(field, code)]
    assert not seen


def test_each_field_at_fault_has_one_entry(client: Client) -> None:
    answer = post(client, b'{"size": "3", "ratio": 7, "other": 1}')

    details = answer.json["error"]["details"]
    assert {entry["field"]: entry["code"] for entry in details} == {
        "name": "VALIDATION_001",
        "size": "VALIDATION_002",
        "ratio": "VALIDATION_003",
        "other": "VALIDATION_002",
    }


@pytest.mark.parametrize(
    ("body", "loaded"),
    [
        (b'{"name": " x "}', {"name": " x "}),
        (b'{"name": "\\ud83d\\ude00"}', {"name": "\U0001f600"}),
        (b'{"name": "\\\\u0000"}', {"name": "\\u0000"}),
        (b'{"name": "x", "size": 9223372036854775807}', {"name": "x", "size": 2**63 - 1}),
        (b'{"name": "x", "size": 3.0}', {"name": "x", "size": 3}),
        (b'{"name": "x", "ratio": 1}', {"name": "x", "ratio": 1}),
        (b'{"name": "x", "expires_at": null}', {"name": "x", "expires_at": None}),
    ],
)
def test_what_is_right_reaches_the_view_as_it_is(client: Client, body: bytes, loaded: dict[str, Any]) -> None:
    answer = post(client, body)

    assert answer.status_code == 201
    assert seen == [loaded]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""]
)
def test_another_content_type_is_415(client: Client, content_type: str) -> None:
    answer = post(client, b'{"name": "x"}', Content_Type=content_type)

    assert (answer.status_code, answer.json["error"]["code"]) == (415, "VALIDATION_004")


def test_a_compressed_body_is_415(client: Client) -> None:
    answer = post(client, b'{"name": "x"}', Content_Encoding="gzip")

    assert (answer.status_code, answer.json["error"]["code"]) == (415, "VALIDATION_004")


def test_a_body_that_declares_more_than_10_mb_is_413_before_it_is_read(client: Client) -> None:
    declared = {"CONTENT_LENGTH": str(10 * 1024 * 1024 + 1)}
    answer = client.post(THINGS, data=b"{}", headers=JSON, environ_overrides=declared)

    assert (answer.status_code, answer.json["error"]["code"]) == (413, "VALIDATION_003")


def test_a_body_shorter_than_declared_is_400(client: Client) -> None:
    answer = client.post(THINGS, data=b'{"name": "x"}', headers=JSON, environ_overrides={"CONTENT_LENGTH": "400"})

    assert answer.status_code == 400


def test_a_body_may_be_left_out_where_it_is_optional(client: Client) -> None:
    restart = f"{THINGS}/{KNOWN_THING}/restart"

    assert client.post(restart, headers=ALICE).json["data"]["given"] == {}
    assert client.post(restart, headers=JSON, data=b"{}").json["data"]["given"] == {}
    assert client.post(restart, headers=JSON, data=b'{"size": 2}').json["data"]["given"] == {"size": 2}
    assert client.post(restart, headers=JSON, data=b"[]").status_code == 422


def test_an_unknown_field_of_ten_megabytes_is_told_in_short(client: Client) -> None:
    answer = post(client, b'{"' + b"k" * 5_000_000 + b'": 1}')

    assert answer.status_code == 422
    assert len(answer.data) < 2000


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_parsed_or_refused_by_one_of_our_errors(raw: bytes) -> None:
    with suppress(Malformed, Invalid):
        parse_json(raw)
