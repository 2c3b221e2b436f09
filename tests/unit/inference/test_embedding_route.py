"""Embedding over HTTP."""

from typing import Any

import pytest

from maas.domain.errors import InferenceTimeout
from tests.house import House
from tests.unit.inference.conftest import ENGINE, Deploy, Headers, an_embedding_deployment


def embed(house: House, headers: Headers, deployment: Any, texts: Any) -> Any:
    sent = {"deployment_id": str(deployment.id), "texts": texts}
    return house.client.post("/api/v1/inference/embedding", json=sent, headers=headers)


def test_each_text_has_a_vector_in_order(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = an_embedding_deployment(deploy, name="words")

    data = embed(house, alice, deployment, ["one", "two three", "one"]).json["data"]

    assert data["model"] == "words"
    assert data["usage"] == {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4}
    assert data["embeddings"][0] == data["embeddings"][2] != data["embeddings"][1]


@pytest.mark.parametrize(
    ("texts", "field"), [([], "texts"), (["a", ""], "texts.1"), ([1], "texts.0"), ("a", "texts"), (["a"] * 2049, "texts")]
)
def test_texts_of_wrong_form_are_refused(house: House, alice: Headers, deploy: Deploy, texts: Any, field: str) -> None:
    answer = embed(house, alice, an_embedding_deployment(deploy), texts)

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (422, field)


def test_a_text_that_does_not_fit_is_refused_and_never_cut(house: House, alice: Headers, deploy: Deploy) -> None:
    house.embedder.context = 2

    answer = embed(house, alice, an_embedding_deployment(deploy), ["one two three"])

    assert (answer.status_code, answer.json["error"]["code"]) == (422, "VALIDATION_003")


def test_a_language_model_makes_no_embeddings(house: House, alice: Headers, deploy: Deploy) -> None:
    answer = embed(house, alice, deploy(), ["one"])

    assert (answer.status_code, answer.json["error"]["code"]) == (422, "MODEL_002")


def test_a_call_is_metered_once_and_a_failed_one_as_failed(house: House, alice: Headers, deploy: Deploy) -> None:
    deployment = an_embedding_deployment(deploy)
    embed(house, alice, deployment, ["one two"])
    house.embedder.failures[ENGINE] = InferenceTimeout("the engine took too long to answer")

    failed = embed(house, alice, deployment, ["one two"])

    assert failed.status_code == 504
    entries = [entry for entry in house.usage_journal.entries if entry.kind != "call"]
    assert [(entry.kind, entry.prompt_tokens, entry.failed) for entry in entries] == [
        ("embedding", 2, False),
        ("embedding", 0, True),
    ]
