"""Downloads: the same bytes at each call, whole or one range of them, counted once they were sent to their end."""

import base64
import hashlib
import io
import tarfile
from typing import Any

import pytest

from maas.domain.errors import RangeNotSatisfiable, Unauthenticated
from maas.entrypoints.http.downloads import ByteRange, disposition, requested_range
from tests.forms import form
from tests.house import House
from tests.unit.catalog.archives import tarred, zipped
from tests.unit.catalog.conftest import Upload
from tests.unit.catalog.model_files import llama_files, safetensors_bytes

Headers = dict[str, str]
SIZE = 1000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-999", (0, 1000)),
        ("bytes=990-", (990, 1000)),
        ("bytes=990-99999999999", (990, 1000)),
        ("bytes=-10", (990, 1000)),
        ("bytes=-5000", (0, 1000)),
        ("BYTES=1-2", (1, 3)),
    ],
)
def test_one_range_is_read(header: str, expected: tuple[int, int]) -> None:
    assert requested_range(header, SIZE) == ByteRange(start=expected[0], stop=expected[1])


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes", "bytes=", "bytes=-", "bytes=5-3", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "bytes=1--2", "bytes=+1-2"],
)
def test_what_is_no_single_range_is_ignored(header: str | None) -> None:
    assert requested_range(header, SIZE) is None


@pytest.mark.parametrize("header", ["bytes=-0", "bytes=1000-", "bytes=1000-2000", f"bytes={'9' * 50}-"])
def test_a_range_outside_the_file_cannot_be_had(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested_range(header, SIZE)


def test_nothing_of_an_empty_file_can_be_had() -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested_range("bytes=0-", 0)


def test_a_name_is_told_in_both_forms() -> None:
    assert disposition("model-1.0.0.zip") == 'attachment; filename="model-1.0.0.zip"'
    assert disposition('模型"/..\r\n.zip') == (
        "attachment; filename=\"__________.zip\"; filename*=UTF-8''%E6%A8%A1%E5%9E%8B%22_..%0D%0A.zip"
    ).replace("__________", "____..__")


@pytest.fixture
def path(model: dict[str, Any]) -> str:
    return f"/api/v1/models/{model['id']}/versions/1.0.0/download"


def downloads(house: House) -> int:
    [model] = house.database.models.rows.values()
    return model.download_count


def test_what_comes_down_is_what_went_up(house: House, alice: Headers, upload: Upload) -> None:
    archive = zipped(llama_files())
    model = upload({"model_file": ("model.zip", archive)}, name="小模型").json["data"]

    answer = house.client.get(f"/api/v1/models/{model['id']}/versions/1.0.0/download", headers=alice)

    digest = hashlib.sha256(archive)
    assert (answer.status_code, answer.data) == (200, archive)
    assert answer.headers["Content-Length"] == str(len(archive))
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["Content-Disposition"].endswith("filename*=UTF-8''%E5%B0%8F%E6%A8%A1%E5%9E%8B-1.0.0.zip")
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.fixture
def of_parts(house: House, alice: Headers, model: dict[str, Any]) -> str:
    """The address of a version that came in single parts, in a file name of more than a hundred characters too."""
    files = llama_files()
    given = form(
        {"version": "2.0.0"},
        {
            "model_file": ("model.safetensors", safetensors_bytes()),
            "config_file": ("config.json", files["config.json"]),
            "files": (f"{'深' * 60}/{'notes' * 20}.md", b"x" * 513),
        },
    )
    answer = house.client.post(f"/api/v1/models/{model['id']}/versions", headers=alice, **given)
    assert answer.status_code == 201, answer.json
    return f"/api/v1/models/{model['id']}/versions/2.0.0/download"


def test_single_parts_come_down_as_one_tar(house: House, alice: Headers, of_parts: str) -> None:
    answer = house.client.get(of_parts, headers=alice)

    with tarfile.open(fileobj=io.BytesIO(answer.data)) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        assert all((member.mtime, member.uid, member.mode) == (0, 0, 0o644) for member in archive)
    assert contents["model.safetensors"] == safetensors_bytes()
    assert contents[f"{'深' * 60}/{'notes' * 20}.md"] == b"x" * 513
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.data).hexdigest()}"'


