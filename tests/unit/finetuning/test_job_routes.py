"""The routes of fine-tuning jobs."""

from typing import Any
from uuid import UUID

import pytest

from maas.application.ports.trainer import TrainingRefused
from maas.domain.identifiers import new_id
from tests.unit.finetuning.conftest import Workshop

JOBS = "/api/v1/finetune/jobs"
Answer = Any


def body_for(workshop: Workshop, **changes: Any) -> dict[str, Any]:
    body = {
        "name": "my job",
        "base_model_id": str(workshop.base.id),
        "dataset_id": str(workshop.dataset.id),
        "algorithm": "lora",
        "hyperparameters": {"batch_size": 4, "num_epochs": 2},
        "config": {"logging_steps": 1, "save_steps": 2},
    }
    return {**body, **changes}


def post(workshop: Workshop, path: str = "", body: Any = None, **options: Any) -> Answer:
    headers = options.pop("headers", workshop.headers)
    given = {} if body is None else {"json": body}
    return workshop.house.client.post(f"{JOBS}{path}", headers=headers, **given, **options)


def get(workshop: Workshop, path: str = "", **options: Any) -> Answer:
    headers = options.pop("headers", workshop.headers)
    return workshop.house.client.get(f"{JOBS}{path}", headers=headers, **options)


def created(workshop: Workshop, **changes: Any) -> dict[str, Any]:
    answer = post(workshop, body=body_for(workshop, **changes))
    assert answer.status_code == 201, answer.json
    job: dict[str, Any] = answer.json["data"]
    return job


def problems(answer: Answer) -> list[tuple[str, str]]:
    return [(detail["field"], detail["code"]) for detail in answer.json["error"]["details"]]


def test_the_example_of_the_specification_is_taken(workshop: Workshop) -> None:
    hyperparameters = {
        "learning_rate": 3e-4,
        "batch_size": 4,
        "num_epochs": 3,
        "warmup_steps": 100,
        "lora_r": 8,
        "lora_alpha": 32,
        "lora_dropout": 0.1,
    }
    config = {"evaluation_strategy": "steps", "eval_steps": 100, "save_steps": 500, "logging_steps": 10}

    answer = post(workshop, body=body_for(workshop, hyperparameters=hyperparameters, config=config))

    job = answer.json["data"]
    assert (answer.status_code, answer.headers["Location"]) == (201, f"{JOBS}/{job['id']}")
    assert job["hyperparameters"] == {
        **hyperparameters,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "max_sequence_length": 1024,
        "seed": 42,
        "dpo_beta": 0.1,
        "target_modules": None,
    }
    assert job["config"] == {**config, "eval_dataset_id": None}
    assert job["base_model_version"] == "1.0.0"
    assert (job["status"], job["percentage"], job["result"], job["result_name"], job["reason"]) == (
        "queued",
        0.0,
        None,
        "my job",
        None,
    )
    assert job["created_at"].endswith("Z")
    assert job["started_at"] is job["finished_at"] is None


