"""Uploading models: what is taken, what is refused, and that nothing is left of what is refused."""

import hashlib
import io
from typing import Any

import pytest

from maas.domain.catalog.model import VersionStatus
from maas.domain.identity import UserRegistered
from tests.forms import BOUNDARY, form
from tests.house import House
from tests.unit.catalog.archives import gzipped, tarred, zipped
from tests.unit.catalog.conftest import Answer, Upload
from tests.unit.catalog.model_files import ADAPTER, BERT, PICKLE, llama_files, safetensors_bytes

Headers = dict[str, str]


def files_of(house: House, answer: Answer) -> list[str]:
    version = answer.json["data"]["latest_version"]
    path = f"/api/v1/models/{answer.json['data']['id']}/versions/{version}"
    shown = house.client.get(path, headers=house.sign_in("alice")).json["data"]
    return sorted(file["name"] for file in shown["files"])


def refused(house: House, answer: Answer) -> tuple[int, str, str]:
    """Return status, code and field of a refusal; nothing was stored with it."""
    assert house.files.trees == {}
    assert house.database.models.rows == {}
    assert house.database.model_versions.rows == {}
    assert all(isinstance(event, UserRegistered) for event in house.database.events)
    error = answer.json["error"]
    return answer.status_code, error["code"], error["details"][0]["field"] if error["details"] else ""


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("model.zip", zipped),
        ("model.tar", tarred),
        ("model.tar.gz", lambda files, **options: gzipped(tarred(files, **options))),
        ("MODEL.TGZ", lambda files, **options: gzipped(tarred(files, **options))),
    ],
)
@pytest.mark.parametrize("folder", ["", "tiny-model/", "./"])
def test_an_archive_is_a_model_with_what_its_files_say(house: House, upload: Upload, name: str, pack: Any, folder: str) -> None:
    answer = upload({"model_file": (name, pack({**llama_files(), "1_Pooling/config.json": b"{}"}, folder=folder))})

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/models/{answer.json['data']['id']}"
    assert answer.json["data"]["metadata"]["supported_tasks"] == ["text-generation", "chat"]
    assert answer.json["data"]["versions"][0]["status"] == "ready"
    assert "1_Pooling/config.json" in files_of(house, answer)
    assert "config.json" in files_of(house, answer)


def test_single_parts_are_a_model(house: House, upload: Upload) -> None:
    files = llama_files()
    answer = house.client.post(
        "/api/v1/models",
        headers=house.sign_in("alice") if house.database.users.rows else house.sign_up(),
        data={
            "name": "parts",
            "type": "llm",
            "model_file": (io.BytesIO(files["model.safetensors"]), "model.safetensors"),
            "config_file": (io.BytesIO(files["config.json"]), "config.json"),
            "files": [
                (io.BytesIO(files["tokenizer.json"]), "tokenizer.json"),
                (io.BytesIO(files["tokenizer_config.json"]), "tokenizer_config.json"),
            ],
        },
        content_type="multipart/form-data",
    )

    assert answer.status_code == 201
    assert files_of(house, answer) == sorted(files)
    assert answer.json["data"]["versions"][0]["file_size"] == sum(map(len, files.values()))


def test_section_4_3_s_form_without_a_tokenizer_is_ready_with_no_tasks(upload: Upload) -> None:
    files = llama_files()

    answer = upload(
        {
            "model_file": ("weights.safetensors", files["model.safetensors"]),
            "config_file": ("my config.json", files["config.json"]),
        },
        name="ChatGLM-6B-Custom",
        description="自定义微调模型",
        category="text-generation",
        visibility="private",
        license="Apache-2.0",
        tags='["chatglm", "custom"]',
    )

    data = answer.json["data"]
    assert (answer.status_code, data["name"], data["description"]) == (201, "ChatGLM-6B-Custom", "自定义微调模型")
    assert (data["tags"], data["license"], data["latest_version"]) == (["chatglm", "custom"], "Apache-2.0", "1.0.0")
    assert data["metadata"]["supported_tasks"] == []


def test_an_adapter_s_weights_take_an_adapter_s_name(house: House, upload: Upload) -> None:
    import json

    config = json.dumps(ADAPTER).encode()
    answer = upload({"model_file": ("mine.safetensors", safetensors_bytes()), "config_file": ("adapter_config.json", config)})

    assert answer.json["data"]["metadata"]["model_format"] == "peft"
    assert files_of(house, answer) == ["adapter_config.json", "adapter_model.safetensors"]


