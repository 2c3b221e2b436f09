"""Models over HTTP: who sees them, how they are listed, changed, liked and deleted."""

from typing import Any

import pytest

from maas.domain.identity import Role
from tests.builders import a_deployment, a_job, a_served_model
from tests.house import House
from tests.unit.catalog.archives import zipped
from tests.unit.catalog.conftest import Upload
from tests.unit.catalog.model_files import BERT, llama_files

Headers = dict[str, str]
Shown = dict[str, Any]


def names(house: House, headers: Headers, query: str = "") -> list[str]:
    answer = house.client.get(f"/api/v1/models?{query}", headers=headers)
    assert answer.status_code == 200, answer.json
    assert answer.json["data"]["pagination"]["total"] == len(answer.json["data"]["models"])
    return [model["name"] for model in answer.json["data"]["models"]]


def change(house: House, headers: Headers, model: Shown, **changes: Any) -> Any:
    return house.client.put(f"/api/v1/models/{model['id']}", headers=headers, json=changes)


def test_a_model_of_the_list_has_the_specification_s_fields(house: House, alice: Headers, model: Shown) -> None:
    house.client.put("/api/v1/users/me", headers=alice, json={"organization": "清华大学"})

    [item] = house.client.get("/api/v1/models", headers=alice).json["data"]["models"]

    owner = {"id": str(house.user_id(alice)), "username": "alice", "organization": "清华大学"}
    assert item["owner"] == owner
    assert {"id", "name", "description", "type", "category", "visibility", "license", "tags"} <= item.keys()
    assert (item["latest_version"], item["download_count"], item["like_count"]) == ("1.0.0", 0, 0)
    assert item["created_at"].endswith("Z")
    assert item.keys() <= model.keys()


def test_the_detail_has_what_the_files_say(house: House, alice: Headers, model: Shown) -> None:
    shown = house.client.get(f"/api/v1/models/{model['id']}", headers=alice).json["data"]

    assert shown == {**model, "owner": shown["owner"]}
    assert shown["metadata"]["hardware_requirements"].keys() == {"min_gpu_memory", "recommended_gpu", "cpu_cores", "ram"}
    assert (shown["metadata"]["parameters_count"], shown["metadata"]["model_format"]) == (80, "transformers")


@pytest.fixture
def three(house: House, alice: Headers, bob: Headers, upload: Upload) -> None:
    """Alice's private llm and public embedding, and Bob's public llm."""
    upload(name="alpha", description="ChatGLM 中文")
    upload({"model_file": ("b.zip", zipped(llama_files(**BERT)))}, name="Beta", type="embedding", visibility="public")
    upload(headers=bob, name="gamma", visibility="public", category="summarization")
    upload(headers=bob, name="hidden")


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["gamma", "Beta", "alpha"]),
        ("order=asc", ["alpha", "Beta", "gamma"]),
        ("sort=name&order=asc", ["Beta", "alpha", "gamma"]),
        ("type=llm", ["gamma", "alpha"]),
        ("category=summarization", ["gamma"]),
        ("visibility=private", ["alpha"]),
        ("visibility=organization", []),
        ("status=ready&type=embedding", ["Beta"]),
        ("status=failed", []),
        ("search=chatglm", ["alpha"]),
        ("search=中文", ["alpha"]),
        ("search=%25", []),
        ("sort=download_count&order=asc&search=a", ["alpha", "Beta", "gamma"]),
    ],
)
def test_the_list_is_filtered_sorted_and_searched(house: House, alice: Headers, query: str, expected: list[str]) -> None:
    assert names(house, alice, query) == expected


@pytest.mark.usefixtures("three")
def test_the_list_comes_in_pages(house: House, alice: Headers) -> None:
    data = house.client.get("/api/v1/models?limit=2&page=2", headers=alice).json["data"]

    assert [model["name"] for model in data["models"]] == ["alpha"]
    assert data["pagination"] == {"page": 2, "limit": 2, "total": 3, "pages": 2}


