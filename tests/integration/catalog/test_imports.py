"""Imports by real workers: from a hub server and from a folder, and through kill -9."""

import json
import os
import signal
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from maas.container import Container
from maas.domain.identity import Role
from maas.settings import Settings
from tests.hub_server import COMMIT, running_hub
from tests.integration.catalog.running import PASSWORD
from tests.integration.platform.running import Platform, eventually, platform
from tests.unit.catalog.model_files import PICKLE, llama_files, write_files

pytestmark = [pytest.mark.integration, pytest.mark.slow]
COUNT = 4 * 1024 * 1024
HEADER = json.dumps({"w": {"dtype": "F16", "shape": [COUNT], "data_offsets": [0, 2 * COUNT]}}).encode()
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(2 * COUNT)
FILES = {**llama_files(), "model.safetensors": WEIGHTS, "pytorch_model.bin": PICKLE, "README.md": b"# tiny"}


def sign_in(running: Platform) -> dict[str, str]:
    container = Container(settings=Settings(data_dir=running.data_dir))
    container.accounts().create(username="alice", email="alice@example.com", password=PASSWORD, role=Role.USER)
    container.engine().dispose()
    _, answer = running.call("POST", "/api/v1/auth/login", {"email": "alice@example.com", "password": PASSWORD})
    return {"Authorization": f"Bearer {answer['data']['access_token']}", "Accept-Language": "en"}


def begin(running: Platform, headers: dict[str, str], source: dict[str, str], name: str = "imported") -> str:
    status, answer = running.call("POST", "/api/v1/models", {"name": name, "type": "llm", "source": source}, headers=headers)
    assert status == 201, answer
    return f"/api/v1/models/{answer['data']['id']}/versions/1.0.0"


def finished(running: Platform, headers: dict[str, str], path: str, *, seconds: float = 60) -> dict[str, Any]:
    def shown() -> dict[str, Any]:
        return running.call("GET", path, headers=headers)[1]["data"]  # type: ignore[no-any-return]

    eventually(lambda: shown()["status"] in ("ready", "failed"), seconds=seconds)
    return shown()


def test_a_model_of_a_hub_and_one_of_a_folder_become_ready(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "listed" / "tiny", FILES)
    with running_hub({"org/tiny": FILES, "org/pickled": {"pytorch_model.bin": PICKLE}}) as hub:
        with platform(tmp_path / "data", hub_endpoint=hub.url, import_folders=str(tmp_path / "listed")) as running:
            headers = sign_in(running)
            from_hub = begin(running, headers, {"type": "hub", "repository": "org/tiny"}, "of the hub")
            from_folder = begin(running, headers, {"type": "folder", "path": str(folder)}, "of a folder")
            pickled = begin(running, headers, {"type": "hub", "repository": "org/pickled"}, "pickled")
            unknown = begin(running, headers, {"type": "hub", "repository": "org/none"}, "unknown")

            of_hub, of_folder = (finished(running, headers, path) for path in (from_hub, from_folder))

            assert (of_hub["status"], of_hub["source"]["commit"]) == ("ready", COMMIT)
            assert {file["name"] for file in of_hub["files"]} == FILES.keys() - {"pytorch_model.bin"}
            assert of_folder["status"] == "ready"
            assert of_folder["files"] == sorted(of_hub["files"], key=lambda file: file["name"])
            assert "pickle" in finished(running, headers, pickled)["reason"]
            assert "no such repository" in finished(running, headers, unknown)["reason"]


def test_an_import_goes_on_after_its_worker_was_killed(tmp_path: Path) -> None:
    with running_hub({"org/tiny": FILES}, pace=threading.Event()) as hub:
        with platform(tmp_path / "data", hub_endpoint=hub.url, lease_seconds="3") as running:
            headers = sign_in(running)
            path = begin(running, headers, {"type": "hub", "repository": "org/tiny"})
            staging = tmp_path / "data" / "files" / "staging"
            eventually(lambda: any(file.name == "model.safetensors" for file in staging.rglob("*")), seconds=30)

            for pid in running.pids("worker"):
                os.kill(pid, signal.SIGKILL)
            assert hub.pace is not None
            hub.pace.set()

            shown = finished(running, headers, path, seconds=90)
            assert (shown["status"], shown["reason"]) == ("ready", None)
            assert {file["name"] for file in shown["files"]} == FILES.keys() - {"pytorch_model.bin"}
            kept = tmp_path / "data" / "files" / "kept" / "models"
            assert len(list(kept.iterdir())) == 1
            eventually(lambda: not list(staging.iterdir()), seconds=30)
