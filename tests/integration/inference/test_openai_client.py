"""The official `openai` package against the platform: a real server, real engines, an API key."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from tests.integration.engine.engines import running_engine
from tests.integration.engine.models import make_encoder
from tests.integration.inference.served import Served, served
from tests.integration.trainer.tiny import make_base

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@dataclass(frozen=True)
class Parts:
    """A platform with a language model `bot` and an embedding model `vectors`, and a client of it."""

    api: Served
    client: openai.OpenAI


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("models")
    encoder = make_encoder(folder / "encoder")
    with (
        running_engine(make_base(folder / "base")) as text,
        running_engine(encoder, task="feature-extraction") as vectors,
        served(folder / "data") as api,
    ):
        api.deploy(text.url, name="bot")
        api.deploy(vectors.url, name="vectors", task="feature-extraction", can_chat=False, context_length=64)
        with openai.OpenAI(base_url=f"{api.url}/v1", api_key=api.key, max_retries=0) as client:
            yield Parts(api, client)


HELLO: Any = [{"role": "user", "content": "北京 number 1?"}]


def test_models_are_listed_and_found(parts: Parts) -> None:
    assert {model.id for model in parts.client.models.list()} == {"bot", "vectors"}
    assert parts.client.models.retrieve("bot").id == "bot"


def test_a_conversation_is_answered(parts: Parts) -> None:
    answer = parts.client.chat.completions.create(
        model="bot", messages=HELLO, max_tokens=8, temperature=0, logprobs=True, top_logprobs=2, user="me"
    )

    choice = answer.choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.content
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert [len(one.top_logprobs) for one in choice.logprobs.content] == [2] * 8
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


def test_a_stream_gives_the_very_answer(parts: Parts) -> None:
    plain = parts.client.chat.completions.create(model="bot", messages=HELLO, max_tokens=8, temperature=0)
    chunks = list(
        parts.client.chat.completions.create(
            model="bot", messages=HELLO, max_tokens=8, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == plain.choices[0].message.content
    assert chunks[-1].usage == plain.usage
    assert chunks[-2].choices[0].finish_reason == "length"


def test_several_choices_come_at_once(parts: Parts) -> None:
    answer = parts.client.chat.completions.create(model="bot", messages=HELLO, max_tokens=6, n=3, seed=7, temperature=1.5)

    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    assert answer.usage is not None
    assert 6 < answer.usage.completion_tokens <= 18


def test_texts_and_tokens_are_gone_on_with(parts: Parts) -> None:
    answer = parts.client.completions.create(model="bot", prompt=["北京", "上海"], max_tokens=4, temperature=0, logprobs=1)
    by_tokens = parts.client.completions.create(model="bot", prompt=[5, 6, 7], max_tokens=4, temperature=0)

    assert len(answer.choices) == 2
    assert answer.choices[0].logprobs is not None
    assert len(answer.choices[0].logprobs.tokens or []) == 4
    assert by_tokens.usage is not None
    assert by_tokens.usage.prompt_tokens == 3


def test_embeddings_are_the_same_in_either_encoding(parts: Parts) -> None:
    packed = parts.client.embeddings.create(model="vectors", input=["one two", "three"])
    plain = parts.client.embeddings.create(model="vectors", input=["one two", "three"], encoding_format="float")

    assert len(packed.data) == 2
    for ours, theirs in zip(packed.data, plain.data, strict=True):
        assert ours.embedding == pytest.approx(theirs.embedding, abs=1e-6)
        assert math.isclose(sum(value * value for value in theirs.embedding), 1, rel_tol=1e-3)
    assert packed.usage.prompt_tokens == plain.usage.prompt_tokens > 0


def test_a_text_that_does_not_fit_is_not_cut(parts: Parts) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        parts.client.embeddings.create(model="vectors", input="one " * 3000)

    assert refused.value.code == "VALIDATION_003"


def test_errors_are_those_that_the_client_knows(parts: Parts) -> None:
    client = parts.client
    parts.api.deploy(name="asleep")

    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=HELLO)
    with pytest.raises(openai.UnprocessableEntityError) as too_long:
        client.chat.completions.create(model="bot", messages=[{"role": "user", "content": "北京 " * 400}])
    with pytest.raises(openai.InternalServerError) as asleep:
        client.chat.completions.create(model="asleep", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="maas_wrong").models.list()

    assert (too_long.value.param, too_long.value.code) == ("messages", "VALIDATION_003")
    assert asleep.value.status_code == 503
    assert asleep.value.response.headers["Retry-After"]


async def _streamed(parts: Parts) -> str:
    async with openai.AsyncOpenAI(base_url=f"{parts.api.url}/v1", api_key=parts.api.key) as client:
        stream = await client.chat.completions.create(model="bot", messages=HELLO, max_tokens=5, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def test_the_asynchronous_client_works_too(parts: Parts) -> None:
    assert asyncio.run(_streamed(parts))


def test_a_client_that_stops_reading_is_charged_what_was_written(parts: Parts) -> None:
    stream = parts.client.chat.completions.create(model="bot", messages=HELLO, max_tokens=200, stream=True)
    for _chunk in stream:
        break
    stream.close()

    assert parts.client.chat.completions.create(model="bot", messages=HELLO, max_tokens=1).choices
