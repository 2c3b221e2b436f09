"""What every embedder does: the hashing one, and the one that speaks to a real engine."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from maas.adapters.embedder.hashing import HashingEmbedder
from maas.adapters.embedder.tgi import TgiEmbedder
from maas.adapters.engine_http.connections import EngineConnections
from maas.application.cancellation import Cancellation
from maas.application.ports.embedder import Embedder
from maas.domain.errors import InferenceFailed, InferenceUnavailable, OutOfRange
from tests.integration.engine.engines import running_engine
from tests.integration.engine.models import make_encoder


@dataclass(frozen=True)
class Parts:
    """An embedder, and the address of an engine."""

    embedder: Embedder
    address: str


@pytest.fixture(scope="module")
def engine_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = make_encoder(tmp_path_factory.mktemp("model"))
    with running_engine(folder, task="feature-extraction") as engine:
        yield engine.url


@pytest.fixture(params=["hashing", pytest.param("engine", marks=[pytest.mark.integration, pytest.mark.slow])])
def parts(request: pytest.FixtureRequest) -> Iterator[Parts]:
    if request.param == "hashing":
        yield Parts(HashingEmbedder(), "http://engine")
        return
    engines = EngineConnections()
    yield Parts(TgiEmbedder(engines), request.getfixturevalue("engine_address"))
    engines.close()


def test_each_text_has_a_vector_of_length_one_in_order(parts: Parts) -> None:
    embeddings = parts.embedder.embed(parts.address, ["one two", "three", "one two"])

    first, second, third = embeddings.vectors
    assert len(first) == len(second) == len(third)
    assert list(first) == pytest.approx(list(third))
    assert list(first) != pytest.approx(list(second))
    assert all(math.isclose(sum(value * value for value in vector), 1, rel_tol=1e-3) for vector in embeddings.vectors)


def test_usage_is_the_tokens_of_all_texts(parts: Parts) -> None:
    one, two = (parts.embedder.embed(parts.address, texts).usage for texts in (["one two"], ["one two", "one two"]))

    assert (one.completion_tokens, two.prompt_tokens) == (0, 2 * one.prompt_tokens)
    assert one.prompt_tokens > 0


def test_a_text_that_does_not_fit_is_refused_and_never_cut(parts: Parts) -> None:
    with pytest.raises(OutOfRange) as refused:
        parts.embedder.embed(parts.address, ["one", "word " * 3000])

    assert [problem.field for problem in refused.value.problems] == ["texts"]


@pytest.mark.integration
@pytest.mark.slow
def test_a_call_that_was_given_up_is_none(engine_address: str) -> None:
    engines, cancellation = EngineConnections(), Cancellation()
    cancellation.cancel()

    with pytest.raises(InferenceFailed):
        TgiEmbedder(engines).embed(engine_address, ["one"], cancellation=cancellation)
    engines.close()


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(InferenceUnavailable):
        TgiEmbedder(EngineConnections()).embed("http://127.0.0.1:1", ["one"])
