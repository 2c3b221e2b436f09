"""What every text generator does: the scripted one, and the one that speaks to a real engine."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from maas.adapters.engine_http.connections import EngineConnections
from maas.adapters.text_generator.scripted import ScriptedTextGenerator
from maas.adapters.text_generator.tgi import TgiTextGenerator
from maas.application.cancellation import Cancellation
from maas.application.ports.text_generator import TextGenerator
from maas.domain.errors import InferenceUnavailable, OutOfRange
from maas.domain.inference.conversation import (
    ChatRequest,
    CompletionRequest,
    FinishReason,
    Message,
    MessageRole,
    TextDelta,
    TextRequest,
)
from maas.domain.inference.parameters import GenerationParameters
from tests.integration.engine.engines import running_engine
from tests.integration.trainer.tiny import make_base

CONTEXT = 256


@dataclass(frozen=True)
class Parts:
    """A generator, and the address of an engine of 256 tokens' context."""

    generator: TextGenerator
    address: str


@pytest.fixture(scope="module")
def engine_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = make_base(tmp_path_factory.mktemp("model"))
    with running_engine(folder) as engine:
        yield engine.url


@pytest.fixture(params=["scripted", pytest.param("engine", marks=[pytest.mark.integration, pytest.mark.slow])])
def parts(request: pytest.FixtureRequest) -> Iterator[Parts]:
    if request.param == "scripted":
        yield Parts(ScriptedTextGenerator(write=lambda _: "word " * CONTEXT, context=CONTEXT), "http://engine")
        return
    engines = EngineConnections()
    yield Parts(TgiTextGenerator(engines), request.getfixturevalue("engine_address"))
    engines.close()


def a_chat(content: str = "hello there", **parameters: object) -> ChatRequest:
    message = Message(role=MessageRole.USER, content=content)
    return ChatRequest(messages=(message,), parameters=GenerationParameters.merged({}, {"temperature": 0, **parameters}))


def a_completion(prompt: str | tuple[int, ...] = "hello there", **parameters: object) -> CompletionRequest:
    return CompletionRequest(prompt=prompt, parameters=GenerationParameters.merged({}, {"temperature": 0, **parameters}))


def deltas_of(parts: Parts, request: TextRequest) -> list[TextDelta]:
    return [delta for delta in parts.generator.generate(parts.address, request) if delta is not None]


@pytest.mark.parametrize("request_", [a_chat(max_tokens=5), a_completion(max_tokens=5)])
def test_the_last_delta_alone_has_the_reason_and_the_whole_usage(parts: Parts, request_: TextRequest) -> None:
    deltas = deltas_of(parts, request_)

    assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert deltas[-1].finish_reason is FinishReason.LENGTH
    assert deltas[-1].usage.completion_tokens == 5
    assert deltas[-1].usage.prompt_tokens > 0


def test_usage_counts_from_the_beginning(parts: Parts) -> None:
    deltas = deltas_of(parts, a_chat(max_tokens=5))

    counted = [delta.usage.completion_tokens for delta in deltas]
    assert counted == sorted(counted)
    assert len({delta.usage.prompt_tokens for delta in deltas}) == 1


def test_a_stop_text_ends_the_answer_without_it(parts: Parts) -> None:
    text = "".join(delta.text for delta in deltas_of(parts, a_completion(max_tokens=12)))
    stop = text[3:6]

    deltas = deltas_of(parts, a_completion(max_tokens=12, stop=[stop]))

    assert "".join(delta.text for delta in deltas) == text[: text.index(stop)]
    assert deltas[-1].finish_reason is FinishReason.STOP


def test_log_probabilities_come_with_their_tokens_where_asked_for(parts: Parts) -> None:
    for request in (
        a_chat(max_tokens=3, logprobs=True, top_logprobs=1),
        a_completion(max_tokens=3, logprobs=True, top_logprobs=1),
    ):
        told = [one for delta in deltas_of(parts, request) for one in delta.logprobs]

        assert len(told) == 3
        assert all(one.logprob <= 0 and len(one.top) == 1 for one in told)
    assert all(delta.logprobs == () for delta in deltas_of(parts, a_chat(max_tokens=3)))


def test_a_prompt_may_be_tokens(parts: Parts) -> None:
    assert deltas_of(parts, a_completion((5, 6, 7), max_tokens=2))[-1].usage.prompt_tokens == 3


def test_a_prompt_that_does_not_fit_is_refused_by_its_field(parts: Parts) -> None:
    for request, field in ((a_chat("word " * 500), "messages"), (a_completion("word " * 500), "prompt")):
        with pytest.raises(OutOfRange) as refused:
            deltas_of(parts, request)

        assert [problem.field for problem in refused.value.problems] == [field]


def test_more_tokens_than_the_context_leaves_are_as_many_as_it_leaves(parts: Parts) -> None:
    for most in (None, CONTEXT):
        last = deltas_of(parts, a_completion(max_tokens=most))[-1]

        assert last.usage.total_tokens == CONTEXT
        assert last.finish_reason is FinishReason.LENGTH


def test_a_cancelled_answer_just_ends(parts: Parts) -> None:
    cancellation = Cancellation()
    deltas = parts.generator.generate(parts.address, a_completion(), cancellation=cancellation)
    next(deltas)

    cancellation.cancel()

    rest = list(deltas)
    assert all(delta is None or delta.finish_reason is None for delta in rest)
    assert len(rest) < 100


def test_what_was_cancelled_before_never_begins(parts: Parts) -> None:
    cancellation = Cancellation()
    cancellation.cancel()

    assert list(parts.generator.generate(parts.address, a_completion(), cancellation=cancellation)) == []


def test_a_closed_answer_leaves_the_engine_free_for_the_next(parts: Parts) -> None:
    for _ in range(40):
        deltas = parts.generator.generate(parts.address, a_completion())
        next(deltas)
        deltas.close()

    assert deltas_of(parts, a_completion(max_tokens=2))[-1].usage.completion_tokens == 2


@pytest.mark.integration
@pytest.mark.slow
def test_an_adapter_that_the_engine_lacks_is_never_replaced_by_the_base(engine_address: str) -> None:
    engines = EngineConnections()

    with closing(engines), pytest.raises(InferenceUnavailable):
        list(TgiTextGenerator(engines).generate(engine_address, a_chat(), adapter="absent"))
