"""Forms of fields and files: read as they arrive, bounded, and refused where they are not well-formed."""

from typing import Any

import pytest

from tests.forms import BOUNDARY, CONTENT_TYPE, body, part
from tests.house import House

ROW = b'{"prompt": "a", "completion": "b"}\n'
FIELDS = (part("name", "rows"), part("type", "instruction"), part("format", "jsonl"))
FILE = part("file", ROW, file_name="rows.jsonl")


@pytest.fixture
def headers(house: House) -> dict[str, str]:
    return house.sign_up()


def send(house: House, headers: dict[str, str], raw: bytes, content_type: str = CONTENT_TYPE, **more: str) -> Any:
    answer = house.client.post("/api/v1/datasets", headers={**headers, **more}, data=raw, content_type=content_type)
    if answer.status_code != 201:
        assert house.files.trees == {}
        assert not [path for path in house.data_dir.rglob("*") if path.name.startswith("rows")]
    return answer


def problems(answer: Any) -> list[tuple[str, str]]:
    return [(problem["field"], problem["message"]) for problem in answer.json["error"]["details"]]


def test_a_form_is_taken_in_any_order(house: House, headers: dict[str, str]) -> None:
    assert send(house, headers, body(FILE, *FIELDS)).status_code == 201


def test_a_form_may_have_a_preamble_and_an_epilogue(house: House, headers: dict[str, str]) -> None:
    assert send(house, headers, b"\r\n" + body(*FIELDS, FILE) + b"what follows").status_code == 201


def test_a_file_that_holds_parts_of_the_boundary_comes_whole(house: House, headers: dict[str, str]) -> None:
    tricky = ROW * 3 + b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n-\r\n--\r\n" + ROW

    answer = send(house, headers, body(*FIELDS, part("file", tricky, file_name="rows.jsonl")))

    assert answer.status_code == 422
    assert [problem["line"] for problem in answer.json["error"]["details"]] == [5, 6, 7]


@pytest.mark.parametrize(
    "raw",
    [
        b"not a form",
        body(*FIELDS, FILE)[:-4],
        body(*FIELDS, FILE).replace(b"\r\n", b"\n"),
        body(*FIELDS, FILE).replace(b"form-data", b"attachment", 1),
        body(*FIELDS, FILE).replace(b'name="name"', b"", 1),
        body(*FIELDS, part("file", ROW, file_name="x", headers="Content-Transfer-Encoding: base64\r\n")),
        body(*FIELDS).replace(b'name="name"', b'name="na\xffme"'),
        body(*FIELDS).replace(b"Content-Disposition", b"Content Disposition"),
        b"--" + BOUNDARY.encode() + b"\r\nX: " + b"y" * 100_000,
    ],
    ids=range(9),
)
def test_a_form_that_is_not_well_formed_is_400(house: House, headers: dict[str, str], raw: bytes) -> None:
    answer = send(house, headers, raw)

    assert (answer.status_code, answer.json["error"]["code"]) == (400, "VALIDATION_002")


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", "application/json", "text/plain", "multipart/mixed; boundary=x"]
)
def test_another_content_type_is_415(house: House, headers: dict[str, str], content_type: str) -> None:
    answer = send(house, headers, body(*FIELDS, FILE), content_type)

    assert (answer.status_code, answer.json["error"]["code"]) == (415, "VALIDATION_004")


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 500]
)
def test_a_boundary_is_needed(house: House, headers: dict[str, str], content_type: str) -> None:
    assert send(house, headers, body(*FIELDS, FILE), content_type).status_code == 400


def test_a_compressed_form_is_415(house: House, headers: dict[str, str]) -> None:
    answer = send(house, headers, body(*FIELDS, FILE), **{"Content-Encoding": "gzip"})

    assert answer.status_code == 415


def test_unknown_and_repeated_fields_are_each_told(house: House, headers: dict[str, str]) -> None:
    answer = send(house, headers, body(*FIELDS, part("name", "again"), part("colour", "red"), FILE))

    assert problems(answer) == [("name", "give this field once"), ("colour", "Unknown field.")]


