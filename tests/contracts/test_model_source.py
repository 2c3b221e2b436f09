"""What every place that models are imported from does, and what a hub does besides."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from maas.adapters.model_source.folder import FolderModelSource
from maas.adapters.model_source.hub import HubModelSource
from maas.adapters.model_source.memory import MemoryModelSource
from maas.application.ports.model_source import ModelSource
from maas.domain.catalog.source import Source, SourceType
from maas.domain.errors import Invalid, PlatformUnavailable, WrongForm
from tests.hub_server import COMMIT, running_hub
from tests.unit.catalog.model_files import write_files

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 20, "1_Pooling/config.json": b"[]", "空 格.txt": b"x"}
Place = Callable[[Mapping[str, bytes]], tuple[ModelSource, Source]]


def hub_source(repository: str = "org/tiny", revision: str | None = None) -> Source:
    return Source(type=SourceType.HUB, repository=repository, revision=revision)


@contextmanager
def folder_place(tmp_path: Path) -> Iterator[tuple[ModelSource, Source]]:
    folder = write_files(tmp_path / "listed" / "tiny", FILES)
    yield FolderModelSource([tmp_path / "listed"]), Source(type=SourceType.FOLDER, path=str(folder))


@contextmanager
def hub_place(tmp_path: Path) -> Iterator[tuple[ModelSource, Source]]:
    with running_hub({"org/tiny": FILES}) as hub:
        yield HubModelSource(endpoint=hub.url), hub_source()


@contextmanager
def memory_place(tmp_path: Path) -> Iterator[tuple[ModelSource, Source]]:
    yield MemoryModelSource({"org/tiny": FILES}), hub_source()


@pytest.fixture(params=[folder_place, hub_place, memory_place], ids=["folder", "hub", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ModelSource, Source]]:
    with request.param(tmp_path) as made:
        yield made


def test_all_files_are_listed_with_their_sizes_and_read_whole(place: tuple[ModelSource, Source]) -> None:
    reader, source = place
    reader.check(source)

    listing = reader.open(source)

    assert {file.name: file.size for file in listing.files} == {name: len(content) for name, content in FILES.items()}
    assert {file.name: b"".join(listing.read(file)) for file in listing.files} == FILES


def test_what_is_not_there_is_a_wrong_source(place: tuple[ModelSource, Source]) -> None:
    reader, source = place
    missing = {"path": f"{source.path}-none"} if source.path else {"repository": "org/none"}

    with pytest.raises(Invalid):
        reader.open(Source(type=source.type, **missing))


def read_all(source: ModelSource, wanted: Source) -> dict[str, bytes]:
    listing = source.open(wanted)
    return {file.name: b"".join(listing.read(file)) for file in listing.files}


def test_a_hub_tells_the_commit_and_the_digests_of_large_files() -> None:
    with running_hub({"org/tiny": FILES}) as hub:
        listing = HubModelSource(endpoint=hub.url).open(hub_source(revision="v1"))

    assert listing.revision == COMMIT
    assert [file.name for file in listing.files if file.sha256] == ["model.safetensors"]


def test_a_revision_that_is_not_there_is_told() -> None:
    with running_hub({"org/tiny": FILES}) as hub, pytest.raises(WrongForm, match="revision"):
        HubModelSource(endpoint=hub.url).open(hub_source(revision="v9"))


def test_a_hub_that_is_not_there_may_be_there_later() -> None:
    with pytest.raises(PlatformUnavailable):
        HubModelSource(endpoint="http://127.0.0.1:9").open(hub_source())


def test_a_simple_mirror_is_read_too() -> None:
    with running_hub({"org/tiny": FILES}, is_simple=True) as hub:
        assert read_all(HubModelSource(endpoint=hub.url), hub_source()) == FILES


def test_a_download_that_breaks_off_is_taken_up_where_it_ended() -> None:
    with running_hub({"org/tiny": FILES}, cut_after=1000, cuts=3) as hub:
        assert read_all(HubModelSource(endpoint=hub.url), hub_source()) == FILES

        ranges = [wanted for path, wanted in hub.calls if path.startswith("/blobs/") and wanted]
    assert ranges == ["bytes=1000-", "bytes=2000-", "bytes=3000-"]


def test_a_download_that_breaks_off_again_and_again_may_go_better_later() -> None:
    with running_hub({"org/tiny": FILES}, cut_after=10, cuts=1000) as hub, pytest.raises(PlatformUnavailable):
        read_all(HubModelSource(endpoint=hub.url), hub_source())


def test_downloads_are_redirected_to_listed_hosts_only() -> None:
    with running_hub({"org/tiny": FILES}) as storage:
        elsewhere = storage.url.replace("127.0.0.1", "localhost")
        with running_hub({"org/tiny": FILES}, elsewhere=elsewhere) as hub:
            with pytest.raises(WrongForm, match="localhost"):
                read_all(HubModelSource(endpoint=hub.url), hub_source())
            assert storage.calls == []

            assert read_all(HubModelSource(endpoint=hub.url, hosts=["localhost"]), hub_source()) == FILES


def test_the_token_is_told_to_the_hub_alone() -> None:
    seen: list[str | None] = []

    with running_hub({"org/tiny": FILES}) as storage:
        with running_hub({"org/tiny": FILES}, elsewhere=storage.url, private_token="hf_secret") as hub:
            with pytest.raises(WrongForm):
                HubModelSource(endpoint=hub.url).open(hub_source())
            files = read_all(HubModelSource(endpoint=hub.url, token="hf_secret"), hub_source())
        seen = [authorization for _, _, authorization in storage.heard]

    assert files == FILES
    assert seen == [None]


@pytest.mark.parametrize("path", ["", "relative", "/", "/etc", "~", "x\0y"])
def test_a_folder_that_is_not_listed_is_refused_at_once(tmp_path: Path, path: str) -> None:
    with pytest.raises(WrongForm):
        FolderModelSource([tmp_path]).check(Source(type=SourceType.FOLDER, path=path))


def test_with_no_folder_listed_nothing_is_imported(tmp_path: Path) -> None:
    with pytest.raises(WrongForm):
        FolderModelSource([]).check(Source(type=SourceType.FOLDER, path=str(tmp_path)))
