"""Importing models: from a listed folder, and from a hub; their states, their reasons, and what a crash leaves."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dependency_injector import providers

from maas.adapters.model_source.memory import MemoryModelSource
from maas.application.catalog.importing import ImportModel
from maas.application.ports.model_source import SourceFile, SourceListing
from maas.application.work import Holding, WorkInterrupted
from maas.domain.catalog.source import Source, wanted_names
from maas.domain.leases import Lease
from tests.forms import form
from tests.house import House
from tests.unit.catalog.model_files import PICKLE, llama_files, write_files

Headers = dict[str, str]
HUB = '{"type": "hub", "repository": "org/tiny", "revision": "v1"}'


@pytest.fixture
def hub() -> MemoryModelSource:
    return MemoryModelSource({"org/tiny": {**llama_files(), "README.md": b"hello", ".gitattributes": b"x"}})


@pytest.fixture
def house(tmp_path: Path, hub: MemoryModelSource) -> House:
    """A platform that may import what lies below one folder, and whose hub is in memory."""
    write_files(tmp_path / "listed" / "tiny", llama_files())
    (tmp_path / "unlisted").mkdir()
    settings = {"import_folders": f"{tmp_path / 'listed'}, {tmp_path / 'nowhere'}"}
    return House(tmp_path / "data", settings=settings, overrides={"hub_source": hub})


def begin(house: House, headers: Headers, source: str, **fields: str) -> Any:
    given = form({"name": "imported", "type": "llm", "source": source, **fields})
    return house.client.post("/api/v1/models", headers=headers, **given)


def version_of(house: House, headers: Headers, answer: Any) -> dict[str, Any]:
    path = f"/api/v1/models/{answer.json['data']['id']}/versions/1.0.0"
    return house.client.get(path, headers=headers).json["data"]  # type: ignore[no-any-return]


def test_an_import_is_answered_at_once_and_ready_when_a_worker_has_done_it(house: House, alice: Headers) -> None:
    answer = begin(house, alice, HUB)
    assert (answer.status_code, answer.json["data"]["status"], answer.json["data"]["latest_version"]) == (201, "uploading", None)
    assert version_of(house, alice, answer)["percentage"] == 0

    house.work()

    shown = version_of(house, alice, answer)
    assert (shown["status"], shown["reason"], shown["percentage"]) == ("ready", None, None)
    assert {file["name"] for file in shown["files"]} == {*llama_files(), "README.md"}
    assert shown["source"] == {"type": "hub", "repository": "org/tiny", "revision": "v1", "commit": None}
    assert (
        house.client.get(f"/api/v1/models/{answer.json['data']['id']}", headers=alice).json["data"]["latest_version"] == "1.0.0"
    )
    [tree] = house.files.trees.values()
    assert tree["files/config.json"] == llama_files()["config.json"]


def test_an_import_may_be_asked_for_in_json(house: House, alice: Headers) -> None:
    body = {"name": "imported", "type": "llm", "source": {"type": "hub", "repository": "org/tiny"}}

    answer = house.client.post("/api/v1/models", headers=alice, json=body)

    assert answer.status_code == 201


def test_a_version_may_be_imported(house: House, alice: Headers) -> None:
    model = begin(house, alice, HUB).json["data"]
    given = form({"version": "2.0.0", "source": HUB})

    answer = house.client.post(f"/api/v1/models/{model['id']}/versions", headers=alice, **given)

    assert (answer.status_code, answer.json["data"]["status"]) == (201, "uploading")
    assert house.work() > 1
    assert house.client.get(f"/api/v1/models/{model['id']}", headers=alice).json["data"]["latest_version"] == "2.0.0"


def test_a_listed_folder_is_imported_and_its_path_is_not_shown(house: House, alice: Headers, tmp_path: Path) -> None:
    answer = begin(house, alice, f'{{"type": "folder", "path": "{tmp_path}/listed/tiny"}}')
    house.work()

    shown = version_of(house, alice, answer)
    assert (shown["status"], shown["source"]) == (
        "ready",
        {"type": "folder", "repository": None, "revision": None, "commit": None},
    )


@pytest.mark.parametrize("path", ["unlisted", "listed/none", "listed/../unlisted", "listed/link", "listed/tiny/config.json"])
def test_a_folder_that_is_not_listed_or_not_there_is_422(house: House, alice: Headers, tmp_path: Path, path: str) -> None:
    (tmp_path / "listed" / "link").symlink_to(tmp_path / "unlisted")

    answer = begin(house, alice, f'{{"type": "folder", "path": "{tmp_path}/{path}"}}')

    details = answer.json["error"]["details"]
    assert (answer.status_code, details[0]["field"]) == (422, "source.path")
    assert str(tmp_path) not in details[0]["message"]
    assert house.database.models.rows == {}


def test_a_link_within_a_listed_folder_is_followed_and_one_that_leads_out_is_not(
    house: House, alice: Headers, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "listed" / "linked"
    write_files(tmp_path / "listed" / "blobs", {"config": llama_files()["config.json"]})
    write_files(folder, {name: content for name, content in llama_files().items() if name != "config.json"})
    (folder / "config.json").symlink_to("../blobs/config")
    good = begin(house, alice, f'{{"type": "folder", "path": "{folder}"}}', name="good")
    house.work()
    (folder / "secret.txt").symlink_to("../../secret.txt")

    bad = begin(house, alice, f'{{"type": "folder", "path": "{folder}"}}', name="bad")
    house.work()

    assert version_of(house, alice, good)["status"] == "ready"
    assert version_of(house, alice, bad)["status"] == "failed"
    assert "leads out" in version_of(house, alice, bad)["reason"]


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ('{"type": "hub"}', "source.repository"),
        ('{"type": "folder"}', "source.path"),
        ('{"type": "ftp", "path": "x"}', "source.type"),
        ('{"type": "hub", "repository": "../../etc"}', "source.repository"),
        ('{"type": "hub", "repository": "a/b", "revision": "../../x"}', "source.revision"),
        ('{"type": "hub", "repository": "a/b", "path": "/"}', "source.path"),
        ('{"type": "hub", "repository": "a/b", "token": "x"}', "source.token"),
        ('"org/tiny"', "source"),
        ("org/tiny", "source"),
    ],
)
def test_a_source_that_is_none_is_told(house: House, alice: Headers, source: str, field: str) -> None:
    answer = begin(house, alice, source)

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (422, field)


def test_files_and_a_source_do_not_go_together(house: House, alice: Headers) -> None:
    given = form({"name": "x", "type": "llm", "source": HUB}, {"model_file": ("config.json", b"{}")})

    answer = house.client.post("/api/v1/models", headers=alice, **given)

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (422, "source")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({**llama_files(), "notes.txt": PICKLE}, "pickle"),
        ({"pytorch_model.bin": PICKLE, "config.json": llama_files()["config.json"]}, "pickle"),
        (llama_files(auto_map={"AutoModel": "evil.Model"}), "code of its own"),
        ({}, "no files"),
        ({**llama_files(), "a\\b": b""}, "name that is not taken"),
        ({"model.safetensors": llama_files()["model.safetensors"]}, "config.json"),
    ],
)
def test_what_cannot_be_served_fails_with_its_reason(
    house: House, hub: MemoryModelSource, alice: Headers, files: dict[str, bytes], reason: str
) -> None:
    hub.models = {"org/tiny": files}

    answer = begin(house, alice, HUB)
    house.work()

    shown = version_of(house, alice, answer)
    assert (shown["status"], reason in shown["reason"]) == ("failed", True)
    assert (
        house.client.get(f"/api/v1/models/{answer.json['data']['id']}", headers=alice).json["data"]["reason"] == shown["reason"]
    )
    assert house.files.trees == {}


def test_other_weights_and_hidden_files_are_left_where_they_are() -> None:
    names = ["model.safetensors", "pytorch_model.bin", "onnx/model.onnx", ".git/HEAD", "tokenizer.json", "1_Pooling/config.json"]

    assert wanted_names(names) == ["model.safetensors", "tokenizer.json", "1_Pooling/config.json"]
    assert wanted_names(["pytorch_model.bin", ".x"]) == ["pytorch_model.bin"]


def test_a_hub_that_is_down_is_asked_again_and_in_the_end_the_version_fails(
    house: House, hub: MemoryModelSource, alice: Headers
) -> None:
    hub.is_down = True
    answer = begin(house, alice, HUB)
    house.work()
    assert version_of(house, alice, answer)["status"] == "uploading"

    for _ in range(10):
        house.clock.advance(timedelta(minutes=10))
        house.work()

    shown = version_of(house, house.sign_in("alice"), answer)
    assert (shown["status"], shown["reason"]) == ("failed", "the model hub cannot be reached")


def test_a_hub_that_comes_back_is_imported_from(house: House, hub: MemoryModelSource, alice: Headers) -> None:
    hub.is_down = True
    answer = begin(house, alice, HUB)
    house.work()
    hub.is_down = False
    house.clock.advance(timedelta(minutes=1))

    house.work()

    assert version_of(house, alice, answer)["status"] == "ready"


def test_an_import_tells_how_far_it_is(house: House, hub: MemoryModelSource, alice: Headers) -> None:
    hub.models = {"org/tiny": {"README.md": bytes(3_000), **llama_files()}}
    told: list[float] = []

    class SlowSource(MemoryModelSource):
        """Takes three seconds for each file."""

        def open(self, source: Source) -> SourceListing:
            listing = super().open(source)
            read = listing.read

            def slowly(file: SourceFile) -> Iterator[bytes]:
                house.clock.advance(timedelta(seconds=3))
                yield from read(file)
                told.append(version_of(house, alice, answer)["percentage"])

            listing.read = slowly  # type: ignore[method-assign]
            return listing

    house.container.hub_source.override(providers.Object(SlowSource(hub.models)))
    answer = begin(house, alice, HUB)
    house.work()

    assert told == sorted(told)
    assert 0 < told[0] < 100
    assert version_of(house, alice, answer)["status"] == "ready"


class Held(Holding):
    """A lease as a worker holds it."""

    def __init__(self, lease: Lease, *, ending: bool = False) -> None:
        self.lease = lease
        self.ending = ending

    @property
    def is_lost(self) -> bool:
        return False

    @property
    def is_ending(self) -> bool:
        return self.ending


def claimed(house: House) -> Lease:
    with house.database() as work:
        lease = work.leases.claim(ImportModel.kinds, worker="w", at=house.clock.now(), duration=timedelta(seconds=30))
    assert lease is not None
    return lease


def test_a_worker_that_lost_its_lease_changes_nothing_and_leaves_no_files(house: House, alice: Headers) -> None:
    answer = begin(house, alice, HUB)
    importing = house.container.import_model()
    late = claimed(house)
    house.clock.advance(timedelta(minutes=1))
    importing.run(Held(claimed(house)))

    with pytest.raises(WorkInterrupted):
        importing.run(Held(late))

    assert version_of(house, alice, answer)["status"] == "ready"
    assert len(house.files.trees) == 1


def test_an_ending_worker_puts_the_import_down(house: House, alice: Headers) -> None:
    answer = begin(house, alice, HUB)

    with pytest.raises(WorkInterrupted):
        house.container.import_model().run(Held(claimed(house), ending=True))

    assert version_of(house, alice, answer)["status"] == "uploading"
    house.clock.advance(timedelta(minutes=1))
    house.work()
    assert version_of(house, alice, answer)["status"] == "ready"


def test_a_model_that_is_deleted_meanwhile_is_imported_no_more(house: House, alice: Headers) -> None:
    answer = begin(house, alice, HUB)
    lease = claimed(house)
    assert house.client.delete(f"/api/v1/models/{answer.json['data']['id']}", headers=alice).status_code == 200

    with pytest.raises(WorkInterrupted):
        house.container.import_model().run(Held(lease))

    house.work()
    assert house.files.trees == {}
    assert list(house.database.work_items.rows) == []


def test_an_import_that_does_not_fit_the_quota_fails(tmp_path: Path, hub: MemoryModelSource) -> None:
    hub.models = {"org/tiny": {**llama_files(), "padding.txt": bytes(10_000)}}
    house = House(tmp_path, settings={"max_storage_bytes": 5_000}, overrides={"hub_source": hub})
    headers = house.sign_up()

    answer = begin(house, headers, HUB)
    house.work()

    shown = version_of(house, headers, answer)
    assert (shown["status"], "bytes of storage" in shown["reason"]) == ("failed", True)


def test_a_source_that_is_larger_than_a_model_may_be_fails(tmp_path: Path, hub: MemoryModelSource) -> None:
    house = House(tmp_path, settings={"max_model_bytes": 100}, overrides={"hub_source": hub})
    headers = house.sign_up()

    answer = begin(house, headers, HUB)
    house.work()

    assert version_of(house, headers, answer)["status"] == "failed"