def test_what_is_stored_is_counted_and_hashed(house: House, upload: Upload) -> None:
    archive = zipped(llama_files())

    answer = upload({"model_file": ("model.zip", archive)})

    [version] = house.database.model_versions.rows.values()
    assert (version.file_size, version.sha256) == (len(archive), hashlib.sha256(archive).hexdigest())
    assert version.status is VersionStatus.READY
    content = llama_files()["config.json"]
    assert {"name": "config.json", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()} in version.files
    assert house.files.trees[version.files_root]["files/config.json"] == content
    assert house.files.trees[version.files_root]["archive.zip"] == archive
    assert answer.json["data"]["versions"][0]["file_size"] == len(archive)


def test_a_version_may_be_numbered(upload: Upload) -> None:
    assert upload(version="2024-rc.1+cpu").json["data"]["latest_version"] == "2024-rc.1+cpu"


HOSTILE = {
    "a pickle": ({**llama_files(), "pytorch_model.bin": PICKLE}, "pytorch_model.bin"),
    "a pickle by another name": ({**llama_files(), "notes.txt": PICKLE}, "notes.txt"),
    "remote code": (llama_files(auto_map={"AutoModel": "evil.Model"}), "config.json"),
    "damaged weights": ({**llama_files(), "model.safetensors": safetensors_bytes()[:-7]}, "model.safetensors"),
    "no JSON": ({**llama_files(), "config.json": b"{"}, "config.json"),
    "a way out": ({**llama_files(), "../../evil": b""}, "model_file"),
    "an absolute path": ({**llama_files(), "/etc/cron.d/evil": b""}, "model_file"),
    "a backslash": ({**llama_files(), "a\\..\\b": b""}, "model_file"),
    "a folder that is a file": ({**llama_files(), "config.json/x": b""}, "model_file"),
    "a control character": ({**llama_files(), "a\x01b": b""}, "model_file"),
    "a very long part": ({**llama_files(), "a" * 256: b""}, "model_file"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize(("name", "pack"), [("model.zip", zipped), ("model.tar", tarred)])
def test_a_hostile_model_is_refused_and_nothing_is_stored(house: House, upload: Upload, what: str, name: str, pack: Any) -> None:
    files, field = HOSTILE[what]

    assert refused(house, upload({"model_file": (name, pack(files))})) == (422, "VALIDATION_004", field)


WRONG = {
    "a zip without its end": ("model.zip", zipped(llama_files())[:-30]),
    "the beginning of a zip": ("model.zip", zipped(llama_files())[:100]),
    "a tar called zip": ("model.zip", tarred(llama_files())),
    "a zip called tar": ("model.tar", zipped(llama_files())),
    "the beginning of a tar": ("model.tar", tarred(llama_files())[:700]),
    "a link": ("model.tar", tarred(llama_files(), links={"link": "/etc/passwd"})),
    "a tar.gz without its end": ("model.tar.gz", gzipped(tarred(llama_files()))[:-20]),
    "a packed text": ("model.tar.gz", gzipped(b"no tar at all")),
    "a tar called tar.gz": ("model.tar.gz", tarred(llama_files())),
    "nothing": ("model.zip", b""),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_archive_that_is_not_what_its_name_says_or_cut_off_is_refused(house: House, upload: Upload, what: str) -> None:
    name, content = WRONG[what]

    assert refused(house, upload({"model_file": (name, content)})) == (422, "VALIDATION_004", "model_file")


def test_two_files_of_one_name_are_refused(house: House, upload: Upload) -> None:
    twice = tarred({**llama_files(), "./config.json": b"{}"})

    assert refused(house, upload({"model_file": ("model.tar", twice)})) == (422, "VALIDATION_004", "model_file")


def test_an_archive_may_not_unpack_to_more_than_a_model_may_have(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"max_model_bytes": 200_000})
    headers = house.sign_up()
    bomb = zipped({**llama_files(), "padding.txt": bytes(1_000_000)})
    given = form({"name": "bomb", "type": "llm"}, {"model_file": ("model.zip", bomb)})

    answer = house.client.post("/api/v1/models", headers=headers, **given)

    assert len(bomb) < 10_000
    assert refused(house, answer)[:2] == (413, "VALIDATION_003")


def test_what_unpacks_to_more_counts_as_more(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"max_storage_bytes": 200_000})
    headers = house.sign_up()
    bomb = zipped({**llama_files(), "padding.txt": bytes(1_000_000)})
    given = form({"name": "bomb", "type": "llm"}, {"model_file": ("model.zip", bomb)})

    answer = house.client.post("/api/v1/models", headers=headers, **given)

    assert refused(house, answer) == (429, "RESOURCE_004", "storage")


def test_an_archive_comes_alone(house: House, upload: Upload) -> None:
    files = {"model_file": ("model.zip", zipped(llama_files())), "config_file": ("config.json", b"{}")}

    assert refused(house, upload(files)) == (422, "VALIDATION_004", "model_file")


def test_a_model_needs_files_or_a_source(house: House, upload: Upload) -> None:
    assert refused(house, upload({})) == (422, "VALIDATION_001", "model_file")


def test_a_model_needs_its_config(house: House, upload: Upload) -> None:
    files = {"model_file": ("model.safetensors", safetensors_bytes())}

    assert refused(house, upload(files)) == (422, "VALIDATION_001", "config_file")


def test_the_type_must_be_what_the_files_say(house: House, upload: Upload) -> None:
    assert refused(house, upload(type="embedding")) == (422, "VALIDATION_004", "type")


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"name": ""}, "VALIDATION_003", "name"),
        ({"name": "a\x07b"}, "VALIDATION_002", "name"),
        ({"name": "x" * 201}, "VALIDATION_003", "name"),
        ({"type": "gpt"}, "VALIDATION_003", "type"),
        ({"category": "feature-extraction"}, "VALIDATION_002", "category"),
        ({"visibility": "secret"}, "VALIDATION_003", "visibility"),
        ({"version": "-1"}, "VALIDATION_002", "version"),
        ({"tags": "chat"}, "VALIDATION_002", "tags"),
        ({"tags": '{"a": 1}'}, "VALIDATION_002", "tags"),
        ({"tags": '["a", 1]'}, "VALIDATION_002", "tags.1"),
        ({"tags": '["a", NaN]'}, "VALIDATION_002", "tags"),
        ({"tags": '["\\u0000"]'}, "VALIDATION_002", "tags.0"),
        ({"description": "x" * 10_001}, "VALIDATION_003", "description"),
        ({"colour": "red"}, "VALIDATION_002", "colour"),
    ],
)
def test_a_wrong_field_is_told_by_name(house: House, upload: Upload, fields: dict[str, str], code: str, field: str) -> None:
    assert refused(house, upload(**fields)) == (422, code, field)