def test_a_tar_has_the_same_bytes_at_each_call_and_its_digest_is_kept(house: House, alice: Headers, of_parts: str) -> None:
    first, second = (house.client.get(of_parts, headers=alice) for _ in range(2))

    assert first.data == second.data
    assert first.headers["ETag"] == second.headers["ETag"]
    assert hashlib.sha256(first.data).hexdigest() in [version.sha256 for version in house.database.model_versions.rows.values()]


def test_a_tar_can_be_uploaded_again(house: House, alice: Headers, of_parts: str, upload: Upload) -> None:
    packed = house.client.get(of_parts, headers=alice).data

    assert upload({"model_file": ("again.tar", packed)}, name="again").status_code == 201


def test_any_range_of_a_tar_can_be_had(house: House, alice: Headers, of_parts: str) -> None:
    whole = house.client.get(of_parts, headers=alice).data

    for start in range(0, len(whole), 397):
        stop = min(start + 1025, len(whole))
        answer = house.client.get(of_parts, headers={**alice, "Range": f"bytes={start}-{stop - 1}"})
        assert (answer.status_code, answer.data) == (206, whole[start:stop])
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
        assert answer.headers["Content-Length"] == str(stop - start)


def test_a_range_outside_is_416(house: House, alice: Headers, path: str) -> None:
    answer = house.client.get(path, headers={**alice, "Range": "bytes=-0"})

    assert (answer.status_code, answer.json["error"]["code"]) == (416, "VALIDATION_003")
    assert answer.headers["Content-Range"].startswith("bytes */")


def test_a_download_counts_once_its_last_byte_was_sent(house: House, alice: Headers, path: str) -> None:
    size = len(house.client.get(path, headers=alice).data)
    assert downloads(house) == 1

    assert len(house.client.get(path, headers={**alice, "Range": f"bytes=0-{size - 2}"}).data) == size - 1
    assert house.client.head(path, headers=alice).data == b""
    assert house.client.get(path, headers={**alice, "Range": "bytes=-0"}).status_code == 416
    house.client.get(path, headers=alice).close()
    assert downloads(house) == 1

    assert len(house.client.get(path, headers={**alice, "Range": f"bytes={size - 1}-"}).data) == 1
    assert downloads(house) == 2


def test_an_unchanged_file_is_not_sent_again(house: House, alice: Headers, path: str) -> None:
    etag = house.client.head(path, headers=alice).headers["ETag"]

    answer = house.client.get(path, headers={**alice, "If-None-Match": f'"other", {etag}'})

    assert (answer.status_code, answer.data) == (304, b"")
    assert downloads(house) == 0


def test_a_range_of_other_bytes_is_answered_with_all(house: House, alice: Headers, path: str) -> None:
    etag = house.client.get(path, headers=alice).headers["ETag"]

    same = house.client.get(path, headers={**alice, "Range": "bytes=0-9", "If-Range": etag})
    other = house.client.get(path, headers={**alice, "Range": "bytes=0-9", "If-Range": '"other"'})

    assert (same.status_code, other.status_code) == (206, 200)


def test_a_version_that_is_not_ready_cannot_be_downloaded(house: House, alice: Headers, upload: Upload) -> None:
    source = '{"type": "hub", "repository": "org/tiny"}'
    model = upload({}, name="waiting", source=source).json["data"]

    answer = house.client.get(f"/api/v1/models/{model['id']}/versions/1.0.0/download", headers=alice)

    assert (answer.status_code, answer.json["error"]["code"]) == (409, "RESOURCE_003")


def test_a_download_ends_when_its_credential_is_revoked(
    house: House, alice: Headers, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maas.entrypoints.http import downloads as module

    monkeypatch.setattr(module, "RECHECK_SECONDS", 0.0)
    large = tarred({**llama_files(), "padding.txt": bytes(5_000_000)})
    model = upload({"model_file": ("model.tar", large)}).json["data"]
    answer = house.client.get(f"/api/v1/models/{model['id']}/versions/1.0.0/download", headers=alice)
    chunks = iter(answer.response)
    next(chunks)

    house.client.post("/api/v1/auth/logout", headers=alice)

    with pytest.raises(Unauthenticated):
        list(chunks)
    answer.close()
    assert downloads(house) == 0
