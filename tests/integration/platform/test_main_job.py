"""The main job, end to end, on one running platform, and through `kill -9` of every process."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.integration.platform.main_job import CONVERSATIONS, User, until
from tests.integration.platform.running import Platform, eventually, platform
from tests.integration.trainer.tiny import make_base

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("platform") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def alice(running: Platform) -> Iterator[User]:
    with User(running.url) as alice:
        yield alice


@pytest.fixture(scope="module")
def model(alice: User, base: Path) -> dict[str, Any]:
    return alice.upload_model(base)


@pytest.fixture(scope="module")
def dataset(alice: User) -> dict[str, Any]:
    return alice.upload_dataset(CONVERSATIONS)


def watch(running: Platform, alice: User, job_id: str) -> tuple[list[dict[str, Any]], int | None]:
    """Return what the monitor tells until it closes, and its close code."""
    url = running.url.replace("http", "ws", 1) + f"/v1/finetune/jobs/{job_id}/monitor"
    messages = []
    with connect(url) as socket:
        socket.send(json.dumps({"type": "auth", "token": alice.authorization}))
        try:
            while True:
                messages.append(json.loads(socket.recv(timeout=120)))
        except ConnectionClosed as closed:
            return messages, closed.rcvd.code if closed.rcvd else None


def test_a_model_is_taught_deployed_and_asked(
    running: Platform, alice: User, model: dict[str, Any], dataset: dict[str, Any]
) -> None:
    job = alice.start_job(model["id"], dataset["id"])
    messages, code = watch(running, alice, job["id"])
    done = alice.wait_for_job(job["id"])
    points = alice.get(f"/finetune/jobs/{job['id']}/metrics")["metrics"]
    deployment = alice.deploy(done["result"]["model_id"])
    alice.wait_for_deployment(deployment["id"])

    chunks = alice.stream(deployment["id"], "number 3?")
    whole = alice.chat(deployment["id"], "number 3?")

    assert code == 1000
    updates = [message for message in messages if "percentage" in message]
    assert updates[-1]["status"] == "succeeded"
    percentages = [message["percentage"] for message in updates]
    assert percentages == sorted(percentages)
    assert [point["step"] for point in points] == list(range(1, 25))
    assert points[-1]["loss"] < points[0]["loss"]
    assert chunks[-1] == "[DONE]"
    assert len({chunk["id"] for chunk in chunks[:-1]}) == 1
    assert chunks[-2]["choices"][0]["finish_reason"] in ("stop", "length")
    text = "".join(
        choice["delta"].get("content") or "" for chunk in chunks[:-1] for choice in chunk["choices"] if "delta" in choice
    )
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-2]["usage"] == whole["usage"]
    result = alice.get(f"/models/{done['result']['model_id']}")
    assert result["lineage"] == {"base_model_id": model["id"], "dataset_id": dataset["id"], "job_id": job["id"]}
    alice.delete(f"/inference/deployments/{deployment['id']}")


def test_the_openai_client_talks_to_a_deployment(running: Platform, alice: User, model: dict[str, Any]) -> None:
    deployment = alice.deploy(model["id"], name="for-openai")
    alice.wait_for_deployment(deployment["id"])
    key = alice.post("/users/me/api-keys", {"name": "k", "permissions": ["inference:create", "deployment:read"]}, status=201)
    client = OpenAI(base_url=f"{running.url}/v1", api_key=key["key"], max_retries=0)

    names = [entry.id for entry in client.models.list()]
    answer = client.chat.completions.create(
        model="for-openai", messages=[{"role": "user", "content": "number 5?"}], max_tokens=8, temperature=0
    )
    stream = client.chat.completions.create(
        model="for-openai",
        messages=[{"role": "user", "content": "number 5?"}],
        max_tokens=8,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)

    assert "for-openai" in names
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer.choices[0].message.content
    assert chunks[-1].usage == answer.usage
    client.close()
    alice.delete(f"/inference/deployments/{deployment['id']}")


@pytest.mark.parametrize("victim", ["trainer", "worker", "serve"])
def test_a_job_survives_the_death_of_a_process_without_a_trace_in_its_curve(victim: str, tmp_path: Path, base: Path) -> None:
    hyperparameters = {"num_epochs": 40, "batch_size": 8}
    with platform(tmp_path / "data") as running, User(running.url) as alice:
        model, dataset = alice.upload_model(base), alice.upload_dataset(CONVERSATIONS)
        unbroken = alice.start_job(model["id"], dataset["id"], name="unbroken", hyperparameters=hyperparameters)
        expected = curve(alice, alice.wait_for_job(unbroken["id"])["id"])
        job = alice.start_job(
            model["id"], dataset["id"], name="broken", hyperparameters=hyperparameters, config={"save_steps": 10}
        )
        for _ in until(60, pause=0.05):
            if alice.get(f"/finetune/jobs/{job['id']}/checkpoints")["checkpoints"]:
                break
        if victim != "serve":
            kill(running.pids(victim))
            finish(alice, job["id"], expected)
            return
        port = int(running.url.rpartition(":")[2])
        running.process.kill()
        running.process.wait()
        with platform(tmp_path / "data", port=port):
            finish(alice, job["id"], expected)


def kill(pids: list[int]) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def finish(alice: User, job_id: str, expected: list[tuple[Any, ...]]) -> None:
    done = alice.wait_for_job(job_id)

    assert curve(alice, job_id) == expected
    logs = alice.get(f"/finetune/jobs/{job_id}/logs?limit=100")["logs"]
    assert logs
    models = alice.get(f"/models?search={done['name']}")["models"]
    assert len([model for model in models if model["id"] == done["result"]["model_id"]]) <= 1


def curve(alice: User, job_id: str) -> list[tuple[Any, ...]]:
    names = ("step", "epoch", "loss", "learning_rate", "grad_norm")
    return [tuple(point[name] for name in names) for point in alice.get(f"/finetune/jobs/{job_id}/metrics")["metrics"]]


def test_a_killed_engine_is_replaced_and_answers_again(running: Platform, alice: User, model: dict[str, Any]) -> None:
    deployment = alice.deploy(model["id"], name="sturdy")
    alice.wait_for_deployment(deployment["id"])
    before = alice.chat(deployment["id"], "number 1?")["choices"]
    kill(running.pids("engine"))

    def answers_again() -> bool:
        body = {"deployment_id": deployment["id"], "messages": [{"role": "user", "content": "number 1?"}]}
        answer = alice.http.post("/inference/chat", json={**body, "parameters": {"temperature": 0, "max_tokens": 16}})
        assert answer.status_code in (200, 502, 503), answer.text
        return answer.status_code == 200 and answer.json()["data"]["choices"] == before

    eventually(answers_again, seconds=60)
    alice.delete(f"/inference/deployments/{deployment['id']}")
    eventually(lambda: not running.pids("engine"), seconds=30)
