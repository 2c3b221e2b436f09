"""Datasets over HTTP: uploaded with every row checked, shown, changed, downloaded, deleted."""

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from maas.domain.identity import UserRegistered
from tests.builders import a_job
from tests.forms import form
from tests.house import House

Headers = dict[str, str]
Upload = Callable[..., Any]
ROWS = [{"prompt": f"question {number}", "completion": "答案"} for number in range(30)]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


@pytest.fixture
def alice(house: House) -> Headers:
    return house.sign_up("alice")


@pytest.fixture
def bob(house: House) -> Headers:
    return house.sign_up("bob")


@pytest.fixture
def upload(house: House, alice: Headers) -> Upload:
    def upload(content: bytes = JSONL, *, headers: Headers | None = None, file_name: str = "rows.jsonl", **fields: str) -> Any:
        given = {"name": "rows", "type": "instruction", "format": "jsonl", **fields}
        call = form(given, {"file": (file_name, content)})
        return house.client.post("/api/v1/datasets", headers=headers or alice, **call)

    return upload


def parquet_of(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


CSV = ("prompt,completion\n" + "".join(f"{row['prompt']},{row['completion']}\n" for row in ROWS)).encode()
CONTENTS = {"jsonl": JSONL, "json": json.dumps(ROWS).encode(), "csv": CSV, "parquet": parquet_of(ROWS)}
OF_TYPES = {
    "conversation": {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "hello there"}]},
    "instruction": {"instruction": "add", "input": "1 2", "output": "3"},
    "text": {"text": "some text"},
    "preference": {"prompt": "a", "chosen": "b", "rejected": "c"},
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_each_format_is_taken(upload: Upload, kind: str) -> None:
    answer = upload(CONTENTS[kind], format=kind)

    data = answer.json["data"]
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/api/v1/datasets/{data['id']}")
    assert (data["rows"], data["columns"], data["status"]) == (30, ["prompt", "completion"], "ready")
    assert data["preview"][0] == ROWS[0]
    assert data["statistics"]["tokens"]["min"] > 0
    assert data["tokens_estimate"] > 30 * 4
    assert data["sha256"] == hashlib.sha256(CONTENTS[kind]).hexdigest()


@pytest.mark.parametrize("kind", OF_TYPES)
def test_each_type_is_taken_and_no_other_rows(upload: Upload, kind: str) -> None:
    rows = {other: json.dumps(row).encode() for other, row in OF_TYPES.items()}

    assert upload(rows[kind], type=kind, name=kind).status_code == 201
    for other in OF_TYPES.keys() - {kind}:
        assert upload(rows[other], type=kind, name=other).status_code == 422


def test_bad_rows_are_named_by_line_and_reason_and_nothing_is_stored(house: House, upload: Upload) -> None:
    lines = JSONL.splitlines(keepends=True)
    lines[4] = b"{\n"
    lines[6] = b'{"prompt": "no answer"}\n'

    answer = upload(b"".join(lines))

    error = answer.json["error"]
    assert (answer.status_code, error["message"]) == (422, "the file has 2 bad rows; nothing was stored")
    assert [(problem["field"], problem["line"], problem["code"]) for problem in error["details"]] == [
        ("file", 5, "VALIDATION_002"),
        ("file", 7, "VALIDATION_001"),
    ]
    assert house.files.trees == {}
    assert house.database.datasets.rows == {}
    assert all(isinstance(event, UserRegistered) for event in house.database.events)


def test_bad_rows_are_told_in_chinese_too(house: House, upload: Upload, alice: Headers) -> None:
    answer = upload(b'{"prompt": "no answer"}\n', headers={**alice, "Accept-Language": "zh-CN"})

    assert answer.json["error"]["details"][0]["message"] == "缺少列 completion"


def test_the_first_twenty_bad_rows_are_named_and_all_are_counted(upload: Upload) -> None:
    answer = upload(b"[]\n" * 1000)

    assert [problem["line"] for problem in answer.json["error"]["details"]] == list(range(1, 21))
    assert "1000" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("content", "fields", "code"),
    [
        (b"", {}, "VALIDATION_001"),
        (b"\xff\xfe", {}, "VALIDATION_004"),
        (b"{}", {"format": "json"}, "VALIDATION_004"),
        (JSONL, {"format": "parquet"}, "VALIDATION_004"),
        (CONTENTS["parquet"], {"format": "csv"}, "VALIDATION_004"),
        (CONTENTS["parquet"][:-9], {"format": "parquet"}, "VALIDATION_004"),
    ],
    ids=range(6),
)
def test_a_file_that_is_none_of_its_format_is_refused(
    house: House, upload: Upload, content: bytes, fields: dict[str, str], code: str
) -> None:
    answer = upload(content, **fields)

    assert (answer.status_code, answer.json["error"]["code"], answer.json["error"]["details"][0]["field"]) == (422, code, "file")
    assert house.files.trees == {}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type": "chat"}, "type"),
        ({"format": "xlsx"}, "format"),
        ({"name": ""}, "name"),
        ({"tags": "x"}, "tags"),
        ({"rows": "1"}, "rows"),
    ],
)
def test_a_wrong_field_is_told_by_name(house: House, upload: Upload, fields: dict[str, str], field: str) -> None:
    answer = upload(**fields)

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (422, field)
    assert house.files.trees == {}


