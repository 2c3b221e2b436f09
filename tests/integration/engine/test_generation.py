"""What generations say: characters whole, stops exact, sampling as asked for, usage right."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.conftest import SCRIPT
from tests.integration.engine.engines import RunningEngine
from tests.integration.engine.models import generated_by_transformers

pytestmark = pytest.mark.integration
HELLO = {"messages": [{"role": "user", "content": "hi"}]}


def complete(engine: RunningEngine, **wishes: Any) -> dict[str, Any]:
    reply = engine.post("/v1/completions", {"prompt": "a", "max_tokens": 24, **wishes})
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json()
    return answer


def text_of(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["text"])


class TestText:
    def test_characters_are_never_split_in_a_stream(self, reciter: RunningEngine) -> None:
        events = reciter.stream("/v1/completions", {"prompt": "a", "stream": True})

        parts = [event["choices"][0]["text"] for event in events[:-1]]
        assert "".join(parts) == SCRIPT
        assert not any("\ufffd" in part for part in parts)
        assert events[-2]["choices"][0]["finish_reason"] == "stop"

    def test_a_character_that_stays_unfinished_is_shown_as_one(self, reciter: RunningEngine) -> None:
        answer = complete(reciter, max_tokens=1)

        assert text_of(answer) == "\ufffd"
        assert answer["choices"][0]["finish_reason"] == "length"

    def test_tgi_streams_carry_the_whole_text_at_the_end(self, reciter: RunningEngine) -> None:
        events = reciter.stream("/generate_stream", {"inputs": "a"})

        assert "".join(event["token"]["text"] for event in events) == SCRIPT
        assert [event["index"] for event in events] == list(range(1, len(events) + 1))
        assert events[-1]["generated_text"] == SCRIPT
        assert events[-1]["details"] == {
            "finish_reason": "eos_token",
            "generated_tokens": len(events),
            "input_length": 1,
            "seed": None,
        }
        assert events[-1]["token"]["special"]

    def test_the_prompt_stands_before_the_text_where_it_is_asked_for(self, reciter: RunningEngine) -> None:
        reply = reciter.post("/generate", {"inputs": "a", "parameters": {"return_full_text": True}})

        assert reply.json() == {"generated_text": f"a{SCRIPT}"}

    def test_several_prompts_are_answered_in_their_order(self, engine: RunningEngine) -> None:
        alone = [text_of(complete(engine, prompt=prompt, temperature=0)) for prompt in ("one", "two 二")]

        answer = complete(engine, prompt=["one", "two 二"], temperature=0)

        assert [choice["text"] for choice in answer["choices"]] == alone
        assert answer["usage"]["completion_tokens"] == 48


class TestStops:
    @pytest.mark.parametrize("stop", ["STOP", "42. STOP", " is: forty-two. S", "世界！🙂", "界"])
    def test_a_text_ends_before_a_stop_string_wherever_tokens_part(self, reciter: RunningEngine, stop: str) -> None:
        events = reciter.stream("/v1/completions", {"prompt": "a", "stream": True, "stop": stop})

        text = "".join(event["choices"][0]["text"] for event in events[:-1])
        assert text == (SCRIPT.split(stop)[0] if stop in SCRIPT else SCRIPT)
        assert events[-2]["choices"][0]["finish_reason"] == "stop"

    def test_the_first_of_several_stop_strings_counts(self, reciter: RunningEngine) -> None:
        reply = reciter.post("/generate", {"inputs": "a", "parameters": {"stop": ["here", "answer", "never"], "details": True}})

        assert reply.json()["generated_text"] == SCRIPT.split("answer")[0]
        assert reply.json()["details"]["finish_reason"] == "stop_sequence"

    def test_what_only_began_a_stop_string_is_shown_after_all(self, reciter: RunningEngine) -> None:
        assert text_of(complete(reciter, max_tokens=200, stop="结束。!")) == SCRIPT


class TestSampling:
    def test_temperature_zero_is_greedy_and_the_same_each_time(self, engine: RunningEngine) -> None:
        assert text_of(complete(engine, temperature=0)) == text_of(complete(engine, temperature=0, seed=9))

    def test_a_seed_repeats_an_answer_and_another_seed_does_not(self, engine: RunningEngine) -> None:
        one, again, other = (text_of(complete(engine, temperature=1.5, seed=seed)) for seed in (1, 1, 2))

        assert one == again != other

    def test_without_a_seed_answers_differ(self, engine: RunningEngine) -> None:
        assert len({text_of(complete(engine, temperature=2)) for _ in range(4)}) > 1

    @pytest.mark.parametrize("wish", [{"top_k": 1}, {"top_p": 1e-6}])
    def test_the_narrowest_choice_is_the_greedy_one(self, engine: RunningEngine, wish: dict[str, float]) -> None:
        assert text_of(complete(engine, temperature=2, **wish)) == text_of(complete(engine, temperature=0))

    def test_top_k_leaves_the_likeliest(self, engine: RunningEngine) -> None:
        likeliest = complete(engine, temperature=0, max_tokens=1, logprobs=3)["choices"][0]["logprobs"]["top_logprobs"][0]

        drawn = {
            complete(engine, temperature=2, top_k=3, max_tokens=1, logprobs=0)["choices"][0]["logprobs"]["tokens"][0]
            for _ in range(12)
        }

        assert drawn <= set(likeliest)

    def test_tgi_is_greedy_unless_asked_to_sample(self, engine: RunningEngine) -> None:
        plain, sampled, again = (
            engine.post("/generate", {"inputs": "a", "parameters": {"max_new_tokens": 20, **wishes}}).json()["generated_text"]
            for wishes in ({}, {"do_sample": True, "temperature": 2.0, "seed": 3}, {})
        )

        assert plain == again != sampled

    def test_repetition_is_penalised_as_transformers_does_it(self, engine: RunningEngine, base: Path) -> None:
        prompt = [10, 20, 30, 20]
        wishes: dict[str, Any] = {"prompt": prompt, "temperature": 0, "return_token_ids": True, "max_tokens": 30}

        answer = complete(engine, **wishes, repetition_penalty=1.5)

        expected = generated_by_transformers(base, [prompt], tokens=[30], repetition_penalty=1.5)
        assert answer["choices"][0]["token_ids"] == expected[0]

    def test_presence_and_frequency_penalties_bring_new_tokens(self, engine: RunningEngine) -> None:
        ids = {
            name: complete(engine, temperature=0, max_tokens=60, return_token_ids=True, **wishes)["choices"][0]["token_ids"]
            for name, wishes in {
                "plain": {},
                "presence": {"presence_penalty": 2.0},
                "frequency": {"frequency_penalty": 2.0},
            }.items()
        }

        assert len(set(ids["presence"])) >= len(set(ids["plain"]))
        assert len(set(ids["frequency"])) >= len(set(ids["plain"]))
        assert ids["plain"] != ids["presence"]


class TestLogprobs:
    def test_each_token_has_its_logprob_and_the_likeliest_ones(self, engine: RunningEngine) -> None:
        reply = engine.post(
            "/v1/chat/completions", {**HELLO, "temperature": 0, "max_tokens": 4, "logprobs": True, "top_logprobs": 5}
        )

        content = reply.json()["choices"][0]["logprobs"]["content"]
        assert len(content) == 4
        for entry in content:
            assert [entry["logprob"]] == [top["logprob"] for top in entry["top_logprobs"] if top["bytes"] == entry["bytes"]][:1]
            assert len(entry["top_logprobs"]) == 5
            assert sum(math.exp(top["logprob"]) for top in entry["top_logprobs"]) <= 1 + 1e-6
            assert bytes(entry["bytes"]).decode(errors="replace") == entry["token"]

    def test_logprobs_are_those_of_the_model(self, engine: RunningEngine, base: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        with torch.inference_mode():
            expected = model(torch.tensor([[5, 6, 7]])).logits[0, -1].log_softmax(0)

        logprobs = complete(engine, prompt=[5, 6, 7], max_tokens=1, temperature=0, logprobs=0)["choices"][0]["logprobs"]

        assert logprobs["token_logprobs"][0] == pytest.approx(float(expected.max()), abs=1e-4)

    def test_tgi_gives_details_where_they_are_asked_for(self, engine: RunningEngine) -> None:
        parameters = {"max_new_tokens": 3, "details": True, "top_n_tokens": 2, "decoder_input_details": True}

        details = engine.post("/generate", {"inputs": "北京?", "parameters": parameters}).json()["details"]

        assert details["finish_reason"] == "length"
        assert details["generated_tokens"] == len(details["tokens"]) == len(details["top_tokens"]) == 3
        assert details["input_length"] == len(details["prefill"])
        assert all(tops[0]["id"] == token["id"] for tops, token in zip(details["top_tokens"], details["tokens"], strict=True))


class TestUsage:
    def test_prompt_and_answer_are_counted_exactly(self, reciter: RunningEngine) -> None:
        pieces = reciter.post("/tokenize", {"inputs": SCRIPT}).json()

        usage = complete(reciter, max_tokens=200)["usage"]

        # The token that ends the text was generated too.
        assert usage == {"prompt_tokens": 1, "completion_tokens": len(pieces) + 1, "total_tokens": len(pieces) + 2}

    def test_a_chats_prompt_is_counted_as_it_is_rendered(self, engine: RunningEngine) -> None:
        rendered = engine.post("/chat_tokenize", HELLO).json()

        usage = engine.post("/v1/chat/completions", {**HELLO, "max_tokens": 2}).json()["usage"]

        assert usage["prompt_tokens"] == len(rendered["tokenize_response"])
        assert "hi" in rendered["templated_text"]

    def test_a_stream_ends_with_its_usage_where_it_is_asked_for(self, engine: RunningEngine) -> None:
        body = {**HELLO, "max_tokens": 5, "stream": True, "temperature": 0}

        with_usage = engine.stream("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}})
        without = engine.stream("/v1/chat/completions", body)

        assert with_usage[-1] == without[-1] == "[DONE]"
        assert with_usage[-2]["choices"] == []
        assert with_usage[-2]["usage"]["completion_tokens"] == 5
        assert with_usage[-3]["choices"][0]["finish_reason"] == "length"
        assert not any("usage" in event for event in without[:-1])
        assert len({event["id"] for event in with_usage[:-1]}) == 1

    def test_usage_can_stand_on_every_chunk_and_every_token_then_has_one(self, reciter: RunningEngine) -> None:
        body = {"prompt": "a", "max_tokens": 12, "stream": True, "stream_options": {"continuous_usage_stats": True}}

        events = reciter.stream("/v1/completions", body)

        assert [event["usage"]["completion_tokens"] for event in events[:-1]] == list(range(1, 13))


class TestChat:
    def test_an_answer_looks_like_openais(self, reciter: RunningEngine) -> None:
        answer = reciter.post("/v1/chat/completions", {**HELLO, "max_tokens": 3, "model": "any"}).json()

        assert answer["object"] == "chat.completion"
        assert answer["model"] == "any"
        assert answer["id"].startswith("chatcmpl-")
        assert answer["choices"][0]["message"]["role"] == "assistant"

    def test_text_parts_are_joined_and_roles_passed_on(self, engine: RunningEngine) -> None:
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        messages = [{"role": "system", "content": "be short"}, {"role": "user", "content": parts}]

        text = engine.post("/chat_tokenize", {"messages": messages}).json()["templated_text"]

        assert "be short" in text
        assert "ab" in text

    def test_variables_of_the_template_cannot_replace_the_conversation(self, engine: RunningEngine) -> None:
        variables = {"self": 1, "messages": [], "context": 2, "template": "x"}

        text = engine.post("/chat_tokenize", {**HELLO, "chat_template_kwargs": variables}).json()["templated_text"]

        assert "hi" in text


def test_tokenize_gives_the_places_of_tokens_in_the_text(engine: RunningEngine) -> None:
    text = "北京 number 4?"

    pieces = engine.post("/tokenize", {"inputs": text}).json()

    assert {"id", "text", "start", "stop"} == set(pieces[0])
    assert all(piece["text"] == text[piece["start"] : piece["stop"]] for piece in pieces)
    assert pieces[-1]["stop"] == len(text)


def test_info_says_what_is_served(engine: RunningEngine) -> None:
    info = engine.get("/info").json()

    assert info["model_id"] == "tiny"
    assert info["max_total_tokens"] == 256
    assert info["chat"] is True
    assert info["adapters"] == []
    assert info["draining"] is False
    assert [entry["id"] for entry in engine.get("/v1/models").json()["data"]] == ["tiny"]


def test_what_a_controller_asks_for_is_counted(engine: RunningEngine) -> None:
    before = engine.load()

    complete(engine, prompt=[5, 6, 7], max_tokens=9, temperature=0)

    after = engine.load()
    assert after["generated_tokens"] - before["generated_tokens"] == 9
    assert after["prompt_tokens"] - before["prompt_tokens"] == 3
    assert after["requests"] - before["requests"] == 1
    assert after["slots"] == 16
    assert after["cpu_seconds"] > before["cpu_seconds"] > 0
    assert after["resident_bytes"] > 2**20


def test_metrics_are_as_prometheus_reads_them(engine: RunningEngine) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    reply = engine.get("/metrics")

    samples = {
        sample.name: sample.value for family in text_string_to_metric_families(reply.body.decode()) for sample in family.samples
    }
    assert samples["maas_engine_slots"] == 16
    assert samples["process_cpu_seconds_total"] > 0
    assert {"maas_engine_running", "maas_engine_waiting", "maas_engine_generated_tokens_total"} <= set(samples)


def test_health_answers(engine: RunningEngine) -> None:
    assert engine.get("/health").status == engine.get("/").status == 200