def test_every_wrong_field_is_told(upload: Upload) -> None:
    answer = upload(type="gpt", visibility="secret", tags="x", colour="red")

    assert {problem["field"] for problem in answer.json["error"]["details"]} == {"type", "visibility", "tags", "colour"}


def test_a_missing_field_is_told(house: House, alice: Headers) -> None:
    given = form({"description": "no name"}, {"model_file": ("model.zip", zipped(llama_files()))})

    answer = house.client.post("/api/v1/models", headers=alice, **given)

    fields = {(problem["field"], problem["code"]) for problem in answer.json["error"]["details"]}
    assert fields == {("name", "VALIDATION_001"), ("type", "VALIDATION_001")}


def test_a_name_is_taken_once_per_owner(house: House, upload: Upload, bob: Headers) -> None:
    assert upload().status_code == 201

    again = upload()

    assert (again.status_code, again.json["error"]["code"], again.json["error"]["details"][0]["field"]) == (
        409,
        "RESOURCE_002",
        "name",
    )
    assert len(house.files.trees) == 1
    assert upload(headers=bob).status_code == 201


def test_what_the_disk_has_no_room_for_is_refused(house: House, upload: Upload) -> None:
    house.files.capacity_bytes = 100

    answer = upload()

    assert (answer.status_code, answer.json["error"]["code"]) == (507, "SYSTEM_002")
    assert house.database.models.rows == {}