def test_a_file_in_an_unknown_field_is_told_before_it_is_read(house: House, headers: dict[str, str]) -> None:
    cut_off = body(*FIELDS, part("files", ROW * 1000, file_name="rows.jsonl"))[:-5000]

    answer = send(house, headers, cut_off)

    assert (answer.status_code, problems(answer)) == (422, [("files", "Unknown field.")])


def test_a_second_file_is_refused(house: House, headers: dict[str, str]) -> None:
    assert problems(send(house, headers, body(*FIELDS, FILE, FILE))) == [("file", "give this field once")]


def test_text_in_a_file_s_field_is_no_file(house: House, headers: dict[str, str]) -> None:
    assert problems(send(house, headers, body(*FIELDS, part("file", "text")))) == [("file", "this must be a file")]


def test_a_file_that_was_not_chosen_is_missing(house: House, headers: dict[str, str]) -> None:
    answer = send(house, headers, body(*FIELDS, part("file", "", file_name="")))

    assert problems(answer) == [("file", "Missing data for required field.")]


def test_json_may_come_as_a_file_of_its_own_type(house: House, headers: dict[str, str]) -> None:
    tags = part("tags", '["a"]', file_name="blob", headers="Content-Type: application/json\r\n")

    assert send(house, headers, body(*FIELDS, tags, FILE)).json["data"]["tags"] == ["a"]


@pytest.mark.parametrize(
    ("field", "field_told"), [(part("description", b"\xff\xfe"), "description"), (part("description", "a\0b"), "description")]
)
def test_text_that_is_none_is_told(house: House, headers: dict[str, str], field: bytes, field_told: str) -> None:
    answer = send(house, headers, body(*FIELDS, field, FILE))

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (422, field_told)


def test_a_text_part_has_a_limit(house: House, headers: dict[str, str]) -> None:
    answer = send(house, headers, body(*FIELDS, part("description", "x" * (1024 * 1024 + 1)), FILE))

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (413, "description")


def test_a_form_has_a_limit_of_parts(house: House, headers: dict[str, str]) -> None:
    answer = send(house, headers, body(*(part("x", "") for _ in range(1001))))

    assert (answer.status_code, answer.json["error"]["code"]) == (413, "VALIDATION_003")


def test_files_have_a_limit_that_headers_do_not_use_up(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"max_dataset_bytes": len(ROW)})
    headers = house.sign_up()

    assert send(house, headers, body(*FIELDS, part("file", ROW + b"\n", file_name="rows.jsonl"))).status_code == 413
    assert send(house, headers, body(*FIELDS, FILE)).status_code == 201


def test_a_declared_length_over_the_limit_is_told_before_anything_else(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"max_dataset_bytes": 1000})
    headers = house.sign_up()

    declared = {"CONTENT_LENGTH": "999999999"}
    answer = house.client.post("/api/v1/datasets", headers=headers, content_type="text/plain", environ_overrides=declared)

    assert (answer.status_code, answer.json["error"]["code"]) == (413, "VALIDATION_003")


def test_a_declared_length_that_does_not_fit_the_storage_is_told_before_the_form(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"max_storage_bytes": 100})
    headers = house.sign_up()

    answer = send(house, headers, b"x" * 200)

    assert (answer.status_code, answer.json["error"]["code"]) == (429, "RESOURCE_004")
    assert answer.json["error"]["details"][0]["field"] == "storage"


def test_a_taken_name_is_told_before_the_file_is_read(house: House, headers: dict[str, str]) -> None:
    assert send(house, headers, body(*FIELDS, FILE)).status_code == 201
    cut_off = body(*FIELDS, part("file", ROW * 1000, file_name="rows.jsonl"))[:-5000]

    answer = house.client.post("/api/v1/datasets", headers=headers, data=cut_off, content_type=CONTENT_TYPE)

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (409, "name")


def test_the_document_shows_fields_and_files(house: House) -> None:
    document = house.client.get("/openapi.json").json

    content = document["paths"]["/api/v1/models"]["post"]["requestBody"]["content"]["multipart/form-data"]

    schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    assert schema["properties"]["model_file"]["format"] == "binary"
    assert schema["properties"]["files"]["items"]["format"] == "binary"
    assert schema["properties"]["tags"]["type"] == "array"
    assert set(schema["required"]) == {"name", "type"}
    assert content["encoding"]["tags"]["contentType"] == "application/json"
