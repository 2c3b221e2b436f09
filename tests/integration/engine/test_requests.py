"""What the engine refuses, before it works; what it does when callers leave or are too many."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.engines import RunningEngine, running_engine, wait_until
from tests.integration.engine.models import make_model

pytestmark = pytest.mark.integration
CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "hi"}]}


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "body", "word"),
        [
            ("/generate", {"inputs": "北京 " * 5000}, "tokens"),
            ("/generate", {"inputs": "hi", "parameters": {"max_new_tokens": 10**9}}, "max_new_tokens"),
            ("/generate", {"inputs": ""}, "empty"),
            ("/generate", {}, "missing"),
            ("/generate", {"inputs": 5}, "string"),
            ("/generate", {"inputs": "a", "parameters": {"temperature": "1"}}, "temperature"),
            ("/generate", {"inputs": "a", "parameters": {"top_p": 0}}, "top_p"),
            ("/generate", {"inputs": "a", "parameters": {"adapter_id": "none"}}, "adapter"),
            ("/generate", {"inputs": "a", "parameters": {"stop": ["x"] * 17}}, "stop"),
            ("/generate", {"inputs": "a", "parameters": {"details": "yes"}}, "details"),
            ("/generate", {"inputs": "a", "parameters": {"grammar": {"type": "json"}}}, "grammar"),
            ("/v1/completions", {"prompt": [5, 10**6]}, "vocabulary"),
            ("/v1/completions", {"prompt": []}, "prompt"),
            ("/v1/completions", {"prompt": "a", "max_tokens": 0}, "max_tokens"),
            ("/v1/completions", {"prompt": ["a", "b"], "stream": True}, "stream"),
            (CHAT, {"messages": []}, "messages"),
            (CHAT, {"messages": [{"content": "x"}]}, "role"),
            (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "text"),
            (CHAT, {"messages": [{"role": "user", "content": "北" * 2000}]}, "tokens"),
            (CHAT, {**HELLO, "max_tokens": 10**9}, "tokens"),
            (CHAT, {**HELLO, "temperature": 2.5}, "temperature"),
            (CHAT, {**HELLO, "n": 2}, "n"),
            (CHAT, {**HELLO, "stream": True, "stream_options": {"include_usage": "yes"}}, "include_usage"),
            (CHAT, {**HELLO, "response_format": {"type": "json_object"}}, "response_format"),
            (CHAT, {"messages": [{"role": "user", "content": "\ud800"}]}, "Unicode"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_answered_is_refused_before_work(self, engine: RunningEngine, path: str, body: Any, word: str) -> None:
        before = engine.load()

        reply = engine.post(path, body)

        assert reply.status == 422, reply.body
        assert reply.json()["error_type"] == "validation"
        assert word in reply.json()["error"]
        assert engine.load()["requests"] == before["requests"]

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"inputs": NaN}', b"\xff", b"[" * 100_000, b""])
    def test_a_body_that_is_no_json_object_is_refused(self, engine: RunningEngine, body: bytes) -> None:
        assert engine.post("/generate", body).status == 422

    def test_unknown_routes_and_methods_are_told_apart(self, engine: RunningEngine) -> None:
        assert engine.get("/nothing").status == 404
        assert engine.get("/generate").status == 405

    def test_a_body_that_is_too_large_is_refused_by_its_length(self, engine: RunningEngine) -> None:
        with socket.create_connection(("127.0.0.1", engine.port), timeout=30) as client:
            client.sendall(b"POST /generate HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")

            assert client.recv(1000).startswith(b"HTTP/1.1 413 ")

    @pytest.mark.parametrize(
        "sent",
        [
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
            b"GET /" + b"a" * 20_000,
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        ],
    )
    def test_what_is_no_http_is_told_so(self, engine: RunningEngine, sent: bytes) -> None:
        with socket.create_connection(("127.0.0.1", engine.port), timeout=30) as client:
            client.sendall(sent)

            assert client.recv(1000).startswith(b"HTTP/1.1 4")

    def test_a_connection_serves_one_request_after_another(self, engine: RunningEngine) -> None:
        connection = engine.connect()
        for _ in range(3):
            connection.request("POST", "/generate", json.dumps({"inputs": "a", "parameters": {"max_new_tokens": 2}}))
            assert connection.getresponse().read()
        connection.request(
            "POST",
            CHAT,
            iter([json.dumps({**HELLO, "max_tokens": 2}).encode()]),
            encode_chunked=True,
            headers={"Transfer-Encoding": "chunked"},
        )
        assert connection.getresponse().status == 200
        connection.close()


class TestLeaving:
    def test_a_caller_who_leaves_a_stream_frees_the_slot(self, engine: RunningEngine) -> None:
        before = engine.load()

        with engine.streaming("/generate_stream", {"inputs": "a", "parameters": {"max_new_tokens": 240}}) as events:
            next(events)

        wait_until(lambda: engine.load()["running"] == 0)
        assert engine.load()["cancelled"] == before["cancelled"] + 1
        assert engine.load()["generated_tokens"] - before["generated_tokens"] < 240

    def test_a_caller_who_leaves_before_the_answer_frees_the_slot(self, engine: RunningEngine) -> None:
        before = engine.load()
        connection = engine.connect()
        connection.request("POST", "/generate", json.dumps({"inputs": "a", "parameters": {"max_new_tokens": 250}}))
        wait_until(lambda: engine.load()["requests"] > before["requests"])

        connection.close()

        wait_until(lambda: engine.load()["cancelled"] == before["cancelled"] + 1)

    def test_others_are_not_disturbed_by_those_who_leave(self, engine: RunningEngine) -> None:
        wish = {"prompt": "one two", "max_tokens": 100, "temperature": 0}
        alone = engine.post("/v1/completions", wish).json()["choices"]
        with ThreadPoolExecutor(6) as pool:
            staying = [pool.submit(engine.post, "/v1/completions", wish) for _ in range(3)]
            for _ in range(6):
                with engine.streaming("/generate_stream", {"inputs": "other", "parameters": {"max_new_tokens": 200}}) as events:
                    next(events)

            assert [future.result().json()["choices"] for future in staying] == [alone] * 3


@pytest.fixture(scope="module")
def narrow(base: Path) -> Iterator[RunningEngine]:
    """An engine with one slot and a queue of two."""
    with running_engine(base, dtype="float32", max_slots=1, max_queue=2, max_context=200) as running:
        yield running


class TestCrowds:
    def test_one_too_many_is_told_when_to_come_again(self, narrow: RunningEngine) -> None:
        body = {"prompt": "a", "max_tokens": 190, "stream": True, "temperature": 0}
        with narrow.streaming("/v1/completions", body) as running:
            next(running)
            with narrow.streaming_soon("/v1/completions", body), narrow.streaming_soon("/v1/completions", body):
                wait_until(lambda: narrow.load()["waiting"] == 2)

                refused = narrow.post("/v1/completions", body)

        assert refused.status == 503
        assert refused.json()["error_type"] == "overloaded"
        assert int(refused.headers["Retry-After"]) >= 1
        wait_until(lambda: narrow.load()["running"] == narrow.load()["waiting"] == 0)

    def test_one_who_waits_is_answered_when_its_turn_comes(self, narrow: RunningEngine) -> None:
        body = {"prompt": "a", "max_tokens": 20, "temperature": 0}
        with ThreadPoolExecutor(3) as pool:
            replies = list(pool.map(lambda _: narrow.post("/v1/completions", body), range(3)))

        assert [reply.status for reply in replies] == [200] * 3
        assert len({reply.json()["choices"][0]["text"] for reply in replies}) == 1

    def test_a_smaller_context_than_the_models_is_kept_to(self, narrow: RunningEngine) -> None:
        assert narrow.get("/info").json()["max_total_tokens"] == 200
        assert narrow.post("/generate", {"inputs": "a", "parameters": {"max_new_tokens": 200}}).status == 422

    def test_silent_connections_keep_nobody_from_an_answer(self, narrow: RunningEngine) -> None:
        silent = [socket.create_connection(("127.0.0.1", narrow.port), timeout=30) for _ in range(60)]
        try:
            assert narrow.get("/health").status == 200
        finally:
            for connection in silent:
                connection.close()


def test_a_newcomer_with_a_long_prompt_does_not_change_what_runs(base: Path) -> None:
    wish = {"prompt": [9, 8, 7], "max_tokens": 150, "temperature": 0, "return_token_ids": True}
    with running_engine(base, dtype="float32", prefill_token_budget=16) as engine:
        alone = engine.post("/v1/completions", wish).json()["choices"]
        long_alone = engine.post("/v1/completions", {**wish, "prompt": [30, 40, 50] * 60, "max_tokens": 9}).json()["choices"]
        together: list[Any] = []
        first = threading.Thread(target=lambda: together.append(engine.post("/v1/completions", wish).json()["choices"]))
        first.start()
        wait_until(lambda: engine.load()["running"] == 1)

        newcomer = engine.post("/v1/completions", {**wish, "prompt": [30, 40, 50] * 60, "max_tokens": 9}).json()["choices"]

        first.join(60)
        assert together == [alone]
        assert newcomer == long_alone


def test_a_cache_that_is_too_small_for_all_is_shared_in_turns(models: Path) -> None:
    folder = make_model(models / "long", max_position_embeddings=400)
    wish = {"max_tokens": 300, "temperature": 0.7, "seed": 4, "ignore_eos": True, "return_token_ids": True}
    prompts = [[3 + number, 50, 60] for number in range(4)]
    with running_engine(folder, dtype="float32", max_cache_tokens=1024) as tight:

        def answer(prompt: list[int]) -> Any:
            return tight.post("/v1/completions", {**wish, "prompt": prompt}).json()["choices"]

        expected = [answer(prompt) for prompt in prompts]
        computed = tight.load()["prompt_tokens"]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(answer, prompts))
        recomputed = tight.load()["prompt_tokens"] - computed

    # Four rows fit while they are short; as they grow, some must wait and are computed anew.
    assert recomputed > sum(map(len, prompts))
    assert answers == expected
