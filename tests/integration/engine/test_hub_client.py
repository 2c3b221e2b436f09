"""The official clients of Hugging Face and OpenAI speak to the engine as to TGI and to OpenAI."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ChatCompletionInputStreamOptions, InferenceClient
from huggingface_hub.errors import HfHubHTTPError, ValidationError
from openai import OpenAI

from tests.integration.engine.conftest import SCRIPT
from tests.integration.engine.engines import RunningEngine, running_engine
from tests.integration.engine.models import SENTENCES, make_encoder

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def encoder(models: Path) -> Iterator[RunningEngine]:
    with running_engine(make_encoder(models / "hub-encoder"), task="feature-extraction") as running:
        yield running


@pytest.fixture
def client(reciter: RunningEngine) -> InferenceClient:
    return InferenceClient(reciter.url)


class TestHub:
    def test_text_generation(self, client: InferenceClient) -> None:
        assert client.text_generation("a", max_new_tokens=200) == SCRIPT

    def test_text_generation_with_details(self, client: InferenceClient) -> None:
        answer = client.text_generation("a", max_new_tokens=200, details=True, stop=["42", "here"], top_n_tokens=2)

        assert answer.generated_text == SCRIPT.split("here")[0]
        assert answer.details is not None
        assert answer.details.finish_reason == "stop_sequence"
        assert len(answer.details.tokens) == answer.details.generated_tokens

    def test_text_generation_as_a_stream(self, client: InferenceClient) -> None:
        parts = list(client.text_generation("a", max_new_tokens=200, stream=True))
        detailed = list(client.text_generation("a", max_new_tokens=200, stream=True, details=True))

        assert "".join(parts) == SCRIPT
        assert detailed[-1].details is not None
        assert detailed[-1].details.generated_tokens == len(detailed)
        assert detailed[-1].generated_text == SCRIPT

    def test_chat(self, client: InferenceClient) -> None:
        answer = client.chat_completion([{"role": "user", "content": "hi"}], max_tokens=3, logprobs=True, top_logprobs=2)

        assert answer.usage.completion_tokens == 3
        assert answer.choices[0].finish_reason == "length"
        assert answer.choices[0].logprobs is not None
        assert len(answer.choices[0].logprobs.content) == 3

    def test_chat_as_a_stream(self, client: InferenceClient) -> None:
        whole = client.chat_completion([{"role": "user", "content": "hi"}], max_tokens=9, temperature=0)
        options = ChatCompletionInputStreamOptions(include_usage=True)
        chunks = list(
            client.chat_completion(
                [{"role": "user", "content": "hi"}], max_tokens=9, temperature=0, stream=True, stream_options=options
            )
        )

        assert (
            "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole.choices[0].message.content
        )
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 9

    def test_refusals_arrive_as_the_clients_own_errors(self, client: InferenceClient) -> None:
        with pytest.raises(ValidationError, match="max_new_tokens"):
            client.text_generation("a", max_new_tokens=10**6)
        with pytest.raises(HfHubHTTPError):
            client.chat_completion([{"role": "user", "content": "hi"}], max_tokens=10**6)

    def test_feature_extraction(self, encoder: RunningEngine) -> None:
        client = InferenceClient(encoder.url)

        one = client.feature_extraction(SENTENCES[0])
        plain = client.feature_extraction(SENTENCES[0], normalize=False)

        assert one.shape == (1, 32)
        assert float((one**2).sum()) == pytest.approx(1, abs=1e-5)
        assert float((plain**2).sum()) != pytest.approx(1, abs=1e-2)


class TestOpenAi:
    def test_chat_and_completions(self, reciter: RunningEngine) -> None:
        with OpenAI(base_url=f"{reciter.url}/v1", api_key="none") as client:
            chat = client.chat.completions.create(model="reciter", messages=[{"role": "user", "content": "hi"}], max_tokens=4)
            text = client.completions.create(model="reciter", prompt="a", max_tokens=200)
            stream = list(client.completions.create(model="reciter", prompt="a", max_tokens=200, stream=True))

            assert chat.usage is not None
            assert chat.usage.completion_tokens == 4
            assert text.choices[0].text == "".join(chunk.choices[0].text for chunk in stream) == SCRIPT
            assert [model.id for model in client.models.list()] == ["reciter"]

    def test_embeddings(self, encoder: RunningEngine) -> None:
        with OpenAI(base_url=f"{encoder.url}/v1", api_key="none") as client:
            answer = client.embeddings.create(model="any", input=SENTENCES)

            assert [len(entry.embedding) for entry in answer.data] == [32] * len(SENTENCES)
