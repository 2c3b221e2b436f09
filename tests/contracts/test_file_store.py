"""What every file store keeps to."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from maas.adapters.file_store.folder import FolderFileStore
from maas.adapters.file_store.memory import MemoryFileStore
from maas.application.ports.file_store import FileStore, Staging
from maas.domain.errors import AlreadyExists, PlatformUnavailable, StorageFull, WrongForm


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    makers: dict[str, Callable[[], FileStore]] = {
        "folder": lambda: FolderFileStore(tmp_path / "files"),
        "memory": MemoryFileStore,
    }
    return makers[request.param]()


def _write(staging: Staging, name: str, content: bytes) -> None:
    writer = staging.create(name)
    writer.write(content)
    writer.finish()


def test_a_committed_tree_is_read_back_byte_by_byte(store: FileStore) -> None:
    with store.stage() as staging:
        _write(staging, "files/config.json", b"{}")
        _write(staging, "files/1_Pooling/config.json", b"[1]")
        staging.commit("models/a")

    copy = store.local_copy("models/a/files")
    assert (copy / "config.json").read_bytes() == b"{}"
    assert (copy / "1_Pooling/config.json").read_bytes() == b"[1]"
    assert store.local_copy("models/a/files/config.json").read_bytes() == b"{}"
    assert store.size("models/a") == 5
    assert store.size("models/a/files/config.json") == 2


def test_a_file_is_counted_and_hashed_on_the_way(store: FileStore) -> None:
    content = bytes(range(256)) * 20_000

    with store.stage() as staging:
        writer = staging.create("weights")
        for start in range(0, len(content), 700_001):
            writer.write(memoryview(content)[start : start + 700_001])
        written = writer.finish()

    assert (written.name, written.size) == ("weights", len(content))
    assert written.sha256 == hashlib.sha256(content).hexdigest()


def test_many_small_writes_give_the_same_hash(store: FileStore) -> None:
    content = b"0123456789" * 300_000

    with store.stage() as staging:
        writer = staging.create("weights")
        for start in range(0, len(content), 1_000):
            writer.write(content[start : start + 1_000])
        written = writer.finish()
        stored = (staging.folder / "weights").read_bytes()

    assert written.sha256 == hashlib.sha256(content).hexdigest()
    assert stored == content


def test_leaving_without_commit_leaves_nothing(store: FileStore) -> None:
    with pytest.raises(RuntimeError, match="broken off"), store.stage() as staging:
        staging.create("half").write(b"x" * 3_000_000)
        folder = staging.folder
        raise RuntimeError("broken off")

    assert not folder.exists()
    assert list(store.keys("models")) == []


def test_a_key_is_committed_once(store: FileStore) -> None:
    with store.stage() as staging:
        _write(staging, "a", b"1")
        staging.commit("models/a")

    with store.stage() as again, pytest.raises(AlreadyExists):
        again.commit("models/a")


def test_two_files_of_one_name_are_refused(store: FileStore) -> None:
    with store.stage() as staging:
        _write(staging, "a", b"1")

        with pytest.raises(AlreadyExists):
            staging.create("a")
        with pytest.raises(AlreadyExists):
            staging.create("a/b")


def test_deleting_twice_is_fine_and_the_key_is_gone(store: FileStore) -> None:
    with store.stage() as staging:
        _write(staging, "a", b"1")
        staging.commit("models/a")

    store.delete("models/a")
    store.delete("models/a")

    with pytest.raises(PlatformUnavailable):
        store.local_copy("models/a")


def test_keys_are_listed_by_their_prefix(store: FileStore) -> None:
    for key in ("models/a", "models/b", "datasets/c"):
        with store.stage() as staging:
            _write(staging, "file", b"1")
            staging.commit(key)

    assert {stored.key for stored in store.keys("models")} == {"models/a", "models/b"}


@pytest.mark.parametrize("key", ["models/../x", "/models/a", "models", "models//a", "models/.hidden", "models/a\n"])
def test_a_key_cannot_lead_outside(store: FileStore, key: str) -> None:
    with pytest.raises(WrongForm):
        store.local_copy(key)


def test_more_than_the_disk_holds_is_refused_before_a_byte_is_written(store: FileStore) -> None:
    with pytest.raises(StorageFull):
        store.stage(expected_bytes=2**60)


def test_a_folder_made_by_other_means_is_committed_too(store: FileStore) -> None:
    with store.stage() as staging:
        (staging.folder / "made").mkdir()
        (staging.folder / "made" / "adapter.bin").write_bytes(b"123")
        staging.commit("models/a")

    assert store.size("models/a") == 3