def test_only_name_model_and_dataset_are_needed(workshop: Workshop) -> None:
    needed = {name: value for name, value in body_for(workshop).items() if name in ("name", "base_model_id", "dataset_id")}

    job = post(workshop, body=needed).json["data"]

    assert job["algorithm"] == "lora"
    assert job["hyperparameters"]["learning_rate"] == 2e-4
    assert job["config"] == {
        "evaluation_strategy": "no",
        "eval_steps": 100,
        "save_steps": 500,
        "logging_steps": 10,
        "eval_dataset_id": None,
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": None}, ("name", "VALIDATION_002")),
        ({"name": ""}, ("name", "VALIDATION_003")),
        ({"name": "x" * 201}, ("name", "VALIDATION_003")),
        ({"description": "x" * 10_001}, ("description", "VALIDATION_003")),
        ({"algorithm": "magic"}, ("algorithm", "VALIDATION_003")),
        ({"base_model_id": "7"}, ("base_model_id", "VALIDATION_002")),
        ({"dataset_id": 7}, ("dataset_id", "VALIDATION_002")),
        ({"learning_rate": 1e-4}, ("learning_rate", "VALIDATION_002")),
        ({"hyperparameters": []}, ("hyperparameters", "VALIDATION_002")),
        ({"hyperparameters": {"learning_rat": 1e-4}}, ("hyperparameters.learning_rat", "VALIDATION_002")),
        ({"hyperparameters": {"learning_rate": "1e-4"}}, ("hyperparameters.learning_rate", "VALIDATION_002")),
        ({"hyperparameters": {"learning_rate": 0}}, ("hyperparameters.learning_rate", "VALIDATION_003")),
        ({"hyperparameters": {"learning_rate": None}}, ("hyperparameters.learning_rate", "VALIDATION_002")),
        ({"hyperparameters": {"batch_size": 1.5}}, ("hyperparameters.batch_size", "VALIDATION_002")),
        ({"hyperparameters": {"batch_size": True}}, ("hyperparameters.batch_size", "VALIDATION_002")),
        ({"hyperparameters": {"num_epochs": 0}}, ("hyperparameters.num_epochs", "VALIDATION_003")),
        ({"hyperparameters": {"lora_dropout": 1}}, ("hyperparameters.lora_dropout", "VALIDATION_003")),
        ({"hyperparameters": {"target_modules": []}}, ("hyperparameters.target_modules", "VALIDATION_003")),
        ({"hyperparameters": {"target_modules": "q_proj"}}, ("hyperparameters.target_modules", "VALIDATION_002")),
        ({"config": {"save_steps": 0}}, ("config.save_steps", "VALIDATION_003")),
        ({"config": {"evaluation_strategy": "always"}}, ("config.evaluation_strategy", "VALIDATION_003")),
        ({"config": {"eval_dataset_id": "x"}}, ("config.eval_dataset_id", "VALIDATION_002")),
    ],
)
def test_a_wrong_form_is_told_by_field(changes: dict[str, Any], expected: tuple[str, str], workshop: Workshop) -> None:
    answer = post(workshop, body=body_for(workshop, **changes))

    assert answer.status_code == 422
    assert problems(answer) == [expected]
    assert get(workshop).json["data"]["jobs"] == []


def test_a_learning_rate_that_is_no_number_is_refused(workshop: Workshop) -> None:
    for text in ("NaN", "Infinity", "1e999"):
        raw = f'{{"name": "x", "hyperparameters": {{"learning_rate": {text}}}}}'
        answer = post(workshop, data=raw, content_type="application/json")
        assert answer.status_code in (400, 422)


def test_what_does_not_fit_together_is_finetune_001(workshop: Workshop) -> None:
    other = str(workshop.dataset.id)

    answer = post(workshop, body=body_for(workshop, config={"eval_dataset_id": other}))

    assert answer.status_code == 422
    assert answer.json["error"]["code"] == "FINETUNE_001"
    assert answer.json["error"]["type"] == "FINETUNE_ERROR"
    assert problems(answer) == [("config.eval_dataset_id", "FINETUNE_001")]


def test_an_unknown_model_is_404_and_its_id_is_not_repeated(workshop: Workshop) -> None:
    unknown = str(new_id())

    answer = post(workshop, body=body_for(workshop, base_model_id=unknown))

    assert answer.status_code == 404
    assert answer.json["error"]["code"] == "RESOURCE_001"
    assert unknown not in answer.text


def test_messages_are_chinese_by_default(workshop: Workshop) -> None:
    headers = {"Authorization": workshop.headers["Authorization"]}

    answer = post(workshop, body=body_for(workshop, hyperparameters={"learning_rate": 2}), headers=headers)

    assert answer.json["error"]["details"][0]["message"] == "learning_rate 必须是大于 0 且不超过 1 的数"


