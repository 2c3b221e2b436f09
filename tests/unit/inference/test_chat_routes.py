"""Chat and completion over HTTP."""

import json
from typing import Any

import pytest

from maas.adapters.text_generator.scripted import EngineScript
from maas.domain.errors import EngineLost, InferenceFailed, InferenceTimeout, InferenceUnavailable
from maas.domain.serving.deployment import Deployment, DeploymentStatus
from maas.domain.usage import UsageEntry
from tests.house import House
from tests.unit.inference.conftest import ENGINE, Deploy, Headers, an_embedding_deployment


def chat(house: House, headers: Headers, deployment: Deployment | str, **body: Any) -> Any:
    identity = deployment if isinstance(deployment, str) else str(deployment.id)
    sent = {"deployment_id": identity, "messages": [{"role": "user", "content": "one two three"}], **body}
    return house.client.post("/api/v1/inference/chat", json=sent, headers=headers)


def complete(house: House, headers: Headers, deployment: Deployment, **body: Any) -> Any:
    sent = {"deployment_id": str(deployment.id), "prompt": "one two three", **body}
    return house.client.post("/api/v1/inference/completion", json=sent, headers=headers)


def events(answer: Any) -> list[Any]:
    blocks = [block for block in answer.get_data(as_text=True).split("\n\n") if block.startswith("data: ")]
    assert blocks[-1] == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]


def inferences(house: House) -> list[UsageEntry]:
    return [entry for entry in house.usage_journal.entries if entry.kind != "call"]


def script(house: House, **behaviour: Any) -> None:
    house.writer.scripts[ENGINE] = EngineScript(**behaviour)


