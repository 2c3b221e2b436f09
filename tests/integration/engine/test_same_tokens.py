"""What the engine generates in fp32 is what transformers generates, whatever else runs beside it."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.engines import RunningEngine, running_engine
from tests.integration.engine.models import generated_by_transformers, make_model
from tests.integration.trainer.tiny import FAMILIES

pytestmark = [pytest.mark.integration, pytest.mark.slow]


MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    **{family: (family, {}) for family in FAMILIES},
    # Wide enough for packed layers, and with fewer heads of keys.
    "wide qwen2": ("qwen2", {"hidden_size": 512, "intermediate_size": 768, "num_attention_heads": 8, "initializer_range": 0.1}),
    "wide gpt2": ("gpt2", {"n_embd": 384, "initializer_range": 0.1}),
}


@pytest.fixture(scope="module", params=MODELS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RunningEngine]]:
    family, changes = MODELS[request.param]
    folder = make_model(tmp_path_factory.mktemp("models") / "model", family, **changes)
    with running_engine(folder, dtype="float32", max_slots=5, prefill_token_budget=24) as engine:
        yield folder, engine


def test_every_stream_gets_the_tokens_that_it_would_get_alone(served: tuple[Path, RunningEngine]) -> None:
    folder, engine = served
    chance = random.Random(1)
    prompts = [[chance.randrange(3, 320) for _ in range(length)] for length in (1, 3, 70, 9, 30, 2, 5, 100, 17, 4, 50, 8)]
    lengths = [chance.randrange(8, 60) for _ in prompts]
    expected = generated_by_transformers(folder, prompts, tokens=lengths)

    with ThreadPoolExecutor(len(prompts)) as pool:
        answers = list(pool.map(lambda wish: _generated(engine, *wish), zip(prompts, lengths, strict=True)))

    assert answers == expected


def _generated(engine: RunningEngine, prompt: list[int], length: int) -> list[int]:
    body = {"prompt": prompt, "max_tokens": length, "temperature": 0, "logprobs": 0, "return_token_ids": True}
    choice = engine.post("/v1/completions", body).json()["choices"][0]
    ids: list[int] = choice["token_ids"]
    return ids