def test_a_job_is_followed_to_its_end(workshop: Workshop) -> None:
    job = created(workshop)
    workshop.run()

    shown = get(workshop, f"/{job['id']}").json["data"]
    points = get(workshop, f"/{job['id']}/metrics").json["data"]["metrics"]
    later = get(workshop, f"/{job['id']}/metrics?after_step=6").json["data"]["metrics"]
    logs = get(workshop, f"/{job['id']}/logs?page=1&limit=2").json["data"]
    checkpoints = get(workshop, f"/{job['id']}/checkpoints").json["data"]["checkpoints"]

    assert (shown["status"], shown["percentage"], shown["step"], shown["total_steps"]) == ("succeeded", 100.0, 8, 8)
    assert set(shown["result"]) == {"model_id", "version"}
    assert shown["finished_at"] is not None
    assert [point["step"] for point in points] == list(range(1, 9))
    assert set(points[0]) == {
        "step",
        "epoch",
        "loss",
        "eval_loss",
        "learning_rate",
        "grad_norm",
        "tokens_per_second",
        "tokens",
        "at",
    }
    assert [point["step"] for point in later] == [7, 8]
    assert [line["message"] for line in logs["logs"]] == ["preparing run 1", "loading the base model"]
    assert set(logs["logs"][0]) == {"level", "message", "at"}
    assert logs["pagination"]["limit"] == 2
    assert [one["step"] for one in checkpoints] == [2, 4, 6, 8]
    model = workshop.house.client.get(f"/api/v1/models/{shown['result']['model_id']}", headers=workshop.headers).json["data"]
    assert model["lineage"] == {
        "base_model_id": str(workshop.base.id),
        "dataset_id": str(workshop.dataset.id),
        "job_id": job["id"],
    }


def test_a_reserved_model_is_in_no_list(workshop: Workshop) -> None:
    job = created(workshop)
    model_id = workshop.job(UUID(job["id"])).result_model_id

    models = workshop.house.client.get("/api/v1/models", headers=workshop.headers).json["data"]["models"]
    shown = workshop.house.client.get(f"/api/v1/models/{model_id}", headers=workshop.headers)

    assert [model["id"] for model in models] == [str(workshop.base.id)]
    assert shown.status_code == 404


def test_a_failed_job_says_why(workshop: Workshop) -> None:
    workshop.script.refuse = TrainingRefused(code="FINETUNE_001", field="dataset_id", reason="nothing to learn")
    job = created(workshop)
    workshop.run()

    shown = get(workshop, f"/{job['id']}").json["data"]

    assert (shown["status"], shown["reason"], shown["result"]) == ("failed", "nothing to learn", None)


def test_jobs_are_listed_filtered_sorted_and_searched(workshop: Workshop) -> None:
    first, second = created(workshop, name="Alpha"), created(workshop, name="Beta", algorithm="full")
    post(workshop, f"/{first['id']}/cancel")

    def ids(query: str) -> list[str]:
        return [job["id"] for job in get(workshop, f"?{query}").json["data"]["jobs"]]

    assert ids("sort=name&order=asc") == [first["id"], second["id"]]
    assert ids("status=cancelled") == [first["id"]]
    assert ids("algorithm=full") == [second["id"]]
    assert ids("search=ALPH") == [first["id"]]
    assert len(ids(f"base_model_id={workshop.base.id}")) == 2
    assert ids(f"dataset_id={new_id()}") == []
    assert get(workshop, "?status=lost").status_code == 422
    assert get(workshop, "?sort=loss").status_code == 422
    assert get(workshop, "?colour=red").status_code == 422


def test_a_job_is_cancelled_and_restarted_by_its_routes(workshop: Workshop) -> None:
    job = created(workshop)

    cancelled = post(workshop, f"/{job['id']}/cancel")
    again = post(workshop, f"/{job['id']}/cancel")
    restarted = post(workshop, f"/{job['id']}/restart")
    too_early = post(workshop, f"/{job['id']}/restart", {"from_scratch": True})
    post(workshop, f"/{job['id']}/cancel")
    from_scratch = post(workshop, f"/{job['id']}/restart", {"from_scratch": True})

    assert (cancelled.status_code, cancelled.json["data"]["status"]) == (200, "cancelled")
    assert (again.status_code, again.json["error"]["code"]) == (409, "RESOURCE_003")
    assert (restarted.status_code, restarted.json["data"]["status"], restarted.json["data"]["run"]) == (200, "queued", 2)
    assert (restarted.json["data"]["finished_at"], too_early.status_code) == (None, 409)
    assert (from_scratch.status_code, from_scratch.json["data"]["id"]) == (200, job["id"])
    assert post(workshop, f"/{job['id']}/restart", {"from_scrach": True}).status_code == 422


