"""OpenAI's routes, by their raw answers."""

import base64
import json
import struct
from typing import Any

import pytest

from maas.adapters.text_generator.scripted import EngineScript
from maas.domain.errors import EngineLost, InferenceUnavailable
from maas.domain.inference.conversation import ChatRequest, CompletionRequest, MessageRole
from maas.domain.serving.deployment import DeploymentStatus
from tests.house import House
from tests.unit.inference.conftest import ENGINE, Deploy, Headers, an_embedding_deployment

HELLO = [{"role": "user", "content": "one two three"}]


def post(house: House, headers: Headers, path: str, **body: Any) -> Any:
    return house.client.post(f"/v1/{path}", json=body, headers=headers)


def chunks(answer: Any) -> list[Any]:
    assert answer.status_code == 200, answer.json
    blocks = [block.removeprefix("data: ") for block in answer.get_data(as_text=True).split("\n\n") if block]
    assert blocks[-1] == "[DONE]"
    return [json.loads(block) for block in blocks[:-1]]


def test_models_are_the_callers_live_deployments(house: House, alice: Headers, deploy: Deploy) -> None:
    deploy(name="mine")
    deploy(name="stopped", status=DeploymentStatus.STOPPED)
    deploy(name="another's", owner_id=house.user_id(house.sign_up("bob")))

    answer = house.client.get("/v1/models", headers=alice)

    assert answer.json["object"] == "list"
    assert [model["id"] for model in answer.json["data"]] == ["mine"]
    assert answer.json["data"][0]["object"] == "model"
    assert house.client.get("/v1/models/mine", headers=alice).json["id"] == "mine"


def test_a_model_is_named_by_name_or_id(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy(name="a name/with a slash")

    for model in (deployment.name, str(deployment.id)):
        answer = post(house, alice, "chat/completions", model=model, messages=HELLO)
        assert answer.json["model"] == deployment.name


def test_a_conversation_is_answered_by_a_bare_object(house: House, alice: Headers, deploy: Deploy) -> None:
    answer = post(house, alice, "chat/completions", model=deploy().name, messages=HELLO, user="me", tools=[], unknown=1)

    body = answer.json
    assert (body["object"], body["id"][:9]) == ("chat.completion", "chatcmpl-")
    message = {"role": "assistant", "content": "one two three", "refusal": None}
    assert body["choices"] == [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


def test_a_stream_tells_the_role_first_and_the_usage_where_it_is_asked_for(house: House, alice: Headers, deploy: Deploy) -> None:
    options = {"include_usage": True}
    told = chunks(
        post(house, alice, "chat/completions", model=deploy().name, messages=HELLO, stream=True, stream_options=options)
    )

    assert {chunk["object"] for chunk in told} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in told}) == 1
    assert [chunk["choices"][0]["delta"] for chunk in told[:-1]] == [
        {"role": "assistant", "content": "one"},
        {"content": " two"},
        {"content": " three"},
        {},
    ]
    assert told[-2]["choices"][0]["finish_reason"] == "stop"
    assert [chunk["usage"] for chunk in told[:-1]] == [None] * 4
    assert (told[-1]["choices"], told[-1]["usage"]["total_tokens"]) == ([], 7)


def test_without_stream_options_no_chunk_has_usage(house: House, alice: Headers, deploy: Deploy) -> None:
    told = chunks(post(house, alice, "chat/completions", model=deploy().name, messages=HELLO, stream=True))

    assert all("usage" not in chunk and chunk["choices"] for chunk in told)


def test_a_deployments_own_stream_default_does_not_hold_here(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = deploy(inference_config={"stream": True})

    assert post(house, alice, "chat/completions", model=deployment.name, messages=HELLO).json["object"] == "chat.completion"


def test_messages_may_have_parts_and_other_names_of_roles(house: House, alice: Headers, deploy: Deploy) -> None:
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "kind"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "user", "content": "hello", "name": "al"},
    ]

    post(house, alice, "chat/completions", model=deploy().name, messages=messages)

    request = house.writer.asked[0].request
    assert isinstance(request, ChatRequest)
    assert [(message.role, message.content) for message in request.messages] == [
        (MessageRole.SYSTEM, "be kind"),
        (MessageRole.ASSISTANT, ""),
        (MessageRole.USER, "hello"),
    ]


def test_max_completion_tokens_goes_before_max_tokens_and_seeds_may_be_negative(
    house: House, alice: Headers, deploy: Deploy
) -> None:
    values = {"max_tokens": 2, "max_completion_tokens": 1, "seed": -1, "temperature": None, "stop": None}
    post(house, alice, "chat/completions", model=deploy().name, messages=HELLO, **values)

    parameters = house.writer.asked[0].request.parameters
    assert (parameters.max_tokens, parameters.seed, parameters.stop) == (1, 2**63 - 1, ())


def test_a_text_is_gone_on_with(house: House, alice: Headers, deploy: Deploy) -> None:
    body = post(house, alice, "completions", model=deploy().name, prompt="one two", logprobs=1).json

    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "one two")
    assert body["choices"][0]["logprobs"] == {
        "tokens": ["one", " two"],
        "token_logprobs": [0.0, 0.0],
        "top_logprobs": [{"one": 0.0}, {" two": 0.0}],
        "text_offset": [0, 3],
    }


