"""Real engines come, crash, are replaced, and leave nothing behind."""

import os
import signal
import threading
import urllib.error
import urllib.request
from uuid import UUID

import psutil
import pytest

from tests.builders import a_served_model
from tests.integration.serving.conftest import Platform, ask

pytestmark = [pytest.mark.integration, pytest.mark.slow]
FIRST, SECOND, BROKEN = "models/first/files", "models/second/files", "models/broken/files"


def roll(platform: Platform, deployment_id: UUID, files_key: str, version: str) -> None:
    deployment = platform.get(deployment_id)
    model = a_served_model(model_id=deployment.model_id, version=version, files_key=files_key)
    platform.change(deployment_id, "roll", model=model, hardware=deployment.hardware_spec, can_chat=True, context_length=256)


def test_a_killed_engine_is_replaced_and_answers(platform: Platform) -> None:
    deployment_id = platform.deploy(FIRST)
    platform.wait_for_status(deployment_id, "running")
    assert platform.ask(deployment_id) == 200
    [first] = platform.running(deployment_id)
    [engine] = platform.engines()

    os.kill(engine.pid, signal.SIGKILL)
    platform.wait_until(lambda: first.id not in [replica.id for replica in platform.running(deployment_id)])
    platform.wait_for_status(deployment_id, "running")

    [second] = platform.running(deployment_id)
    assert second.address != first.address
    assert platform.ask(deployment_id) == 200
    assert ask(first.address or "") == 0
    with platform.units(read_only=True) as work:
        told = [line.message for line in work.deployment_log.page(deployment_id, number=1, limit=100).items]
    assert "a replica ended: the engine was killed by SIGKILL" in told


def test_an_engine_of_its_own_group_has_no_secrets_and_no_way_out(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAAS_DATABASE_URL", "postgresql://user:secret@host/db")
    deployment_id = platform.deploy(FIRST)
    platform.wait_for_status(deployment_id, "running")

    [engine] = platform.engines()

    assert not {name for name in engine.environ() if name.startswith("MAAS")}
    assert os.getpgid(engine.pid) == engine.pid
    assert os.readlink(f"/proc/{engine.pid}/ns/net") != os.readlink("/proc/self/ns/net")


def test_no_request_fails_while_a_new_version_is_rolled_out(platform: Platform) -> None:
    deployment_id = platform.deploy(FIRST)
    platform.wait_for_status(deployment_id, "running")
    [old] = platform.running(deployment_id)
    statuses: list[int] = []
    done = threading.Event()

    def keep_asking() -> None:
        while not done.is_set():
            statuses.append(platform.ask(deployment_id))

    client = threading.Thread(target=keep_asking)
    client.start()
    roll(platform, deployment_id, SECOND, "2.0.0")
    platform.wait_until(lambda: [replica.revision for replica in platform.running(deployment_id)] == [2])
    platform.wait_for_status(deployment_id, "running")
    done.set()
    client.join()

    assert set(statuses) == {200}
    assert len(statuses) > 20
    assert old.id not in [replica.id for replica in platform.running(deployment_id)]
    assert len(platform.engines()) == 1


def test_a_broken_version_fails_with_its_reason_and_a_good_one_goes_on(platform: Platform) -> None:
    broken = platform.deploy(BROKEN)
    good = platform.deploy(FIRST)
    platform.wait_for_status(good, "running")
    roll(platform, good, BROKEN, "2.0.0")

    platform.wait_for_status(broken, "failed")
    platform.wait_until(lambda: platform.get(good).is_given_up and platform.get(good).status.value == "running")

    assert "weights" in (platform.get(broken).reason or "")
    assert "/" not in (platform.get(broken).reason or "")
    assert "version 1.0.0 goes on" in (platform.get(good).reason or "")
    assert platform.ask(good) == 200


def test_stopping_lets_a_stream_end_and_leaves_no_process(platform: Platform) -> None:
    deployment_id = platform.deploy(FIRST)
    platform.wait_for_status(deployment_id, "running")
    [replica] = platform.running(deployment_id)
    body = b'{"inputs": "hello", "stream": true, "parameters": {"max_new_tokens": 200}}'
    request = urllib.request.Request(f"{replica.address}/", data=body, headers={"Content-Type": "application/json"})

    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.readline()
        platform.change(deployment_id, "stop")
        rest = answer.read()
    platform.wait_for_status(deployment_id, "stopped")

    assert b'"finish_reason"' in rest
    assert platform.engines() == []
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{replica.address}/health", timeout=5)


def test_a_deployment_starts_again_and_a_deleted_one_leaves_nothing(platform: Platform) -> None:
    deployment_id = platform.deploy(FIRST, replicas=2)
    platform.wait_for_status(deployment_id, "running")
    assert len(platform.running(deployment_id)) == 2
    platform.change(deployment_id, "stop")
    platform.wait_for_status(deployment_id, "stopped")
    platform.change(deployment_id, "start")
    platform.wait_for_status(deployment_id, "running")
    engines = platform.engines()

    platform.change(deployment_id, "delete")
    platform.wait_until(lambda: not platform.exists(deployment_id))

    assert len(engines) == 2
    assert not any(psutil.pid_exists(engine.pid) and engine.is_running() for engine in engines)


def test_the_next_controller_replaces_what_was_lost(platform: Platform) -> None:
    deployment_id = platform.deploy(FIRST)
    platform.wait_for_status(deployment_id, "running")
    [first] = platform.running(deployment_id)
    platform.end()
    assert platform.engines() == []

    platform.begin()
    platform.wait_until(lambda: [replica.id != first.id for replica in platform.running(deployment_id)] == [True])

    assert platform.ask(deployment_id) == 200