def test_a_name_is_taken_once_per_owner(upload: Upload, bob: Headers) -> None:
    assert [upload().status_code, upload().status_code, upload(headers=bob).status_code] == [201, 409, 201]


def test_a_file_name_is_kept_whatever_it_is(upload: Upload) -> None:
    shown = upload(file_name="数据\t集.jsonl").json["data"]["file_name"]

    assert shown == "数据_集.jsonl"


def test_what_comes_down_is_what_went_up(house: House, upload: Upload, alice: Headers) -> None:
    dataset = upload(file_name="客服.jsonl").json["data"]
    path = f"/api/v1/datasets/{dataset['id']}/download"

    answer = house.client.get(path, headers=alice)
    part = house.client.get(path, headers={**alice, "Range": "bytes=10-19"})

    assert (answer.status_code, answer.data) == (200, JSONL)
    assert answer.headers["ETag"] == f'"{dataset["sha256"]}"'
    assert answer.headers["Content-Disposition"].endswith("filename*=UTF-8''%E5%AE%A2%E6%9C%8D.jsonl")
    assert (part.status_code, part.data) == (206, JSONL[10:20])


def test_datasets_are_listed_filtered_and_sorted(house: House, upload: Upload, alice: Headers, bob: Headers) -> None:
    upload(name="small", description="客服对话")
    upload(CSV * 2, name="csv", format="csv", visibility="public")
    upload(name="hidden", headers=bob)
    upload(name="shared", headers=bob, visibility="public")

    def names(query: str) -> list[str]:
        answer = house.client.get(f"/api/v1/datasets?{query}", headers=alice)
        return [dataset["name"] for dataset in answer.json["data"]["datasets"]]

    assert names("") == ["shared", "csv", "small"]
    assert names("format=csv") == ["csv"]
    assert names("type=text") == []
    assert names("visibility=private") == ["small"]
    assert names("search=客服") == ["small"]
    assert names("sort=rows&order=desc&limit=1") == ["csv"]
    assert house.client.get("/api/v1/datasets?sort=preview", headers=alice).status_code == 422


def test_a_detail_has_every_field_of_the_list(house: House, upload: Upload, alice: Headers) -> None:
    created = upload().json["data"]
    path = f"/api/v1/datasets/{created['id']}"

    [item] = house.client.get("/api/v1/datasets", headers=alice).json["data"]["datasets"]

    assert house.client.get(path, headers=alice).json["data"] == created
    assert item.items() <= created.items()


def test_a_change_sets_what_is_given(house: House, upload: Upload, alice: Headers) -> None:
    upload(name="taken")
    path = f"/api/v1/datasets/{upload(description='old').json['data']['id']}"

    answer = house.client.put(path, headers=alice, json={"name": "new", "description": None, "tags": ["a"]})

    assert (answer.json["data"]["name"], answer.json["data"]["description"], answer.json["data"]["tags"]) == ("new", None, ["a"])
    assert house.client.put(path, headers=alice, json={"name": "taken"}).status_code == 409
    assert house.client.put(path, headers=alice, json={"type": "text"}).status_code == 422
    assert house.client.get(path, headers=alice).json["data"] == answer.json["data"]


def test_another_s_private_dataset_is_not_there_and_a_public_one_is_not_changed(
    house: House, upload: Upload, alice: Headers, bob: Headers
) -> None:
    path = f"/api/v1/datasets/{upload().json['data']['id']}"
    calls = [("GET", path), ("GET", f"{path}/download"), ("PUT", path), ("DELETE", path)]

    def statuses() -> list[int]:
        return [house.client.open(address, method=method, headers=bob, json={"x": 1}).status_code for method, address in calls]

    assert statuses() == [404, 404, 404, 404]
    house.client.put(path, headers=alice, json={"visibility": "public"})
    assert statuses() == [200, 200, 403, 403]


def test_what_is_deleted_is_gone_with_its_file(house: House, upload: Upload, alice: Headers) -> None:
    path = f"/api/v1/datasets/{upload().json['data']['id']}"

    assert house.client.delete(path, headers=alice).status_code == 200

    assert house.client.get(path, headers=alice).status_code == 404
    assert house.client.get("/api/v1/users/me", headers=alice).json["data"]["quota"]["storage_used"] == 0
    house.work()
    assert house.files.trees == {}


def test_a_dataset_that_a_job_learns_from_is_not_deleted(house: House, upload: Upload, alice: Headers) -> None:
    path = f"/api/v1/datasets/{upload().json['data']['id']}"
    [dataset] = house.database.datasets.rows.values()
    with house.database() as work:
        work.finetuning_jobs.add(a_job(dataset.owner_id, dataset_id=dataset.id))

    answer = house.client.delete(path, headers=alice)

    assert (answer.status_code, answer.json["error"]["code"]) == (409, "RESOURCE_003")