def test_a_streamed_text_has_its_pieces_as_text(house: House, alice: Headers, deploy: Deploy) -> None:
    told = chunks(post(house, alice, "completions", model=deploy().name, prompt="one two", stream=True))

    assert [(chunk["choices"][0]["text"], chunk["choices"][0]["finish_reason"]) for chunk in told] == [
        ("one", None),
        (" two", "stop"),
    ]


def test_prompts_may_be_tokens(house: House, alice: Headers, deploy: Deploy) -> None:
    post(house, alice, "completions", model=deploy().name, prompt=[5, 6])

    request = house.writer.asked[0].request
    assert isinstance(request, CompletionRequest)
    assert request.prompt == (5, 6)


def test_several_prompts_and_choices_are_one_call(house: House, alice: Headers, deploy: Deploy) -> None:
    body = post(house, alice, "completions", model=deploy().name, prompt=["one", "two three"], n=2, seed=4).json

    assert [(choice["index"], choice["text"]) for choice in body["choices"]] == [
        (0, "one"),
        (1, "one"),
        (2, "two three"),
        (3, "two three"),
    ]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}
    assert sorted(asked.request.parameters.seed or 0 for asked in house.writer.asked) == [4, 4, 5, 5]
    entries = [entry for entry in house.usage_journal.entries if entry.kind != "call"]
    assert [(entry.prompt_tokens, entry.completion_tokens) for entry in entries] == [(3, 6)]


def test_several_choices_stream_side_by_side(house: House, alice: Headers, deploy: Deploy) -> None:
    told = chunks(post(house, alice, "chat/completions", model=deploy().name, messages=HELLO, n=3, stream=True))

    for number in range(3):
        own = [chunk["choices"][0] for chunk in told if chunk["choices"][0]["index"] == number]
        assert "".join(choice["delta"].get("content", "") for choice in own) == "one two three"
        assert own[0]["delta"]["role"] == "assistant"
        assert own[-1]["finish_reason"] == "stop"


def test_too_many_choices_are_refused(house: House, alice: Headers, deploy: Deploy) -> None:
    name = deploy().name

    assert post(house, alice, "chat/completions", model=name, messages=HELLO, n=17).status_code == 422
    assert post(house, alice, "completions", model=name, prompt=["x"] * 9, n=2).json["error"]["param"] == "n"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": HELLO}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": HELLO, "temperature": "hot"}, "temperature"),
        ({"model": "m", "messages": HELLO, "temperature": 3}, "temperature"),
        ({"model": "m", "messages": HELLO, "max_tokens": 10**6}, "max_tokens"),
        ({"model": "m", "messages": [{"role": "x", "content": "y"}]}, "messages.0.role"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
    ],
)
def test_errors_have_openais_shape(house: House, alice: Headers, deploy: Deploy, body: dict[str, Any], param: str) -> None:
    deploy(name="m")

    answer = house.client.post("/v1/chat/completions", json=body, headers=alice)

    assert answer.status_code == 422
    error = answer.json["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"].isascii()


def test_unknown_models_and_those_of_others_are_told_alike(house: House, alice: Headers, deploy: Deploy) -> None:
    hidden = deploy(name="hidden", owner_id=house.user_id(house.sign_up("bob")))

    answers = [post(house, alice, "chat/completions", model=one, messages=HELLO) for one in ("none", "hidden", str(hidden.id))]

    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].json == answers[1].json == answers[2].json


def test_an_error_in_the_midst_is_a_chunk_in_openais_shape(house: House, alice: Headers, deploy: Deploy) -> None:
    house.writer.scripts[ENGINE] = EngineScript(failure=EngineLost("the engine went away while it answered"), fails_after=1)

    told = chunks(post(house, alice, "chat/completions", model=deploy().name, messages=HELLO, stream=True))

    assert told[-1]["error"]["type"] == "server_error"


def test_an_error_before_the_first_byte_has_its_status(house: House, alice: Headers, deploy: Deploy) -> None:
    busy = InferenceUnavailable(
        "the deployment is busy; try again in {retry_after} seconds", retry_after_seconds=3, retry_after=3
    )
    house.writer.scripts[ENGINE] = EngineScript(failure=busy)

    answer = post(house, alice, "chat/completions", model=deploy().name, messages=HELLO, stream=True)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")


def test_embeddings_come_as_numbers_or_as_base64(house: House, alice: Headers, deploy: Deploy) -> None:
    name = an_embedding_deployment(deploy).name

    plain = post(house, alice, "embeddings", model=name, input="one two").json
    packed = post(house, alice, "embeddings", model=name, input=["one two"], encoding_format="base64").json

    vector = plain["data"][0]["embedding"]
    assert len(vector) == 64
    assert struct.unpack("<64f", base64.b64decode(packed["data"][0]["embedding"])) == pytest.approx(vector)
    assert plain["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def test_embeddings_take_no_tokens_and_no_other_dimension(house: House, alice: Headers, deploy: Deploy) -> None:
    name = an_embedding_deployment(deploy).name

    assert post(house, alice, "embeddings", model=name, input=[[1, 2]]).json["error"]["param"] == "input"
    assert post(house, alice, "embeddings", model=name, input="x", dimensions=3).json["error"]["param"] == "dimensions"
    assert post(house, alice, "embeddings", model=name, input=["x", ""]).json["error"]["param"] == "input.1"
