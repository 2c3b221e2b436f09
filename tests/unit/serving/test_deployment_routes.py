"""Deployments over HTTP."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from maas.domain.catalog.facts import ModelFormat, ModelType, Task
from maas.domain.catalog.model import Lineage, Model, VersionStatus
from maas.domain.identity import Role
from maas.domain.serving.hardware import Hardware
from maas.domain.usage import UsageEntry, summed
from maas.domain.visibility import Visibility
from tests.builders import a_model, a_version, some_facts
from tests.house import House

ROUTES = "/api/v1/inference/deployments"
Headers = dict[str, str]


@pytest.fixture
def alice(house: House) -> Headers:
    return house.sign_up("alice")


def keep_model(house: House, headers: Headers, *, facts: dict[str, Any] | None = None, **values: Any) -> Model:
    """Keep a model with one ready version."""
    model = a_model(house.user_id(headers), **values)
    with house.database() as work:
        work.models.add(model)
        work.model_versions.add(a_version(model, metadata=some_facts(**(facts or {})).to_json()))
    return model


def add_version(house: House, model: Model, version: str, **values: Any) -> None:
    with house.database() as work:
        work.model_versions.add(a_version(model, version=version, **values))


def create(house: House, headers: Headers, model: Model, **changes: Any) -> Any:
    body = {"name": "chat", "model_id": str(model.id), **changes}
    return house.client.post(ROUTES, json=body, headers=headers)


def created(house: House, headers: Headers, model: Model, **changes: Any) -> Any:
    answer = create(house, headers, model, **changes)
    assert answer.status_code == 201, answer.json
    return answer.json["data"]


def problem(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json["error"]
    return answer.status_code, error["code"], error["details"][0]["field"] if error["details"] else None


def test_a_deployment_is_made_with_all_of_its_fields(house: House, alice: Headers) -> None:
    model = keep_model(house, alice)
    config = {
        "replicas": 2,
        "hardware_spec": {"cpu_cores": 2, "memory": "2GB"},
        "auto_scaling": {"enabled": True, "min_replicas": 1, "max_replicas": 3, "target_cpu_utilization": 50},
        "inference_config": {"max_tokens": 64, "temperature": 0.7, "top_p": 0.9, "stream": True, "stop": ["\n"]},
    }

    answer = create(house, alice, model, config=config, description="for tests", model_version="1.0.0")

    data = answer.json["data"]
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{ROUTES}/{data['id']}"
    assert data["config"] == {**config, "hardware_spec": {"gpu_type": None, "gpu_count": None, **config["hardware_spec"]}}  # type: ignore[dict-item]
    assert (data["status"], data["reason"], data["desired_replicas"]) == ("pending", None, 2)
    assert (data["task"], data["can_chat"], data["context_length"]) == ("text-generation", True, 256)
    assert (data["model_id"], data["model_version"], data["description"]) == (str(model.id), "1.0.0", "for tests")
    assert house.client.get(f"{ROUTES}/{data['id']}", headers=alice).json["data"] == data
    assert house.client.get(ROUTES, headers=alice).json["data"]["deployments"] == [data]


def test_a_deployment_runs_and_tells_of_its_replicas(house: House, alice: Headers) -> None:
    made = created(house, alice, keep_model(house, alice), config={"replicas": 2})

    house.reconcile()

    status = house.client.get(f"{ROUTES}/{made['id']}/status", headers=alice).json["data"]
    assert (status["status"], status["desired_replicas"]) == ("running", 2)
    assert [(replica["status"], replica["reason"]) for replica in status["replicas"]] == [("running", None)] * 2
    assert all(replica["started_at"].endswith("Z") for replica in status["replicas"])


def test_the_newest_ready_version_is_taken_by_default(house: House, alice: Headers) -> None:
    model = keep_model(house, alice)
    add_version(house, model, "2.0.0")
    add_version(house, model, "3.0.0", status=VersionStatus.VALIDATING)

    assert created(house, alice, model)["model_version"] == "2.0.0"
    assert problem(create(house, alice, model, name="other", model_version="3.0.0"))[:2] == (409, "RESOURCE_003")
    assert problem(create(house, alice, model, name="other", model_version="9")) == (404, "RESOURCE_001", "model_version")


def test_what_others_keep_to_themselves_cannot_be_deployed(house: House, alice: Headers) -> None:
    bob = house.sign_up("bob")
    private, public = keep_model(house, bob), keep_model(house, bob, visibility=Visibility.PUBLIC)

    assert problem(create(house, alice, private)) == (404, "RESOURCE_001", "model_id")
    unknown = {"name": "x", "model_id": str(uuid4())}
    assert problem(house.client.post(ROUTES, json=unknown, headers=alice)) == (404, "RESOURCE_001", "model_id")
    assert create(house, alice, public).status_code == 201


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"supported_tasks": (), "has_tokenizer": False}, "no tokenizer"),
        ({"supported_tasks": ()}, "nothing that can be deployed"),
        ({"supported_tasks": (Task.TEXT_CLASSIFICATION,)}, "nothing that can be deployed"),
        ({"model_format": ModelFormat.PEFT}, "not known here what it adapts"),
    ],
)
def test_a_model_that_no_engine_serves_is_refused(house: House, alice: Headers, facts: dict[str, Any], words: str) -> None:
    answer = create(house, alice, keep_model(house, alice, facts=facts))

    assert problem(answer) == (422, "MODEL_002", "model_id")
    assert words in answer.json["error"]["message"]


def test_an_embedding_model_is_deployed_for_its_task(house: House, alice: Headers) -> None:
    facts = {"supported_tasks": (Task.FEATURE_EXTRACTION,), "suggested_type": ModelType.EMBEDDING}
    model = keep_model(house, alice, facts=facts, type=ModelType.EMBEDDING, category="feature-extraction")

    made = created(house, alice, model)

    assert (made["task"], made["can_chat"]) == ("feature-extraction", False)


def test_an_adapter_is_deployed_on_the_version_that_it_was_trained_on(house: House, alice: Headers) -> None:
    base = keep_model(house, alice)
    add_version(house, base, "2.0.0")
    lineage = Lineage(base_model_id=base.id)
    facts = {"model_format": ModelFormat.PEFT, "supported_tasks": (Task.TEXT_GENERATION,), "context_length": None}
    newest, recorded = (keep_model(house, alice, facts=facts, lineage=lineage) for _ in range(2))
    add_version(house, recorded, "7", source={"base_version": "1.0.0"}, metadata=some_facts(**facts).to_json())

    created(house, alice, newest, name="newest")
    made = created(house, alice, recorded, name="recorded")
    house.reconcile()

    of_newest, of_recorded = house.runtime.started
    assert (of_newest.model.base_model_id, of_newest.model.base_version) == (base.id, "2.0.0")
    assert (of_recorded.model.version, of_recorded.model.base_version) == ("7", "1.0.0")
    assert of_recorded.adapter == str(recorded.id)
    assert (made["can_chat"], made["context_length"]) == (True, 256)
    assert problem(house.client.delete(f"/api/v1/models/{base.id}", headers=alice))[:2] == (409, "RESOURCE_003")


def test_a_public_adapter_to_a_private_base_is_no_way_to_that_base(house: House, alice: Headers) -> None:
    bob = house.sign_up("bob")
    lineage = Lineage(base_model_id=keep_model(house, bob).id)
    facts = {"model_format": ModelFormat.PEFT}
    adapter = keep_model(house, bob, facts=facts, lineage=lineage, visibility=Visibility.PUBLIC)

    assert problem(create(house, alice, adapter)) == (422, "MODEL_002", "model_id")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"hardware_spec": {"gpu_type": "V100", "gpu_count": 1}}, "config.hardware_spec.gpu_count"),
        ({"hardware_spec": {"gpu_type": "V100"}}, "config.hardware_spec.gpu_type"),
        ({"hardware_spec": {"cpu_cores": 5}}, "config.hardware_spec.cpu_cores"),
        ({"hardware_spec": {"cpu_cores": 0}}, "config.hardware_spec.cpu_cores"),
        ({"hardware_spec": {"memory": "17GB"}}, "config.hardware_spec.memory"),
        ({"replicas": 0}, "config.replicas"),
        ({"replicas": 33}, "config.replicas"),
        ({"auto_scaling": {"min_replicas": 3, "max_replicas": 2}}, "config.auto_scaling.max_replicas"),
        ({"auto_scaling": {"target_cpu_utilization": 101}}, "config.auto_scaling.target_cpu_utilization"),
        ({"inference_config": {"temperature": 2.1}}, "config.inference_config.temperature"),
        ({"inference_config": {"max_tokens": 257}}, "config.inference_config.max_tokens"),
        ({"inference_config": {"stop": ["x"] * 17}}, "config.inference_config.stop"),
    ],
)
def test_what_lies_outside_its_range_is_refused_by_name(house: House, alice: Headers, config: dict[str, Any], field: str) -> None:
    model = keep_model(house, alice)

    assert problem(create(house, alice, model, config=config)) == (422, "VALIDATION_003", field)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"config": {"hardware_spec": {"memory": "lots"}}}, "config.hardware_spec.memory"),
        ({"config": {"hardware_spec": {"memory": 2}}}, "config.hardware_spec.memory"),
        ({"config": {"replicas": "2"}}, "config.replicas"),
        ({"config": {"replicas": 1.5}}, "config.replicas"),
        ({"config": {"auto_scaling": {"enabled": "yes"}}}, "config.auto_scaling.enabled"),
        ({"config": {"inference_config": {"temprature": 1}}}, "config.inference_config.temprature"),
        ({"config": []}, "config"),
        ({"model_id": "x"}, "model_id"),
        ({"name": "a\nb"}, "name"),
    ],
)
def test_what_has_the_wrong_form_is_refused_by_name(house: House, alice: Headers, changes: dict[str, Any], field: str) -> None:
    model = keep_model(house, alice)

    assert problem(create(house, alice, model, **changes)) == (422, "VALIDATION_002", field)


def test_a_gpu_is_asked_for_where_there_is_one(house: House, alice: Headers) -> None:
    house.hardware.hardware = Hardware(cpu_cores=4, memory_bytes=10**10, gpus=("Tesla V100-SXM2-32GB",))
    model = keep_model(house, alice)

    assert create(house, alice, model, config={"hardware_spec": {"gpu_type": "v100", "gpu_count": 1}}).status_code == 201
    answer = create(house, alice, model, name="b", config={"hardware_spec": {"gpu_type": "H100"}})
    assert "Tesla V100-SXM2-32GB" in answer.json["error"]["details"][0]["message"]


def test_a_name_is_taken_once_per_owner_until_its_deployment_is_deleted(house: House, alice: Headers) -> None:
    bob = house.sign_up("bob")
    model = keep_model(house, alice, visibility=Visibility.PUBLIC)
    made = created(house, alice, model)
    house.reconcile()

    assert problem(create(house, alice, model)) == (409, "RESOURCE_002", "name")
    assert create(house, bob, model).status_code == 201
    other = created(house, alice, model, name="other")
    assert problem(house.client.put(f"{ROUTES}/{other['id']}", json={"name": "chat"}, headers=alice))[:2] == (409, "RESOURCE_002")
    assert house.client.put(f"{ROUTES}/{made['id']}", json={"name": "chat"}, headers=alice).status_code == 200
    house.client.delete(f"{ROUTES}/{made['id']}", headers=alice)
    assert create(house, alice, model).status_code == 201


def test_no_more_than_so_many_are_made_an_hour_and_mistakes_cost_nothing(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"limit_deployments": 2, "max_deployments": 10})
    alice = house.sign_up("alice")
    model = keep_model(house, alice)

    for _ in range(3):
        assert create(house, alice, model, model_id=str(uuid4())).status_code == 404
    created(house, alice, model, name="one")
    created(house, alice, model, name="two")
    refused = create(house, alice, model, name="three")

    assert problem(refused)[:2] == (429, "RATE_001")
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    house.clock.advance(timedelta(hours=1, seconds=1))
    created(house, house.sign_in("alice"), model, name="three")


def test_ten_deployments_live_at_once_and_stopped_ones_do_not_count(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"max_deployments": 2})
    alice, admin = house.sign_up("alice"), house.sign_up("admin", role=Role.ADMIN)
    model = keep_model(house, alice, visibility=Visibility.PUBLIC)
    first = created(house, alice, model, name="one")
    created(house, alice, model, name="two")

    assert problem(create(house, alice, model, name="three")) == (429, "RESOURCE_004", "deployments")
    house.client.post(f"{ROUTES}/{first['id']}/stop", headers=alice)
    assert problem(create(house, alice, model, name="three")) == (429, "RESOURCE_004", "deployments")
    house.reconcile()
    created(house, alice, model, name="three")
    assert problem(house.client.post(f"{ROUTES}/{first['id']}/start", headers=alice))[:2] == (429, "RESOURCE_004")
    for name in ("a", "b", "c"):
        created(house, admin, model, name=name)


def test_a_change_sets_what_is_given_and_null_clears(house: House, alice: Headers) -> None:
    config = {
        "hardware_spec": {"cpu_cores": 2, "memory": "2GB"},
        "inference_config": {"temperature": 0.5, "max_tokens": 9},
        "auto_scaling": {"enabled": True, "max_replicas": 3},
    }
    made = created(house, alice, keep_model(house, alice), config=config, description="old")
    changes = {
        "description": None,
        "config": {
            "inference_config": {"temperature": None, "top_p": 0.1},
            "hardware_spec": {"memory": None},
            "auto_scaling": {"max_replicas": 4},
            "replicas": 2,
        },
    }

    data = house.client.put(f"{ROUTES}/{made['id']}", json=changes, headers=alice).json["data"]

    assert data["description"] is None
    assert data["config"]["inference_config"] == {"max_tokens": 9, "top_p": 0.1}
    assert data["config"]["hardware_spec"] == {"gpu_type": None, "gpu_count": None, "cpu_cores": 2, "memory": None}
    assert data["config"]["auto_scaling"] == {"enabled": True, "min_replicas": 1, "max_replicas": 4, "target_cpu_utilization": 70}
    assert (data["config"]["replicas"], data["desired_replicas"]) == (2, 2)
    cleared = {"config": {"inference_config": None, "hardware_spec": None, "auto_scaling": None}}
    again = house.client.patch(f"{ROUTES}/{made['id']}", json=cleared, headers=alice).json["data"]["config"]
    assert (again["inference_config"], again["auto_scaling"]["enabled"], again["hardware_spec"]["cpu_cores"]) == ({}, False, None)


def test_a_change_of_words_alone_leaves_the_replicas_as_they_are(house: House, alice: Headers) -> None:
    made = created(house, alice, keep_model(house, alice))
    house.reconcile()

    changes = {"name": "new", "config": {"inference_config": {"temperature": 0.1}}}
    house.client.put(f"{ROUTES}/{made['id']}", json=changes, headers=alice)
    house.reconcile()

    assert len(house.runtime.started) == 1


def test_another_version_is_rolled_out(house: House, alice: Headers) -> None:
    model = keep_model(house, alice)
    made = created(house, alice, model)
    house.reconcile()
    add_version(house, model, "2.0.0")
    add_version(house, model, "3.0.0", metadata=some_facts(model_format=ModelFormat.PEFT).to_json())

    data = house.client.put(f"{ROUTES}/{made['id']}", json={"model_version": "2.0.0"}, headers=alice).json["data"]
    house.reconcile()

    assert data["model_version"] == "2.0.0"
    assert [spec.model.version for spec in house.runtime.started] == ["1.0.0", "2.0.0"]
    assert house.client.get(f"{ROUTES}/{made['id']}", headers=alice).json["data"]["status"] == "running"
    refused = house.client.put(f"{ROUTES}/{made['id']}", json={"model_version": "3.0.0"}, headers=alice)
    assert problem(refused)[:2] == (422, "MODEL_002")
    unknown = house.client.put(f"{ROUTES}/{made['id']}", json={"model_version": "9"}, headers=alice)
    assert problem(unknown) == (404, "RESOURCE_001", "model_version")


def test_a_deployment_is_stopped_started_and_deleted(house: House, alice: Headers) -> None:
    model = keep_model(house, alice)
    path = f"{ROUTES}/{created(house, alice, model)['id']}"
    house.reconcile()

    assert problem(house.client.post(f"{path}/start", headers=alice))[:2] == (409, "RESOURCE_003")
    assert house.client.post(f"{path}/stop", headers=alice).json["data"]["status"] == "stopping"
    assert house.client.post(f"{path}/stop", headers=alice).status_code == 200
    house.reconcile()
    assert house.client.get(path, headers=alice).json["data"]["status"] == "stopped"
    assert problem(house.client.post(f"{path}/stop", headers=alice))[:2] == (409, "RESOURCE_003")
    started = house.client.post(f"{path}/start", headers=alice).json["data"]
    assert (started["status"], started["run"], started["desired_replicas"]) == ("pending", 2, 1)
    house.reconcile()
    assert house.client.get(path, headers=alice).json["data"]["status"] == "running"
    deleted = house.client.delete(path, headers=alice)
    assert (deleted.status_code, deleted.json["data"]) == (200, None)
    assert house.client.get(path, headers=alice).json["data"]["status"] == "stopping"
    assert house.client.delete(path, headers=alice).status_code == 200
    house.reconcile()

    assert house.client.get(path, headers=alice).status_code == 404
    assert house.runtime.sightings() == {}


def test_a_failed_deployment_is_deleted_at_once(house: House, alice: Headers) -> None:
    made = created(house, alice, keep_model(house, alice))
    with house.database() as work:
        work.deployments.get(UUID(made["id"]), visible_to=house.actor(alice)).fail("no", at=house.clock.now())
    house.reconcile()

    house.client.delete(f"{ROUTES}/{made['id']}", headers=alice)

    assert house.client.get(f"{ROUTES}/{made['id']}", headers=alice).status_code == 404


def test_a_deployment_whose_model_is_gone_does_not_start_again(house: House, alice: Headers) -> None:
    model = keep_model(house, alice)
    path = f"{ROUTES}/{created(house, alice, model)['id']}"
    house.client.post(f"{path}/stop", headers=alice)
    assert problem(house.client.delete(f"/api/v1/models/{model.id}", headers=alice))[:2] == (409, "RESOURCE_003")
    house.reconcile()
    assert house.client.delete(f"/api/v1/models/{model.id}", headers=alice).status_code == 200

    assert problem(house.client.post(f"{path}/start", headers=alice))[:2] == (409, "RESOURCE_003")
    assert house.client.get(path, headers=alice).json["data"]["status"] == "stopped"


def test_the_log_tells_what_happened_in_pages(house: House, alice: Headers) -> None:
    made = created(house, alice, keep_model(house, alice))
    house.reconcile()
    [spec] = house.runtime.started
    house.runtime.write(spec.replica_id, "a word of warning")
    house.reconcile()

    logs = house.client.get(f"{ROUTES}/{made['id']}/logs", headers=alice).json["data"]
    warnings = house.client.get(f"{ROUTES}/{made['id']}/logs?level=warning&page=1&limit=1", headers=alice).json["data"]

    assert [line["message"] for line in logs["logs"]] == [
        "a replica of version 1.0.0 is being started",
        "a replica is ready",
        "a word of warning",
    ]
    assert warnings["pagination"] == {"page": 1, "limit": 1, "total": 1, "pages": 1}
    assert set(warnings["logs"][0]) == {"level", "message", "replica_id", "at"}
    assert house.client.get(f"{ROUTES}/{made['id']}/logs?limit=101", headers=alice).status_code == 422


def test_metrics_add_up_what_was_answered(house: House, alice: Headers) -> None:
    made = created(house, alice, keep_model(house, alice))
    house.reconcile()
    [spec] = house.runtime.started
    entry = {
        "user_id": house.user_id(alice),
        "at": house.clock.now(),
        "kind": "chat",
        "deployment_id": UUID(made["id"]),
        "replica_id": spec.replica_id,
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "latency_seconds": 0.5,
    }
    with house.database() as work:
        work.usage.add(summed([UsageEntry(**entry), UsageEntry(**{**entry, "replica_id": None, "failed": True})]))  # type: ignore[arg-type]

    metrics = house.client.get(f"{ROUTES}/{made['id']}/metrics", headers=alice).json["data"]

    assert (metrics["calls"], metrics["failed_calls"]) == (2, 1)
    assert (metrics["prompt_tokens"], metrics["completion_tokens"], metrics["tokens_per_second"]) == (20, 40, 40.0)
    assert metrics["latency_ms"]["p50"] == pytest.approx(500, rel=0.03)
    assert metrics["latency_ms"].keys() == {"p50", "p95", "p99"}
    [replica] = metrics["replicas"]
    assert (replica["id"], replica["status"], replica["calls"]) == (str(spec.replica_id), "running", 1)


def test_metrics_of_what_was_never_asked_are_empty(house: House, alice: Headers) -> None:
    made = created(house, alice, keep_model(house, alice))

    metrics = house.client.get(f"{ROUTES}/{made['id']}/metrics", headers=alice).json["data"]

    assert (metrics["calls"], metrics["tokens_per_second"], metrics["replicas"]) == (0, None, [])
    assert metrics["latency_ms"] == {"p50": None, "p95": None, "p99": None}


def test_the_list_is_filtered_and_private(house: House, alice: Headers) -> None:
    bob, admin = house.sign_up("bob"), house.sign_up("admin", role=Role.ADMIN)
    model = keep_model(house, alice)
    one, two = created(house, alice, model, name="one"), created(house, alice, model, name="two")
    house.reconcile()
    house.client.post(f"{ROUTES}/{two['id']}/stop", headers=alice)

    def names(headers: Headers, query: str = "") -> list[str]:
        answer = house.client.get(f"{ROUTES}{query}", headers=headers)
        return [deployment["name"] for deployment in answer.json["data"]["deployments"]]

    assert names(alice) == ["two", "one"]
    assert names(alice, "?status=running") == ["one"]
    assert names(alice, f"?model_id={uuid4()}") == []
    assert names(alice, "?search=ON&sort=name&order=asc") == ["one"]
    assert names(bob) == []
    assert names(admin) == ["two", "one"]
    assert house.client.get(f"{ROUTES}/{one['id']}", headers=admin).status_code == 200


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("PUT", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/stop"),
        ("POST", "/start"),
        ("GET", "/status"),
        ("GET", "/metrics"),
        ("GET", "/logs"),
        ("GET", "/logs?limit=x"),
    ],
)
def test_anothers_deployment_cannot_be_told_from_a_missing_one(house: House, alice: Headers, method: str, rest: str) -> None:
    bob = house.sign_up("bob")
    made = created(house, alice, keep_model(house, alice))
    body = {"nonsense": 1} if method in ("PUT", "PATCH") else None

    answers = [house.client.open(f"{ROUTES}/{id_}{rest}", method=method, json=body, headers=bob) for id_ in (made["id"], uuid4())]

    hidden, missing = ({**answer.json, "request_id": "", "timestamp": ""} for answer in answers)
    assert hidden == missing
    assert answers[0].status_code == 404


def test_a_key_needs_the_permission_before_anything_else(house: House, alice: Headers) -> None:
    key = house.key(alice, "deployment:read")
    made = created(house, alice, keep_model(house, alice))

    assert house.client.get(f"{ROUTES}/{made['id']}/status", headers=key).status_code == 200
    assert house.client.post(ROUTES, json={"nonsense": 1}, headers=key).status_code == 403
    assert house.client.put(f"{ROUTES}/{uuid4()}", json={}, headers=key).status_code == 403
    assert house.client.delete(f"{ROUTES}/{made['id']}", headers=key).status_code == 403
    assert house.client.post(f"{ROUTES}/{made['id']}/stop", headers=key).status_code == 403


def test_a_repeated_creation_is_answered_once(house: House, alice: Headers) -> None:
    model = keep_model(house, alice)
    headers = {**alice, "Idempotency-Key": "again"}

    first, second = create(house, headers, model), create(house, headers, model)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json["data"] == second.json["data"]