@pytest.mark.parametrize("query", ["sort=owner", "type=gpt", "visibility=all", "limit=0", "page=x", "colour=red", "status=new"])
def test_an_unknown_filter_or_sort_is_an_error(house: House, alice: Headers, query: str) -> None:
    answer = house.client.get(f"/api/v1/models?{query}", headers=alice)

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (422, query.partition("=")[0])


@pytest.mark.usefixtures("three")
def test_an_administrator_sees_all(house: House) -> None:
    assert names(house, house.sign_up("ada", role=Role.ADMIN)) == ["hidden", "gamma", "Beta", "alpha"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PUT", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/like"),
        ("DELETE", "/like"),
        ("GET", "/versions"),
        ("POST", "/versions"),
        ("GET", "/versions/1.0.0"),
        ("DELETE", "/versions/1.0.0"),
        ("GET", "/versions/1.0.0/download"),
    ],
)
def test_another_s_private_model_is_not_there(house: House, bob: Headers, model: Shown, method: str, path: str) -> None:
    """Also with a body that is wrong: a wrong path is told before a wrong body."""
    answer = house.client.open(f"/api/v1/models/{model['id']}{path}", method=method, headers=bob, json={"colour": "red"})
    unknown = house.client.open(f"/api/v1/models/{house.user_id(bob)}{path}", method=method, headers=bob, json={})

    assert (answer.status_code, answer.json["error"]["code"]) == (404, "RESOURCE_001")
    assert answer.json["error"] == unknown.json["error"]


def test_another_s_public_model_is_seen_and_not_changed(house: House, alice: Headers, bob: Headers, model: Shown) -> None:
    change(house, alice, model, visibility="public")
    path = f"/api/v1/models/{model['id']}"

    assert house.client.get(path, headers=bob).status_code == 200
    assert house.client.get(f"{path}/versions/1.0.0/download", headers=bob).status_code == 200
    for method, below in (("PUT", ""), ("DELETE", ""), ("DELETE", "/versions/1.0.0")):
        answer = house.client.open(path + below, method=method, headers=bob, json={"colour": "red"})
        assert (answer.status_code, answer.json["error"]["code"]) == (403, "AUTH_003")


def test_a_change_sets_what_is_given_and_clears_what_is_null(house: House, alice: Headers, upload: Upload) -> None:
    model = upload(description="old", license="MIT", tags='["a"]').json["data"]
    example = {"task": "text-generation", "input": "你好", "output": "你好！"}

    answer = change(house, alice, model, name="new", license=None, tags=["b", "b"], usage_examples=[example])

    data = answer.json["data"]
    assert (data["name"], data["description"], data["license"], data["tags"]) == ("new", "old", None, ["b"])
    assert data["usage_examples"] == [example]
    assert house.client.get(f"/api/v1/models/{model['id']}", headers=alice).json["data"] == data


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"type": "embedding"}, "type"),
        ({"category": "sentence-similarity"}, "category"),
        ({"tags": ["x" * 65]}, "tags.0"),
        ({"visibility": None}, "visibility"),
        ({"usage_examples": [{"task": "chat"}]}, "usage_examples.0.input"),
        ({"download_count": 7}, "download_count"),
    ],
)
def test_a_wrong_change_is_told_and_changes_nothing(
    house: House, alice: Headers, model: Shown, changes: dict[str, Any], field: str
) -> None:
    answer = change(house, alice, model, description="new", **changes)

    assert answer.status_code == 422
    assert field in [problem["field"] for problem in answer.json["error"]["details"]]
    assert house.client.get(f"/api/v1/models/{model['id']}", headers=alice).json["data"]["description"] is None


def test_a_name_that_is_taken_cannot_be_changed_to(house: House, alice: Headers, model: Shown, upload: Upload) -> None:
    upload(name="taken")

    assert change(house, alice, model, name="taken").status_code == 409
    assert change(house, alice, model, name=model["name"]).status_code == 200


