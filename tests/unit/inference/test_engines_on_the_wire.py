"""What engines may send, well-behaved or not, and what becomes of it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from maas.adapters.embedder.tgi import TgiEmbedder
from maas.adapters.engine_http.answer_reader import AnswerBroken, AnswerReader
from maas.adapters.engine_http.connections import EngineConnections
from maas.adapters.text_generator.tgi import TgiTextGenerator
from maas.application.cancellation import Cancellation
from maas.domain.errors import (
    EngineLost,
    InferenceFailed,
    InferenceTimeout,
    InferenceUnavailable,
    MaasError,
    ModelUnsuitable,
    OutOfRange,
    WrongForm,
)
from maas.domain.inference.conversation import ChatRequest, Message, MessageRole, TextDelta, TokenUsage
from maas.domain.inference.parameters import GenerationParameters
from tests.unit.inference.wire import END, HEAD, event, piece, plain, usage, wire_engine


@pytest.fixture
def engines() -> Iterator[EngineConnections]:
    with closing(EngineConnections(patience_seconds=2.5)) as connections:
        yield connections


def a_chat(**parameters: Any) -> ChatRequest:
    message = Message(role=MessageRole.USER, content="你好")
    return ChatRequest(messages=(message,), parameters=GenerationParameters.merged({}, parameters))


def deltas_of(engines: EngineConnections, address: str, **parameters: Any) -> list[TextDelta]:
    return [delta for delta in TgiTextGenerator(engines).generate(address, a_chat(**parameters)) if delta is not None]


GOOD = [
    HEAD,
    piece("a", usage=usage(3, 1)),
    piece("b", "stop", usage=usage(3, 2)),
    event({"choices": [], "usage": usage(3, 2)}),
    event(b"[DONE]"),
    END,
]


def test_what_is_sent_is_openais_chat_and_leaves_out_what_says_nothing(engines: EngineConnections) -> None:
    with wire_engine(GOOD) as engine:
        deltas_of(engines, engine.address, temperature=0.5, top_p=1.0, top_k=0, stop=["x"])
        generator = TgiTextGenerator(engines)
        list(generator.generate(f"{engine.address}/prefix/", a_chat(max_tokens=7, top_p=0), adapter="mine"))

    stream = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    messages = [{"role": "user", "content": "你好"}]
    assert engine.paths == ["/v1/chat/completions", "/prefix/v1/chat/completions"]
    assert engine.calls[0] == {**stream, "messages": messages, "temperature": 0.5, "stop": ["x"]}
    named = {"model": "mine", "adapter_id": "mine"}
    assert engine.calls[1] == {**stream, "messages": messages, "max_tokens": 7, "top_p": 1e-6, **named}


def test_one_connection_serves_call_after_call(engines: EngineConnections) -> None:
    with wire_engine(GOOD) as engine:
        for _ in range(5):
            assert deltas_of(engines, engine.address)[-1].usage == TokenUsage(prompt_tokens=3, completion_tokens=2)

    assert engine.connections == 1


def test_a_connection_that_the_engine_closed_meanwhile_is_replaced(engines: EngineConnections) -> None:
    with wire_engine([*GOOD, None]) as engine:
        for _ in range(3):
            assert len(deltas_of(engines, engine.address)) == 2

    assert engine.connections == 3


def test_an_engine_that_tells_usage_at_the_end_alone_is_counted_on_the_way(engines: EngineConnections) -> None:
    """TGI sends the usage after the chunk with the reason."""
    steps = [HEAD, piece("a"), piece("b", "eos_token"), event({"choices": [], "usage": usage(9, 2)}), event(b"[DONE]"), END]
    with wire_engine(steps) as engine:
        first, last = deltas_of(engines, engine.address)

    assert first.usage == TokenUsage(completion_tokens=1)
    assert (last.text, last.usage) == ("b", TokenUsage(prompt_tokens=9, completion_tokens=2))


def test_events_may_come_in_any_pieces(engines: EngineConnections) -> None:
    whole = b"".join(GOOD)
    with wire_engine([whole[number : number + 1] for number in range(len(whole))]) as engine:
        assert [delta.text for delta in deltas_of(engines, engine.address)] == ["a", "b"]


def test_silence_is_told_every_second_and_ends_in_a_timeout(engines: EngineConnections) -> None:
    with wire_engine([HEAD, piece("a"), 4.0]) as engine:
        deltas = TgiTextGenerator(engines).generate(engine.address, a_chat())
        first, second = next(deltas), next(deltas)

        assert (first is not None, second) == (True, None)
        with pytest.raises(InferenceTimeout):
            list(deltas)


@pytest.mark.parametrize(
    "steps",
    [
        [None],
        [HEAD, None],
        [HEAD, piece("a"), None],
        [HEAD, piece("a"), b"5\r\nab", None],
        [HEAD, piece("a"), END],
        [HEAD, piece("a"), event(b"[DONE]"), END],
        [HEAD, piece("a"), b"nonsense\r\n"],
        [HEAD, event(b"{nonsense")],
        [b"SSH-2.0-OpenSSH\r\n\r\n"],
    ],
)
def test_a_stream_that_breaks_off_never_looks_complete(engines: EngineConnections, steps: Any) -> None:
    with wire_engine(steps) as engine, pytest.raises(EngineLost):
        deltas_of(engines, engine.address)


@pytest.mark.parametrize(
    "value", [{"choices": [7]}, {"choices": [{"delta": 7}]}, {"choices": {"a": 1}}, {"choices": [{}], "usage": 5}]
)
def test_events_of_another_shape_are_a_failure_of_the_engine(engines: EngineConnections, value: Any) -> None:
    with wire_engine([HEAD, event(value), event(b"[DONE]"), END]) as engine, pytest.raises(InferenceFailed):
        deltas_of(engines, engine.address)


TOO_LONG = "`inputs` tokens + `max_new_tokens` must be <= 256. Given: {} `inputs` tokens and {} `max_new_tokens`"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, {"error": "the queue is full", "error_type": "overloaded"}, InferenceUnavailable),
        (429, {"error": "Model is overloaded", "error_type": "overloaded"}, InferenceUnavailable),
        (422, {"error": "Input validation error: " + TOO_LONG.format(300, 1), "error_type": "validation"}, OutOfRange),
        (
            400,
            {"error": {"message": "This model's maximum context length is 256 tokens. However, you requested 310 tokens "
             "(300 in the messages, 10 in the completion).", "type": "BadRequestError"}},
            OutOfRange,
        ),
        (422, {"error": "this model has no chat template, so that it cannot chat", "error_type": "validation"}, ModelUnsuitable),
        (422, {"error": "the template refuses this: roles must alternate", "error_type": "validation"}, WrongForm),
        (422, {"error": "there is no adapter 'x' here", "error_type": "validation"}, InferenceUnavailable),
        (424, {"error": "Request failed during generation", "error_type": "generation"}, InferenceFailed),
        (500, b"<html>", InferenceFailed),
        (504, b"", InferenceTimeout),
        (200, {"error": "x"}, EngineLost),
        (307, b"", InferenceFailed),
    ],
)  # fmt: skip
def test_refusals_become_errors_of_ours(engines: EngineConnections, status: int, body: Any, error: type[MaasError]) -> None:
    with wire_engine(plain(status, body, "Retry-After: 17")) as engine, pytest.raises(error) as raised:
        deltas_of(engines, engine.address)

    assert type(raised.value) is error or isinstance(raised.value, OutOfRange)
    if isinstance(raised.value, InferenceUnavailable) and status in (429, 503):
        assert raised.value.retry_after_seconds == 17


def test_a_prompt_that_fits_gets_the_tokens_that_are_left(engines: EngineConnections) -> None:
    refused = plain(422, {"error": TOO_LONG.format(200, 100), "error_type": "validation"})
    with wire_engine(refused, GOOD) as engine:
        deltas_of(engines, engine.address, max_tokens=100)

    assert [call["max_tokens"] for call in engine.calls] == [100, 56]


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"error": "the engine failed to answer", "error_type": "generation"}, InferenceFailed),
        ({"error": "the engine is draining", "error_type": "overloaded"}, InferenceUnavailable),
        ({"error": {"message": "boom", "type": "InternalServerError"}}, InferenceFailed),
    ],
)
def test_an_error_within_a_stream_is_raised(engines: EngineConnections, told: Any, error: type[MaasError]) -> None:
    with wire_engine([HEAD, piece("a"), event(told), event(b"[DONE]"), END]) as engine, pytest.raises(error) as raised:
        deltas_of(engines, engine.address)

    assert "boom" not in str(raised.value)


def test_nobody_there_is_unavailable(engines: EngineConnections) -> None:
    with wire_engine(GOOD) as engine:
        pass

    with pytest.raises(InferenceUnavailable):
        deltas_of(engines, engine.address)


def test_a_cancelled_call_hangs_up_at_once_though_the_engine_is_silent(engines: EngineConnections) -> None:
    cancellation = Cancellation()
    with wire_engine([HEAD, piece("a"), 0.3, piece("b"), 0.1, piece("c"), 0.1, piece("d")]) as engine:
        deltas = TgiTextGenerator(engines).generate(engine.address, a_chat(), cancellation=cancellation)
        next(deltas)
        cancellation.cancel()

        assert list(deltas) == []
        assert engine.hung_up.wait(5)


def test_embeddings_are_put_in_order_and_never_cut(engines: EngineConnections) -> None:
    rows = [{"index": 1, "embedding": [0.5]}, {"index": 0, "embedding": [0.25]}]
    with wire_engine(plain(200, {"data": rows, "usage": usage(4, 0)})) as engine:
        embeddings = TgiEmbedder(engines).embed(engine.address, ["a", "b"])

    assert (embeddings.vectors, embeddings.usage.prompt_tokens) == ([[0.25], [0.5]], 4)
    assert engine.calls == [{"input": ["a", "b"], "encoding_format": "float", "truncate": False}]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (plain(200, {"data": [], "usage": usage(4, 0)}), InferenceFailed),
        (plain(200, b"{"), InferenceFailed),
        (plain(200, {"data": [{"index": 0}], "usage": {}}), InferenceFailed),
        (plain(422, {"error": "`inputs` must have at most 8 tokens", "error_type": "validation"}), OutOfRange),
        (plain(503, {"error": "draining", "error_type": "overloaded"}), InferenceUnavailable),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", None], EngineLost),
    ],
)
def test_embeddings_that_go_wrong(engines: EngineConnections, answer: Any, error: type[MaasError]) -> None:
    with wire_engine(answer) as engine, pytest.raises(error):
        TgiEmbedder(engines).embed(engine.address, ["a"])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_answer_is_read_alike_in_pieces_of_any_size(size: int) -> None:
    raw = b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"3\r\nabc\r\n" + b"2;x=y\r\nde\r\n" + b"0\r\nTrailer: t\r\n\r\n"
    reader = AnswerReader()

    body = b"".join(reader.feed(raw[start : start + size]) for start in range(0, len(raw), size))

    assert (body, reader.is_complete, reader.keeps_alive) == (b"abcde", True, True)


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    reader = AnswerReader()

    body = reader.feed(b"HTTP/1.0 200 OK\r\n\r\nab") + reader.feed(b"c") + reader.feed(b"")

    assert (body, reader.is_complete, reader.keeps_alive) == (b"abc", True, False)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"x" * 100_000,
        HEAD + b"zz\r\n",
        HEAD + b"-5\r\n",
        HEAD + b"1" * 20_000,
    ],
)
def test_what_is_no_http_is_told_so(raw: bytes) -> None:
    with pytest.raises(AnswerBroken):
        AnswerReader().feed(raw)
