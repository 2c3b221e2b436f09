"""Uploads to a real server: large, broken off, lied about, killed."""

import hashlib
import http.client
import json
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from maas.adapters.file_store.folder import FolderFileStore
from tests.integration.catalog.running import (
    END,
    RunningApi,
    answer_of,
    file_head,
    file_part,
    running_api,
    text_part,
)
from tests.integration.platform.running import eventually
from tests.unit.catalog.archives import zipped
from tests.unit.catalog.model_files import llama_files

pytestmark = pytest.mark.integration
MIB = 1024 * 1024
CONFIG = file_part("config_file", "config.json", llama_files()["config.json"])


def fields(name: str | None = None) -> bytes:
    return text_part("name", name or str(uuid4())) + text_part("type", "llm")


def weights(megabytes: int) -> Iterator[bytes]:
    """Yield a safetensors file of this size, generated."""
    count = megabytes * MIB // 2
    header = json.dumps({"w": {"dtype": "F16", "shape": [count], "data_offsets": [0, 2 * count]}}).encode()
    yield struct.pack("<Q", len(header)) + header
    block = bytes(range(256)) * (MIB // 256)
    yield from (block for _ in range(megabytes))


def model_body(megabytes: int) -> Iterator[bytes]:
    yield fields() + CONFIG + file_head("model_file", "model.safetensors")
    yield from weights(megabytes)
    yield b"\r\n" + END


def size_of(chunks: Iterator[bytes]) -> int:
    return sum(map(len, chunks))


def memory_peak(pid: int) -> int:
    """Return the largest resident memory of a server's processes in bytes."""
    import psutil

    def peak(one: int) -> int:
        status = Path(f"/proc/{one}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    return max(peak(process.pid) for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)])


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_model_passes_with_flat_memory_and_comes_down_as_it_went_up(own_api: RunningApi, chunked: bool) -> None:
    connection = own_api.begin("/api/v1/models", None if chunked else size_of(model_body(300)))
    before = memory_peak(own_api.process.pid)
    for chunk in model_body(300):
        connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunked else chunk)
    if chunked:
        connection.sendall(b"0\r\n\r\n")

    status, answer = answer_of(connection)

    connection.close()
    assert status == 201, answer
    assert memory_peak(own_api.process.pid) - before < 40 * MIB
    digest = hashlib.sha256()
    for chunk in weights(300):
        digest.update(chunk)
    path = f"/api/v1/models/{answer['data']['id']}/versions/1.0.0"
    files = own_api.call("GET", path)[1]["data"]["files"]
    assert digest.hexdigest() in [file["sha256"] for file in files]
    _, content, headers = own_api.fetch("GET", f"{path}/download")
    assert headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert int(headers["Content-Length"]) == len(content)
    assert own_api.staged() == []


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("at", ["in the fields", "in the file", "before the last boundary"])
def test_an_upload_that_breaks_off_leaves_nothing(api: RunningApi, at: str, chunked: bool) -> None:
    whole = b"".join(model_body(8))
    end = {"in the fields": 150, "in the file": len(whole) // 2, "before the last boundary": len(whole) - 6}[at]
    kept_before = api.kept()
    connection = api.begin("/api/v1/models", None if chunked else len(whole))
    part = whole[:end]
    connection.sendall(b"%x\r\n%s" % (len(part), part) if chunked else part)
    if at != "in the fields":
        eventually(lambda: bool(api.staged()), seconds=10)

    connection.close()

    eventually(lambda: api.staged() == [], seconds=10)
    assert api.kept() == kept_before
    assert "Traceback" not in "".join(api.lines)


def test_a_body_that_ends_early_is_400(api: RunningApi) -> None:
    """Of a client that closes its half of the connection and still listens."""
    import socket

    connection = api.begin("/api/v1/models", 1000)
    connection.sendall(fields())
    connection.shutdown(socket.SHUT_WR)

    status, answer = answer_of(connection)

    connection.close()
    assert (status, answer["error"]["code"]) == (400, "VALIDATION_002")
    assert api.staged() == []


def test_a_length_that_cannot_be_taken_is_refused_before_the_body(api: RunningApi) -> None:
    connection = api.begin("/api/v1/models", 60 * 1024**3)

    status, answer = answer_of(connection)

    connection.close()
    assert (status, answer["error"]["code"]) == (413, "VALIDATION_003")


def test_a_taken_name_is_told_before_the_file_has_come(api: RunningApi) -> None:
    name = str(uuid4())
    body = fields(name) + CONFIG + file_part("model_file", "model.safetensors", b"".join(weights(1))) + END
    connection = api.begin("/api/v1/models", len(body))
    connection.sendall(body)
    assert answer_of(connection)[0] == 201
    connection.close()
    again = api.begin("/api/v1/models", 1024**3)
    again.sendall(fields(name) + CONFIG + file_head("model_file", "model.safetensors") + bytes(2 * MIB))

    status, answer = answer_of(again)

    again.close()
    assert (status, answer["error"]["details"][0]["field"]) == (409, "name")
    assert api.staged() == []


@pytest.mark.parametrize("megabytes", [1, 8, 24])
def test_a_refusal_is_heard_by_a_client_that_sends_all_before_it_listens(api: RunningApi, megabytes: int) -> None:
    body = text_part("colour", "red") + fields() + CONFIG + file_part("model_file", "m.zip", bytes(megabytes * MIB)) + END
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.request(
        "POST",
        "/api/v1/models",
        body,
        {**api.headers, "Content-Type": "multipart/form-data; boundary=----a-boundary-of-the-tests"},
    )

    answer = connection.getresponse()

    assert answer.status == 422
    assert json.loads(answer.read())["error"]["details"][0]["field"] == "colour"
    connection.close()


def test_two_uploads_of_one_name_at_once_store_one(api: RunningApi) -> None:
    name = str(uuid4())
    archive = zipped(llama_files())
    body = fields(name) + file_part("model_file", "model.zip", archive) + END
    connections = [api.begin("/api/v1/models", len(body)) for _ in range(4)]
    for connection in connections:
        connection.sendall(body[:-10])
    for connection in connections:
        connection.sendall(body[-10:])

    statuses = sorted(answer_of(connection)[0] for connection in connections)

    for connection in connections:
        connection.close()
    assert statuses == [201, 409, 409, 409]
    found = api.call("GET", f"/api/v1/models?search={name}")[1]["data"]["models"]
    assert len(found) == 1
    trees = {path.parts[-2] if path.name.startswith("archive") else "" for path in api.kept()} - {""}
    assert len([path for path in api.kept() if path.name == "archive.zip"]) == len(trees)


def test_a_download_that_is_broken_off_does_not_count(api: RunningApi) -> None:
    body = fields() + CONFIG + file_part("model_file", "model.safetensors", b"".join(weights(30))) + END
    connection = api.begin("/api/v1/models", len(body))
    connection.sendall(body)
    model = answer_of(connection)[1]["data"]
    connection.close()
    path = f"/api/v1/models/{model['id']}"
    half = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    half.request("GET", f"{path}/versions/1.0.0/download", headers=api.headers)
    half.getresponse().read(MIB)
    half.close()

    status, content, _ = api.fetch("GET", f"{path}/versions/1.0.0/download")

    assert (status, len(content) > 30 * MIB) == (200, True)
    eventually(lambda: api.call("GET", path)[1]["data"]["download_count"] == 1, seconds=10)


@pytest.mark.slow
def test_a_server_that_is_killed_in_an_upload_leaves_nothing_that_the_sweep_does_not_clear(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running_api(data_dir) as running:
        connection = running.begin("/api/v1/models", size_of(model_body(50)))
        for number, chunk in enumerate(model_body(50)):
            if number == 20:
                break
            connection.sendall(chunk)
        eventually(lambda: bool(running.staged()), seconds=10)
        import psutil

        for process in psutil.Process(running.process.pid).children(recursive=True):
            os.kill(process.pid, signal.SIGKILL)
        running.process.kill()
        running.process.wait()
        connection.close()
        assert running.staged()

    assert FolderFileStore(data_dir / "files").sweep_staging() == 1
    assert [path for path in (data_dir / "files").rglob("*") if path.is_file()] == []


def multipart_of_dataset(rows: int) -> Iterator[bytes]:
    yield text_part("name", str(uuid4())) + text_part("type", "instruction") + text_part("format", "jsonl")
    yield file_head("file", "rows.jsonl")
    row = json.dumps({"prompt": "a question " * 40, "completion": "an answer " * 40}).encode() + b"\n"
    yield from (row * 100 for _ in range(rows // 100))
    yield b"\r\n" + END


@pytest.mark.slow
def test_a_large_dataset_is_examined_in_flat_memory(own_api: RunningApi) -> None:
    rows = 60_000
    connection = own_api.begin("/api/v1/datasets", size_of(multipart_of_dataset(rows)))
    before = memory_peak(own_api.process.pid)
    for chunk in multipart_of_dataset(rows):
        connection.sendall(chunk)

    status, answer = answer_of(connection)

    connection.close()
    assert (status, answer["data"]["rows"]) == (201, rows)
    assert answer["data"]["file_size"] > 45 * MIB
    assert memory_peak(own_api.process.pid) - before < 40 * MIB


def test_a_model_s_archive_and_a_dataset_are_uploaded_by_curl(api: RunningApi, tmp_path: Path) -> None:
    import shutil
    import subprocess

    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    (tmp_path / "模型.zip").write_bytes(zipped(llama_files()))
    command: list[Any] = [
        "curl",
        "-s",
        "-S",
        "-H",
        f"Authorization: Bearer {api.token}",
        f"http://127.0.0.1:{api.port}/api/v1/models",
    ]
    name = str(uuid4())
    command += ["-F", f"name={name}", "-F", "type=llm", "-F", 'tags=["a","b"]', "-F", f"model_file=@{tmp_path / '模型.zip'}"]

    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    assert answer["success"] is True, answer
    assert (answer["data"]["name"], answer["data"]["tags"], answer["data"]["status"]) == (name, ["a", "b"], "ready")