def test_a_like_counts_once_per_person(house: House, alice: Headers, bob: Headers, model: Shown) -> None:
    change(house, alice, model, visibility="public")
    path = f"/api/v1/models/{model['id']}/like"

    counts = [
        house.client.open(path, method=method, headers=headers).json["data"]["like_count"]
        for method, headers in [("POST", alice), ("POST", alice), ("POST", bob), ("DELETE", bob), ("DELETE", bob)]
    ]

    assert counts == [1, 1, 2, 1, 1]


def test_versions_are_listed(house: House, alice: Headers, model: Shown) -> None:
    path = f"/api/v1/models/{model['id']}/versions"

    data = house.client.get(f"{path}?sort=name&status=ready", headers=alice).json["data"]

    assert data["versions"] == model["versions"]
    assert data["pagination"]["total"] == 1
    assert house.client.get(f"{path}?status=failed", headers=alice).json["data"]["versions"] == []
    assert house.client.get(f"{path}/9.9.9", headers=alice).status_code == 404


@pytest.mark.parametrize("version", ["%00", "a b", "x" * 65, "%EF%BF%BD", "1.0.0%0A"])
def test_what_no_version_is_called_is_not_there(house: House, alice: Headers, model: Shown, version: str) -> None:
    path = f"/api/v1/models/{model['id']}/versions/{version}"

    for method, below in (("GET", ""), ("GET", "/download"), ("DELETE", "")):
        assert house.client.open(path + below, method=method, headers=alice).status_code == 404


def test_what_is_deleted_is_gone_with_its_files(house: House, alice: Headers, model: Shown) -> None:
    before = house.client.get("/api/v1/users/me", headers=alice).json["data"]["quota"]["storage_used"]

    answer = house.client.delete(f"/api/v1/models/{model['id']}", headers=alice)

    assert answer.status_code == 200
    assert house.client.get(f"/api/v1/models/{model['id']}", headers=alice).status_code == 404
    after = house.client.get("/api/v1/users/me", headers=alice).json["data"]["quota"]["storage_used"]
    assert (before > 0, after) == (True, 0)
    house.work()
    assert house.files.trees == {}


def test_a_version_is_deleted_alone(house: House, alice: Headers, model: Shown) -> None:
    assert house.client.delete(f"/api/v1/models/{model['id']}/versions/1.0.0", headers=alice).status_code == 200

    shown = house.client.get(f"/api/v1/models/{model['id']}", headers=alice).json["data"]
    assert (shown["latest_version"], shown["versions"], shown["status"]) == (None, [], None)
    assert shown["metadata"]["supported_tasks"] == []
    house.work()
    assert house.files.trees == {}


def in_use(house: House, model: Shown, *, by: str) -> None:
    [kept] = house.database.models.rows.values()
    with house.database() as work:
        if by == "deployment":
            served = a_served_model(model_id=kept.id, version="1.0.0")
            work.deployments.add(a_deployment(owner_id=kept.owner_id, model=served))
        else:
            work.finetuning_jobs.add(a_job(kept.owner_id, base_model_id=kept.id, base_version="1.0.0"))


@pytest.mark.parametrize("by", ["deployment", "job"])
@pytest.mark.parametrize("path", ["", "/versions/1.0.0"])
def test_what_is_in_use_is_not_deleted(house: House, alice: Headers, model: Shown, by: str, path: str) -> None:
    in_use(house, model, by=by)

    answer = house.client.delete(f"/api/v1/models/{model['id']}{path}", headers=alice)

    assert (answer.status_code, answer.json["error"]["code"]) == (409, "RESOURCE_003")
    assert len(house.files.trees) == 1


def test_a_key_does_what_it_may(house: House, alice: Headers, model: Shown) -> None:
    reader = house.key(alice, "model:read")
    path = f"/api/v1/models/{model['id']}"

    assert house.client.get(f"{path}/versions/1.0.0/download", headers=reader).status_code == 200
    assert house.client.post("/api/v1/models", headers=reader, data=b"nonsense").status_code == 403
    assert house.client.post(f"{path}/like", headers=reader).status_code == 403
    assert house.client.delete(path, headers=reader).status_code == 403