def test_a_job_is_changed_and_deleted(workshop: Workshop) -> None:
    job = created(workshop)
    path = f"{JOBS}/{job['id']}"
    client, headers = workshop.house.client, workshop.headers

    changed = client.put(path, headers=headers, json={"description": "why"})
    wrong = client.put(path, headers=headers, json={"algorithm": "full"})
    early = client.delete(path, headers=headers)
    post(workshop, f"/{job['id']}/cancel")
    deleted = client.delete(path, headers=headers)

    assert (changed.json["data"]["name"], changed.json["data"]["description"]) == ("my job", "why")
    assert wrong.status_code == 422
    assert early.status_code == 409
    assert deleted.status_code == 200
    assert get(workshop, f"/{job['id']}").status_code == 404


ROUTES = [
    ("GET", ""),
    ("PUT", ""),
    ("DELETE", ""),
    ("GET", "/metrics"),
    ("GET", "/metrics?after_step=x"),
    ("GET", "/logs"),
    ("GET", "/checkpoints"),
    ("POST", "/cancel"),
    ("POST", "/restart"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_anothers_job_cannot_be_told_from_one_that_is_missing(method: str, path: str, workshop: Workshop) -> None:
    job = created(workshop)
    bob = workshop.house.sign_up("bob")

    def answer(job_id: object) -> Answer:
        given = {"json": {"nonsense": 1}} if method in ("PUT", "POST") and path != "/cancel" else {}
        return workshop.house.client.open(f"{JOBS}/{job_id}{path}", method=method, headers=bob, **given)

    hidden, missing = answer(job["id"]), answer(new_id())

    assert hidden.status_code == missing.status_code == 404
    assert hidden.json["error"] == missing.json["error"]
    assert workshop.house.client.open(f"{JOBS}/{job['id']}{path}", method=method).status_code == 401


def test_a_key_does_what_its_permissions_say(workshop: Workshop) -> None:
    job = created(workshop)
    reader = workshop.house.key(workshop.headers, "finetune:read")
    maker = workshop.house.key(workshop.headers, "finetune:create")

    assert get(workshop, f"/{job['id']}", headers=reader).status_code == 200
    assert post(workshop, body={}, headers=reader).status_code == 403
    assert post(workshop, f"/{job['id']}/cancel", headers=reader).status_code == 403
    assert get(workshop, headers=maker).status_code == 403
    assert post(workshop, body=body_for(workshop), headers=maker).status_code == 201


def test_the_same_key_makes_one_job(workshop: Workshop) -> None:
    headers = {**workshop.headers, "Idempotency-Key": "once"}

    first = post(workshop, body=body_for(workshop), headers=headers)
    second = post(workshop, body=body_for(workshop), headers=headers)

    assert first.json["data"]["id"] == second.json["data"]["id"]
    assert get(workshop).json["data"]["pagination"]["total"] == 1


def test_the_api_document_tells_every_parameter_with_default_and_range(workshop: Workshop) -> None:
    document = workshop.house.client.get("/openapi.json").json
    schemas = document["components"]["schemas"]

    for name in ("HyperparametersForm", "ConfigForm"):
        for parameter, shown in schemas[name]["properties"].items():
            described = shown.get("description") or shown["allOf"][0]
            assert "efault" in described, parameter
    rate = schemas["HyperparametersForm"]["properties"]["learning_rate"]
    assert (rate["minimum"], rate["exclusiveMinimum"], rate["maximum"]) == (0.0, True, 1.0)
