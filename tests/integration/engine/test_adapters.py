"""LoRA adapters of one base: mixed in one batch, loaded and unloaded while others run."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.engines import RunningEngine, running_engine, wait_until
from tests.integration.engine.models import generated_by_transformers, make_adapter, make_model

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")]
PROMPTS = [[20, 30, 40], [100, 7], [55, 56, 57, 58, 59, 60]]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attention": {"targets": ["q_proj", "v_proj"], "r": 2},
    "rslora": {"use_rslora": True, "r": 8},
    "dora": {"use_dora": True},
    "patterned": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.0.self_attn.q_proj": 32, "up_proj": 1}},
}


@pytest.fixture(scope="module")
def folders(models: Path, base: Path) -> dict[str, Path]:
    return {name: make_adapter(models / name, base, seed=seed, **changes) for seed, (name, changes) in enumerate(KINDS.items())}


@pytest.fixture(scope="module")
def adapted(base: Path, folders: dict[str, Path]) -> Iterator[RunningEngine]:
    adapters = [{"name": name, "path": str(folder)} for name, folder in folders.items()]
    with running_engine(base, dtype="float32", model_name="base", adapters=adapters) as running:
        yield running


def generated(engine: RunningEngine, prompt: list[int], adapter: str | None, *, tokens: int = 20) -> list[int]:
    body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "return_token_ids": True, "adapter_id": adapter}
    reply = engine.post("/v1/completions", body)
    assert reply.status == 200, reply.body
    ids: list[int] = reply.json()["choices"][0]["token_ids"]
    return ids


def test_each_row_of_a_batch_gets_the_tokens_that_peft_gives_it_alone(
    base: Path, folders: dict[str, Path], adapted: RunningEngine
) -> None:
    wishes = [(prompt, name) for prompt in PROMPTS for name in (None, *folders)]
    expected = {
        name: generated_by_transformers(base, PROMPTS, tokens=[20] * 3, adapter=None if name is None else folders[name])
        for name in (None, *folders)
    }

    with ThreadPoolExecutor(len(wishes)) as pool:
        answers = list(pool.map(lambda wish: generated(adapted, *wish), wishes))

    assert answers == [expected[name][PROMPTS.index(prompt)] for prompt, name in wishes]
    assert len({tuple(answer) for answer in answers[:6]}) == 6


WIDE: dict[str, Any] = {"hidden_size": 512, "intermediate_size": 768, "num_attention_heads": 8, "initializer_range": 0.1}


@pytest.mark.parametrize(("family", "changes"), [("gpt2", {}), ("gpt_neox", {}), ("qwen3", WIDE)])
@pytest.mark.slow
def test_other_layouts_of_weights_are_adapted_too(models: Path, family: str, changes: dict[str, Any]) -> None:
    base = make_model(models / f"base-{family}", family, **changes)
    adapters = {
        "lora": make_adapter(models / f"{family}-lora", base, seed=1),
        "dora": make_adapter(models / f"{family}-dora", base, seed=2, use_dora=True),
    }
    expected = {
        name: generated_by_transformers(base, PROMPTS, tokens=[20] * 3, adapter=folder) for name, folder in adapters.items()
    }

    with (
        running_engine(
            base, dtype="float32", adapters=[{"name": name, "path": str(folder)} for name, folder in adapters.items()]
        ) as engine,
        ThreadPoolExecutor(6) as pool,
    ):
        wishes = [(prompt, name) for name in adapters for prompt in PROMPTS]
        answers = list(pool.map(lambda wish: generated(engine, *wish), wishes))

    assert answers == expected["lora"] + expected["dora"]


def test_an_adapter_is_named_by_tgis_parameter_by_openais_model_or_not_at_all(adapted: RunningEngine) -> None:
    def said(path: str, body: dict[str, Any]) -> str:
        answer = adapted.post(path, body).json()
        return str(answer.get("generated_text") or answer["choices"][0]["text"])

    by_parameter = said("/", {"inputs": "hi", "parameters": {"adapter_id": "plain", "max_new_tokens": 12}})
    by_model = said("/v1/completions", {"prompt": "hi", "model": "plain", "temperature": 0, "max_tokens": 12})
    bare = said("/v1/completions", {"prompt": "hi", "model": "whatever", "temperature": 0, "max_tokens": 12})

    assert by_parameter == by_model != bare
    assert adapted.get("/info").json()["adapters"] == sorted(KINDS)
    assert [entry["id"] for entry in adapted.get("/v1/models").json()["data"]] == ["base", *sorted(KINDS)]


def test_adapters_come_and_go_while_others_run(base: Path, folders: dict[str, Path]) -> None:
    readable = [str(folder) for folder in folders.values()]
    with running_engine(base, dtype="float32", readable=readable) as engine, ThreadPoolExecutor(2) as pool:
        alone = generated(engine, PROMPTS[0], None, tokens=200)
        running = pool.submit(generated, engine, PROMPTS[0], None, tokens=200)

        engine.command(type="load_adapter", name="a", path=str(folders["plain"]))
        assert engine.wait_for("adapter_loaded", "adapter_failed") == {"type": "adapter_loaded", "name": "a"}
        first = generated(engine, PROMPTS[0], "a")
        engine.command(type="load_adapter", name="a", path=str(folders["dora"]))
        assert engine.wait_for("adapter_loaded", "adapter_failed") == {"type": "adapter_loaded", "name": "a"}
        second = generated(engine, PROMPTS[0], "a")
        with engine.streaming(
            "/v1/completions", {"prompt": "x", "adapter_id": "a", "stream": True, "max_tokens": 200, "ignore_eos": True}
        ) as events:
            next(events)
            engine.command(type="unload_adapter", name="a")
            assert engine.wait_for("adapter_unloaded", "adapter_failed") == {"type": "adapter_unloaded", "name": "a"}
            assert engine.post("/v1/completions", {"prompt": "x", "adapter_id": "a"}).status == 422
            assert len(list(events)) > 20

        assert running.result() == alone
        assert first == generated_by_transformers(base, PROMPTS[:1], tokens=[20], adapter=folders["plain"])[0]
        assert second == generated_by_transformers(base, PROMPTS[:1], tokens=[20], adapter=folders["dora"])[0]
        assert generated(engine, PROMPTS[0], None, tokens=200) == alone
        engine.command(type="unload_adapter", name="a")
        assert engine.wait_for("adapter_failed")["reason"] == "there is no such adapter"
        wait_until(lambda: engine.load()["running"] == 0)


class TestUnusableAdapters:
    @pytest.fixture(scope="class")
    def engine_model(self, base: Path) -> Any:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(base)

    @pytest.fixture
    def copy(self, folders: dict[str, Path], tmp_path: Path) -> Path:
        return Path(shutil.copytree(folders["plain"], tmp_path / "adapter"))

    def reason(self, folder: Path, model: Any) -> str:
        from maas.programs.engine.failures import EngineUnusable
        from maas.programs.engine.lora import AdapterSet

        with pytest.raises(EngineUnusable) as refusal:
            AdapterSet(model).load("a", folder)
        return str(refusal.value)

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"peft_type": "IA3"}, "IA3"),
            ({"modules_to_save": ["lm_head"]}, "whole modules"),
            ({"bias": "all"}, "biases"),
            ({"init_lora_weights": "pissa"}, "pissa"),
            ({"alpha_pattern": {"(a+)+$": 3}}, "pattern"),
            ({"lora_alpha": "many"}, "adapter_config"),
        ],
    )
    def test_what_cannot_be_served_is_told(self, copy: Path, engine_model: Any, change: dict[str, Any], word: str) -> None:
        config = json.loads((copy / "adapter_config.json").read_text())
        (copy / "adapter_config.json").write_text(json.dumps({**config, **change}))

        assert word in self.reason(copy, engine_model)

    def test_one_for_a_larger_model(self, models: Path, engine_model: Any) -> None:
        larger = make_model(models / "larger", hidden_size=64, intermediate_size=96)

        assert "does not fit" in self.reason(make_adapter(models / "of-larger", larger, seed=1), engine_model)

    def test_one_for_another_architecture(self, models: Path, engine_model: Any) -> None:
        other = make_model(models / "other", "gpt_neox")

        assert "another model" in self.reason(make_adapter(models / "of-other", other, seed=1), engine_model)

    def test_cut_short_files(self, copy: Path, engine_model: Any) -> None:
        weights = copy / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-10])

        assert "cut short" in self.reason(copy, engine_model)

    def test_a_pickle(self, copy: Path, engine_model: Any) -> None:
        (copy / "adapter_model.safetensors").rename(copy / "adapter_model.bin")

        assert "safetensors" in self.reason(copy, engine_model)
