"""Batches over HTTP, answered in place and by and by."""

import json
from typing import Any
from uuid import UUID

import pytest

from maas.adapters.text_generator.scripted import EngineScript
from maas.domain.errors import EngineLost, InferenceFailed
from maas.domain.serving.deployment import DeploymentStatus
from maas.domain.usage import UsageEntry
from tests.house import House
from tests.unit.inference.conftest import ENGINE, Deploy, Headers, an_embedding_deployment

UNKNOWN = "01900000-0000-7000-8000-000000000001"


def chat_item(identity: str = "r1", content: str = "one two", **data: Any) -> dict[str, Any]:
    return {"id": identity, "type": "chat", "data": {"messages": [{"role": "user", "content": content}], **data}}


def completion_item(identity: str = "r2", prompt: Any = "three") -> dict[str, Any]:
    return {"id": identity, "type": "completion", "data": {"prompt": prompt}}


def post(house: House, headers: Headers, deployment: Any, requests: Any, **more: Any) -> Any:
    identity = deployment if isinstance(deployment, str) else str(deployment.id)
    sent = {"deployment_id": identity, "requests": requests, **more}
    return house.client.post("/api/v1/inference/batch", json=sent, headers=headers)


def submit(house: House, headers: Headers, deployment: Any, requests: Any, **more: Any) -> Any:
    answer = post(house, headers, deployment, requests, mode="async", **more)
    assert answer.status_code == 201, answer.json
    return answer.json["data"]


def detail(house: House, headers: Headers, batch: Any) -> Any:
    return house.client.get(f"/api/v1/inference/batch/{batch['id']}", headers=headers).json["data"]


def results(house: House, headers: Headers, batch: Any) -> list[Any]:
    answer = house.client.get(f"/api/v1/inference/batch/{batch['id']}/results", headers=headers)
    assert answer.content_type == "application/jsonl"
    return [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]


def inferences(house: House) -> list[UsageEntry]:
    return [entry for entry in house.usage_journal.entries if entry.kind != "call"]