def test_a_conversation_is_answered_whole(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy(name="my model")

    answer = chat(house, alice, deployment)

    assert answer.status_code == 200
    data = answer.json["data"]
    assert data["model"] == "my model"
    assert data["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "one two three"}, "finish_reason": "stop"}
    ]
    assert data["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


def test_a_text_is_gone_on_with(house: House, alice: Headers, deploy: Deploy) -> None:
    answer = complete(house, alice, deploy())

    assert answer.json["data"]["choices"] == [{"index": 0, "text": "one two three", "finish_reason": "stop"}]


def test_a_streamed_answer_comes_in_chunks_of_one_id(house: House, alice: Headers, deploy: Deploy) -> None:
    answer = chat(house, alice, deploy(), parameters={"stream": True})

    chunks = events(answer)
    assert answer.content_type.startswith("text/event-stream")
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-cache", "no")
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == ["one", " two", " three", None]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


def test_a_streamed_text_has_its_pieces_in_both_forms(house: House, alice: Headers, deploy: Deploy) -> None:
    first = events(complete(house, alice, deploy(), parameters={"stream": True}))[0]["choices"][0]

    assert (first["text"], first["delta"]) == ("one", {"content": "one"})


def test_parameters_go_before_the_defaults_of_the_deployment(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy(inference_config={"max_tokens": 1, "temperature": 0.5, "stream": True})

    answer = chat(house, alice, deployment, parameters={"max_tokens": 2, "stream": False, "top_p": None})

    assert answer.json["data"]["choices"][0]["finish_reason"] == "length"
    parameters = house.writer.asked[0].request.parameters
    assert (parameters.max_tokens, parameters.temperature, parameters.top_p) == (2, 0.5, None)


def test_a_deployment_may_stream_by_default(house: House, alice: Headers, deploy: Deploy) -> None:
    assert len(events(chat(house, alice, deploy(inference_config={"stream": True})))) == 4


def test_log_probabilities_are_told_where_they_are_asked_for(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy()
    parameters = {"logprobs": True, "top_logprobs": 1, "max_tokens": 1}

    whole = chat(house, alice, deployment, parameters=parameters).json["data"]["choices"][0]["logprobs"]
    streamed = events(chat(house, alice, deployment, parameters={**parameters, "stream": True}))

    told = {"token": "one", "logprob": 0.0, "bytes": [111, 110, 101]}
    assert whole == {"content": [{**told, "top_logprobs": [told]}]}
    assert streamed[0]["choices"][0]["logprobs"] == whole


def test_stop_may_be_one_text(house: House, alice: Headers, deploy: Deploy) -> None:
    answer = chat(house, alice, deploy(), parameters={"stop": " two"})

    assert answer.json["data"]["choices"][0]["message"]["content"] == "one"


@pytest.mark.parametrize(
    ("parameters", "field", "code"),
    [
        ({"temperature": 2.1}, "parameters.temperature", "VALIDATION_003"),
        ({"top_p": -0.1}, "parameters.top_p", "VALIDATION_003"),
        ({"max_tokens": 0}, "parameters.max_tokens", "VALIDATION_003"),
        ({"max_tokens": 10**9}, "parameters.max_tokens", "VALIDATION_003"),
        ({"max_tokens": "5"}, "parameters.max_tokens", "VALIDATION_002"),
        ({"max_tokens": 1.5}, "parameters.max_tokens", "VALIDATION_002"),
        ({"stream": 1}, "parameters.stream", "VALIDATION_002"),
        ({"stop": 5}, "parameters.stop", "VALIDATION_002"),
        ({"stop": [""]}, "parameters.stop", "VALIDATION_003"),
        ({"tempersture": 1}, "parameters.tempersture", "VALIDATION_002"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(
    house: House, alice: Headers, deploy: Deploy, parameters: dict[str, Any], field: str, code: str
) -> None:
    answer = chat(house, alice, deploy(), parameters=parameters)

    assert answer.status_code == 422
    assert [(detail["field"], detail["code"]) for detail in answer.json["error"]["details"]] == [(field, code)]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        ([{"role": "robot", "content": "x"}], "messages.0.role"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "user", "content": ["x"]}], "messages.0.content"),
        ([{"role": "user", "content": "x", "name": "y"}], "messages.0.name"),
        ("hello", "messages"),
        ([{"role": "user", "content": "x"}] * 2049, "messages"),
    ],
)
def test_messages_of_wrong_form_are_refused(house: House, alice: Headers, deploy: Deploy, messages: Any, field: str) -> None:
    answer = chat(house, alice, deploy(), messages=messages)

    assert answer.status_code == 422
    assert answer.json["error"]["details"][0]["field"] == field


def test_a_prompt_that_does_not_fit_is_refused_and_never_cut(house: House, alice: Headers, deploy: Deploy) -> None:
    house.writer.context = 3

    answer = chat(house, alice, deploy(), parameters={"stream": True})

    assert answer.status_code == 422
    assert answer.json["error"]["code"] == "VALIDATION_003"
    assert answer.json["error"]["details"][0]["field"] == "messages"
    assert inferences(house) == []


def test_what_is_not_there_and_what_is_anothers_are_told_alike(house: House, alice: Headers, deploy: Deploy) -> None:
    hidden = deploy(owner_id=house.user_id(house.sign_up("bob")))

    answers = [chat(house, alice, one) for one in (hidden, "01900000-0000-7000-8000-000000000001")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json["error"] == answers[1].json["error"]


def test_a_wrong_form_is_told_before_an_id_that_is_not_there(house: House, alice: Headers, deploy: Deploy) -> None:
    assert chat(house, alice, "01900000-0000-7000-8000-000000000001", messages=[1]).status_code == 422


def test_an_embedding_model_cannot_chat_or_write(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = an_embedding_deployment(deploy)

    answers = [chat(house, alice, deployment), complete(house, alice, deployment)]

    assert [(answer.status_code, answer.json["error"]["code"]) for answer in answers] == [(422, "MODEL_002")] * 2


def test_a_key_needs_the_permission_before_anything_else(house: House, alice: Headers, deploy: Deploy) -> None:
    key = house.key(alice, "inference:read")

    assert chat(house, key, "nonsense").status_code == 403
    assert chat(house, house.key(alice, "inference:create"), deploy()).status_code == 200


@pytest.mark.parametrize("status", [DeploymentStatus.PENDING, DeploymentStatus.STOPPED, DeploymentStatus.STOPPING])
def test_a_deployment_that_is_not_ready_says_when_to_come_again(
    house: House, alice: Headers, deploy: Deploy, status: DeploymentStatus
) -> None:
    answer = chat(house, alice, deploy(status=status))

    assert (answer.status_code, answer.json["error"]["code"]) == (503, "INFERENCE_001")
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    assert status.value in answer.json["error"]["message"]


def test_a_deployment_that_failed_tells_why(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy(status=DeploymentStatus.FAILED)
    with house.database() as work:
        found = work.deployments.find(deployment.id)
        assert found is not None
        found.reason = "the weights are torn"

    answer = chat(house, alice, deployment)

    assert (answer.status_code, answer.json["error"]["code"]) == (503, "MODEL_001")
    assert "the weights are torn" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (InferenceFailed("the engine failed to answer"), 502),
        (EngineLost("the engine went away while it answered"), 502),
        (InferenceTimeout("the engine took too long to answer"), 504),
        (InferenceUnavailable("no engine of the deployment can be reached; try again in a moment", retry_after_seconds=7), 503),
    ],
)
def test_a_failing_engine_has_its_status_before_the_first_byte(
    house: House, alice: Headers, deploy: Deploy, failure: InferenceFailed, status: int
) -> None:
    script(house, failure=failure)

    answer = chat(house, alice, deploy(), parameters={"stream": True})

    assert (answer.status_code, answer.json["error"]["code"]) == (status, "INFERENCE_001")
    assert ("Retry-After" in answer.headers) is (status == 503)


def test_an_engine_that_fails_in_the_midst_ends_the_stream_with_an_error(house: House, alice: Headers, deploy: Deploy) -> None:
    script(house, failure=EngineLost("the engine went away while it answered"), fails_after=2)

    chunks = events(chat(house, alice, deploy(), parameters={"stream": True}))

    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks[:-1]] == ["one", " two"]
    assert chunks[-1]["error"]["code"] == "INFERENCE_001"
    (entry,) = inferences(house)
    assert (entry.failed, entry.completion_tokens) == (True, 2)


def test_a_whole_answer_whose_engine_failed_is_an_error(house: House, alice: Headers, deploy: Deploy) -> None:
    script(house, failure=EngineLost("the engine went away while it answered"), fails_after=2)

    assert chat(house, alice, deploy()).status_code == 502


def test_each_answered_call_is_metered_once(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy()

    events(chat(house, alice, deployment, parameters={"stream": True}))
    complete(house, alice, deployment)

    entries = inferences(house)
    told = [(entry.kind, entry.prompt_tokens, entry.completion_tokens) for entry in entries]
    assert told == [("chat", 4, 3), ("completion", 3, 3)]
    assert {(entry.user_id, entry.deployment_id) for entry in entries} == {(house.user_id(alice), deployment.id)}


def test_refused_calls_use_nothing(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy()
    script(house, failure=InferenceUnavailable("the deployment is busy; try again in {retry_after} seconds", retry_after=2))

    chat(house, alice, deployment)
    chat(house, alice, deployment, parameters={"max_tokens": 10**9})

    assert inferences(house) == []


def test_messages_of_errors_are_chinese_unless_english_is_asked_for(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy(status=DeploymentStatus.PENDING)

    english = chat(house, alice, deployment).json["message"]
    chinese = chat(house, {**alice, "Accept-Language": "zh"}, deployment).json["message"]

    assert english.isascii()
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