def test_an_embedding_model_is_told_by_its_files(upload: Upload) -> None:
    answer = upload({"model_file": ("bert.zip", zipped(llama_files(**BERT)))}, type="embedding")

    assert answer.json["data"]["category"] == "feature-extraction"
    assert answer.json["data"]["metadata"]["supported_tasks"] == ["feature-extraction"]


def test_another_version_is_added_and_is_the_latest(house: House, alice: Headers, model: dict[str, Any]) -> None:
    given = form({"version": "1.1.0", "description": "Bug fixes"}, {"model_file": ("v.tar", tarred(llama_files()))})

    answer = house.client.post(f"/api/v1/models/{model['id']}/versions", headers=alice, **given)

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/models/{model['id']}/versions/1.1.0"
    assert house.client.get(answer.headers["Location"], headers=alice).json["data"] == answer.json["data"]
    shown = house.client.get(f"/api/v1/models/{model['id']}", headers=alice).json["data"]
    assert shown["latest_version"] == "1.1.0"
    assert [version["version"] for version in shown["versions"]] == ["1.1.0", "1.0.0"]


def test_weights_that_come_alone_take_the_configuration_of_the_version_before(
    house: House, alice: Headers, model: dict[str, Any]
) -> None:
    given = form({"version": "1.1.0"}, {"model_file": ("model_v1.1.0.safetensors", safetensors_bytes())})

    answer = house.client.post(f"/api/v1/models/{model['id']}/versions", headers=alice, **given)

    assert answer.status_code == 201
    assert {file["name"] for file in answer.json["data"]["files"]} == set(llama_files())
    assert answer.json["data"]["metadata"]["has_tokenizer"] is True


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [({"version": "1.0.0"}, 409, "version"), ({"version": "v 2"}, 422, "version"), ({}, 422, "version")],
)
def test_a_version_that_is_there_or_has_no_number_is_refused(
    house: House, alice: Headers, model: dict[str, Any], fields: dict[str, str], status: int, field: str
) -> None:
    given = form(fields, {"model_file": ("v.zip", zipped(llama_files()))})

    answer = house.client.post(f"/api/v1/models/{model['id']}/versions", headers=alice, **given)

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (status, field)
    assert len(house.files.trees) == 1


def test_a_version_goes_to_one_s_own_model_alone(house: House, model: dict[str, Any], alice: Headers, bob: Headers) -> None:
    path = f"/api/v1/models/{model['id']}"
    given = form({"version": "2"}, {"model_file": ("v.zip", b"no zip at all")})
    assert house.client.post(f"{path}/versions", headers=bob, **given).status_code == 404
    house.client.put(path, headers=alice, json={"visibility": "public"})

    given = form({"version": "2"}, {"model_file": ("v.zip", b"no zip at all")})

    assert house.client.post(f"{path}/versions", headers=bob, **given).status_code == 403


def test_files_count_to_the_hour_once_they_are_accepted(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"limit_uploads": 1})
    headers = house.sign_up()

    def upload(name: str, content: bytes) -> Answer:
        given = form({"name": name, "type": "llm"}, {"model_file": ("m.zip", content)})
        return house.client.post("/api/v1/models", headers=headers, **given)

    assert upload("a", b"no zip").status_code == 422
    assert upload("a", zipped(llama_files())).status_code == 201
    refusal = upload("b", zipped(llama_files()))
    assert (refusal.status_code, refusal.json["error"]["code"]) == (429, "RATE_001")


def test_an_upload_that_is_repeated_under_a_key_has_one_effect(house: House, alice: Headers) -> None:
    fields = {"name": "once", "type": "llm"}
    given = form(fields, {"model_file": ("model.zip", zipped(llama_files()))})
    anew = {
        "data": given["data"].replace(BOUNDARY.encode(), b"another-boundary"),
        "content_type": "multipart/form-data; boundary=another-boundary",
    }
    other = form(fields, {"model_file": ("model.zip", zipped({**llama_files(), "README.md": b"other"}))})
    headers = {**alice, "Idempotency-Key": "key-1"}

    first, again, different = (house.client.post("/api/v1/models", headers=headers, **call) for call in (given, anew, other))

    assert (first.status_code, again.status_code, again.json) == (201, 201, first.json)
    assert (different.status_code, different.json["error"]["code"]) == (409, "RESOURCE_002")
    assert len(house.files.trees) == len(house.database.models.rows) == 1