def test_requests_are_answered_in_place_each_with_its_own_status(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy(name="bot")
    wrong = [
        chat_item("w1", temperature=5),
        chat_item("w2", parameters={"temperature": 5}),
        {"id": "w3", "type": "poem", "data": {}},
        {"id": "w4", "type": "chat"},
        {"id": "w5", "type": "embedding", "data": {"texts": ["x"]}},
        completion_item("w6", prompt=5),
        {**completion_item("w7"), "extra": 1},
    ]

    answer = post(house, alice, deployment, [chat_item(), *wrong, completion_item()])

    assert answer.status_code == 200
    told = answer.json["data"]["results"]
    assert [(one["id"], one["status"]) for one in told] == [
        ("r1", 200),
        *[(f"w{number}", 422) for number in range(1, 8)],
        ("r2", 200),
    ]
    assert told[0]["data"]["choices"][0]["message"]["content"] == "one two"
    assert told[0]["data"]["model"] == "bot"
    assert told[-1]["data"]["choices"][0]["text"] == "three"
    fields = [one["error"]["details"][0]["field"] if one["error"]["details"] else None for one in told[1:-1]]
    assert fields == ["temperature", "parameters.temperature", "type", "data", None, "prompt", "extra"]
    assert told[5]["error"]["code"] == "MODEL_002"


def test_texts_are_embedded_in_a_batch(house: House, alice: Headers, deploy: Deploy) -> None:
    item = {"id": "e", "type": "embedding", "data": {"texts": ["one", "two"]}}

    told = post(house, alice, an_embedding_deployment(deploy), [item]).json["data"]["results"]

    assert len(told[0]["data"]["embeddings"]) == 2


def test_in_place_a_batch_is_one_call_and_each_answer_is_metered(house: House, alice: Headers, deploy: Deploy) -> None:
    before = len(house.usage_journal.entries)

    post(house, alice, deploy(), [chat_item(), completion_item(), chat_item("w", parameters={"top_p": 7})])

    entries = house.usage_journal.entries[before:]
    assert sorted(entry.kind for entry in entries) == ["batch", "batch", "call"]


def test_a_hundred_requests_fit_in_place_and_no_more(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy()
    requests = [chat_item(f"r{number}", f"word{number}") for number in range(100)]

    told = post(house, alice, deployment, requests).json["data"]["results"]

    assert [one["data"]["choices"][0]["message"]["content"] for one in told] == [f"word{number}" for number in range(100)]
    assert post(house, alice, deployment, [*requests, chat_item("one more")]).status_code == 422


@pytest.mark.parametrize(
    "requests",
    [[], "x", [5], [{"type": "chat", "data": {}}], [chat_item("")], [chat_item("x" * 201)], [chat_item(), chat_item()]],
)
def test_requests_of_wrong_form_are_refused_as_a_whole(house: House, alice: Headers, deploy: Deploy, requests: Any) -> None:
    answer = post(house, alice, deploy(), requests)

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (422, "requests")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_batch_needs_a_deployment_that_may_be_seen_and_that_answers(
    house: House, alice: Headers, deploy: Deploy, mode: str
) -> None:
    hidden = deploy(owner_id=house.user_id(house.sign_up("bob")))

    assert post(house, alice, UNKNOWN, [chat_item()], mode=mode).status_code == 404
    assert post(house, alice, hidden, [chat_item()], mode=mode).status_code == 404
    assert post(house, alice, deploy(status=DeploymentStatus.STOPPED), [chat_item()], mode=mode).status_code == 503
    assert (
        post(house, alice, deploy(status=DeploymentStatus.FAILED), [chat_item()], mode=mode).json["error"]["code"] == "MODEL_001"
    )


def test_a_batch_goes_on_by_itself(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy()
    requests = [chat_item(f"r{number}", f"word{number}") for number in range(250)]
    requests[7] = chat_item("r7", parameters={"temperature": 9})
    answer = post(house, alice, deployment, requests, mode="async", name="Nightly")

    batch = answer.json["data"]
    assert answer.headers["Location"] == f"/api/v1/inference/batch/{batch['id']}"
    assert (batch["status"], batch["total"], batch["completed"], batch["failed"]) == ("queued", 250, 0, 0)
    assert results(house, alice, batch) == []

    house.work()

    after = detail(house, alice, batch)
    assert (after["status"], after["completed"], after["failed"], after["name"]) == ("succeeded", 249, 1, "Nightly")
    assert after["started_at"] is not None
    assert after["finished_at"] is not None
    told = results(house, alice, batch)
    assert [one["id"] for one in told] == [request["id"] for request in requests]
    assert told[3]["data"]["choices"][0]["message"]["content"] == "word3"
    assert told[7]["status"] == 422
    assert told[7]["error"]["details"][0]["field"] == "parameters.temperature"


def test_what_a_batch_used_is_summed_with_its_results_and_not_in_the_journal(
    house: House, alice: Headers, deploy: Deploy
) -> None:
    deployment = deploy()
    submit(house, alice, deployment, [chat_item(), completion_item()])

    house.work()

    assert inferences(house) == []
    with house.database(read_only=True) as work:
        total = work.usage.of_deployment(deployment.id).total
    assert (total.calls, total.prompt_tokens, total.completion_tokens) == (2, 4, 3)


def test_batches_are_listed_and_filtered(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy()
    first, second = (submit(house, alice, deployment, [chat_item()], name=name) for name in ("a", "b"))
    house.client.post(f"/api/v1/inference/batch/{first['id']}/cancel", headers=alice)

    def listed(query: str) -> list[str]:
        answer = house.client.get(f"/api/v1/inference/batch?{query}", headers=alice)
        return [batch["id"] for batch in answer.json["data"]["batches"]]

    assert set(listed("")) == {first["id"], second["id"]}
    assert listed("status=cancelled") == [first["id"]]
    assert listed(f"deployment_id={UNKNOWN}") == []
    assert listed("search=b&sort=name") == [second["id"]]


def test_a_cancelled_batch_asks_nothing_more(house: House, alice: Headers, deploy: Deploy) -> None:
    batch = submit(house, alice, deploy(), [chat_item()])

    cancelled = house.client.post(f"/api/v1/inference/batch/{batch['id']}/cancel", headers=alice)
    house.work()

    assert cancelled.json["data"]["status"] == "cancelled"
    assert house.writer.asked == []
    again = house.client.post(f"/api/v1/inference/batch/{batch['id']}/cancel", headers=alice)
    assert (again.status_code, again.json["error"]["code"]) == (409, "RESOURCE_003")


def test_another_persons_batch_is_hidden(house: House, alice: Headers, deploy: Deploy) -> None:
    batch = submit(house, alice, deploy(), [chat_item()])
    bob = house.sign_up("bob")

    for method, path in (("GET", ""), ("GET", "/results"), ("POST", "/cancel")):
        answer = house.client.open(f"/api/v1/inference/batch/{batch['id']}{path}", method=method, headers=bob)
        assert answer.status_code == 404
    assert house.client.get("/api/v1/inference/batch", headers=bob).json["data"]["batches"] == []


def test_keys_need_their_permissions(house: House, alice: Headers, deploy: Deploy) -> None:
    batch = submit(house, alice, deploy(), [chat_item()])
    reads, creates = house.key(alice, "inference:read"), house.key(alice, "inference:create")
    path = f"/api/v1/inference/batch/{batch['id']}"

    assert house.client.get(path, headers=reads).status_code == 200
    assert house.client.get(path, headers=creates).status_code == 403
    assert house.client.post(f"{path}/cancel", headers=reads).status_code == 403
    assert house.client.post(f"{path}/cancel", headers=creates).status_code == 200


def test_an_engine_that_goes_away_is_asked_again_and_one_that_fails_is_not(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy()
    house.writer.scripts[ENGINE] = EngineScript(failure=EngineLost("the engine went away while it answered"), fails_after=1)
    lost = post(house, alice, deployment, [chat_item()]).json["data"]["results"]
    asked = len(house.writer.asked)
    house.writer.scripts[ENGINE] = EngineScript(failure=InferenceFailed("the engine failed to answer"))
    failed = post(house, alice, deployment, [chat_item()]).json["data"]["results"]

    assert (lost[0]["status"], asked) == (502, 3)
    assert (failed[0]["status"], len(house.writer.asked) - asked) == (502, 1)


def test_a_batch_whose_deployment_is_gone_fails_and_keeps_what_was_answered(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy()
    batch = submit(house, alice, deployment, [chat_item()])
    with house.database() as work:
        found = work.deployments.find(deployment.id)
        assert found is not None
        for replica in work.replicas.of(deployment.id):
            work.replicas.remove(replica)
        work.deployments.remove(found)
    house.container.router()._known.clear()

    house.work()

    after = detail(house, alice, batch)
    assert (after["status"], after["reason"]) == ("failed", "the deployment is gone")


def test_errors_in_results_are_in_the_readers_language(house: House, alice: Headers, deploy: Deploy) -> None:
    batch = submit(house, alice, deploy(), [chat_item(parameters={"temperature": 9})])
    house.work()

    english = results(house, alice, batch)[0]["error"]["details"][0]["message"]
    chinese = results(house, {**alice, "Accept-Language": "zh"}, batch)[0]["error"]["details"][0]["message"]

    assert english == "must be from 0 to 2"
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)


def test_an_admin_sees_every_batch(house: House, alice: Headers, deploy: Deploy) -> None:
    from maas.domain.identity import Role

    batch = submit(house, alice, deploy(), [chat_item()])
    ada = house.sign_up("ada", role=Role.ADMIN)

    assert detail(house, ada, batch)["id"] == batch["id"]
    assert UUID(batch["id"])
