"""A batch whose worker is killed in the midst of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from maas.settings import Settings
from tests.integration.inference.served import Served, served, wait_until
from tests.unit.inference.wire import END, HEAD, Step, event, piece, usage, wire_engine

pytestmark = [pytest.mark.integration, pytest.mark.slow]
PAUSE = 0.05


@contextmanager
def a_worker(data_dir: Path) -> Iterator["subprocess.Popen[bytes]"]:
    settings = Settings(data_dir=data_dir, sync=False, lease_seconds=2)
    process = subprocess.Popen(
        [sys.executable, "-m", "maas.entrypoints.cli", "worker"],
        env={**os.environ, **settings.environment()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_batch_goes_on_after_kill_9_and_nothing_counts_twice(tmp_path: Path) -> None:
    total = 600
    answer: list[Step] = [PAUSE, HEAD, piece("a", usage=usage(2, 1)), piece("", "stop", usage=usage(2, 2)), event(b"[DONE]"), END]
    requests = [{"id": str(n), "type": "completion", "data": {"prompt": f"p{n}"}} for n in range(total)]
    with wire_engine(answer) as engine, served(tmp_path / "data") as api:
        deployment = api.deploy(engine.address)
        body = {"deployment_id": str(deployment.id), "requests": requests, "mode": "async"}
        status, told = api.call("POST", "/api/v1/inference/batch", body)
        assert status == 201
        path = f"/api/v1/inference/batch/{told['data']['id']}"

        with a_worker(tmp_path / "data") as worker:
            wait_until(lambda: 0 < detail(api, path)["completed"] < total, 60)
            worker.kill()
            worker.wait()
        with a_worker(tmp_path / "data"):
            wait_until(lambda: detail(api, path)["status"] == "succeeded", 90)

        after = detail(api, path)
        ids = results(api, path)
        with api.container.unit_of_work()(read_only=True) as work:
            counted = work.usage.of_deployment(deployment.id).total

    assert (after["completed"], after["failed"]) == (total, 0)
    assert ids == [request["id"] for request in requests]
    assert len(engine.calls) >= total
    assert (counted.calls, counted.prompt_tokens, counted.completion_tokens) == (total, 2 * total, 2 * total)


def detail(api: Served, path: str) -> dict[str, Any]:
    data: dict[str, Any] = api.call("GET", path)[1]["data"]
    return data


def results(api: Served, path: str) -> list[str]:
    connection = api.connect()
    try:
        connection.request("GET", f"{path}/results", headers=api.headers)
        return [json.loads(line)["id"] for line in connection.getresponse().read().splitlines()]
    finally:
        connection.close()
