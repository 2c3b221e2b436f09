"""Promise P1 under kill -9: what was acknowledged is whole, and what was not leaves nothing for long."""

import hashlib
import http.client
import os
import random
import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest

from maas.adapters.clock.memory import ManualClock
from maas.application.file_sweep import FileSweep
from maas.container import Container
from maas.settings import Settings
from tests.integration.catalog.running import END, RunningApi, answer_of, file_part, running_api, text_part
from tests.unit.catalog.archives import zipped
from tests.unit.catalog.model_files import llama_files

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROUNDS = 4
ARCHIVE = zipped({**llama_files(), "padding.txt": random.Random(1).randbytes(3_000_000)})


def upload_on_and_on(api: RunningApi, acknowledged: list[UUID]) -> None:
    """Upload until the server is gone."""
    body = file_part("model_file", "model.zip", ARCHIVE) + END
    while True:
        fields = text_part("name", str(uuid4())) + text_part("type", "llm")
        try:
            with api.begin("/api/v1/models", len(fields) + len(body)) as connection:
                connection.sendall(fields + body)
                status, answer = answer_of(connection)
        except (OSError, ValueError, http.client.HTTPException):
            return  # Cut off by the kill, in whatever way.
        assert status == 201, answer
        acknowledged.append(UUID(answer["data"]["id"]))


def test_acknowledged_uploads_are_whole_after_kill_9(tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged: list[UUID] = []
    data_dir = tmp_path / "data"
    for _ in range(ROUNDS):
        with running_api(data_dir) as api:
            clients = [threading.Thread(target=upload_on_and_on, args=(api, acknowledged)) for _ in range(3)]
            for client in clients:
                client.start()
            threading.Event().wait(chance.uniform(0.5, 1.5))
            for process in [*psutil.Process(api.process.pid).children(recursive=True), psutil.Process(api.process.pid)]:
                os.kill(process.pid, signal.SIGKILL)
            for client in clients:
                client.join(60)

    container = Container(settings=Settings(data_dir=data_dir))
    store = container.file_store()
    sweep = FileSweep(
        unit_of_work=container.unit_of_work(), file_store=store, clock=ManualClock(datetime.now(UTC) + timedelta(hours=2))
    )
    sweep.sweep()
    with container.unit_of_work()(read_only=True) as work:
        versions = {version.model_id: version for version in work.model_versions.of(acknowledged)}
        roots = set(work.model_versions.roots())
    container.engine().dispose()
    assert acknowledged
    assert set(acknowledged) == versions.keys()
    for version in versions.values():
        assert hashlib.sha256(store.local_copy(version.archive_key).read_bytes()).digest() == hashlib.sha256(ARCHIVE).digest()
        for file in version.files:
            content = store.local_copy(f"{version.files_key}/{file['name']}").read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
    assert {stored.key for stored in store.keys("models")} == roots
    assert list((data_dir / "files" / "staging").iterdir()) == []
